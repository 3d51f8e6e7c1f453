"""By which rules is a run judged? The few of its settings and of its recipe that bear on best, stopping and keeping.

It must not know any history.
"""

from __future__ import annotations

from dataclasses import dataclass

from peakmark.settings.fields import Settings
from peakmark.settings.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Rules:
    """How long a run goes, and when it may end before."""

    epochs: int
    patience: int
    """Epochs without a better one after which the run ends; 0 for never."""
    min_delta: float
    """By how much an epoch must be better for patience to begin anew."""
    closing_epochs: int
    """Epochs without mosaic that an early stop first runs, where none was run yet; 0 to stop at once."""
    save_period: int


def rules_of(settings: Settings, recipe: Recipe) -> Rules:
    """Gives the rules that a run's settings make, and what its recipe fills in."""
    closes = settings.stop_phase == "close" and settings.mosaic > 0
    return Rules(
        epochs=settings.epochs,
        patience=settings.patience,
        min_delta=settings.min_delta,
        closing_epochs=recipe.close_mosaic if closes else 0,
        save_period=settings.save_period,
    )
