"""How is the best epoch of a run chosen again, by another fitness? A part of the facade: it trains nothing.

It composes what the rooms below offer and computes nothing itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from peakmark.api.runs import run_to_resume
from peakmark.errors import ModelFileError
from peakmark.evaluate.fitness import FitnessFunction
from peakmark.events import Event, Observer
from peakmark.record.folder import RunFolder
from peakmark.report.pages.page import PAGE_FILE, write_page
from peakmark.run.reselect import Choice, RatedEpoch, choose, choose_again


@dataclass(frozen=True, slots=True)
class Selection:
    """Which epoch of a run is best by another fitness, and what became of best.pt."""

    run: Path
    fitness: str
    fitness_before: str
    epochs: tuple[RatedEpoch, ...] = field(repr=False)
    """The best first."""
    best_before: int | None
    """What was best until now (0-based)."""
    chosen: RatedEpoch | None
    """What best.pt is made of, or would be; None where no epoch can be."""
    done: bool
    text: str
    """What was found and done, in a sentence or two."""

    @property
    def best(self) -> RatedEpoch | None:
        """The best one, whether its weights are there or not."""
        return self.epochs[0] if self.epochs else None


def select(
    run: str | Path,
    *,
    fitness: str | Mapping[str, float] | FitnessFunction,
    kept: bool = False,
    dry_run: bool = False,
    observer: Observer | None = None,
) -> Selection:
    """Names the best epoch of a run by another fitness, and makes best.pt of it, if its weights are there.

    The run goes on with that fitness: a later resume chooses by it. What best.pt was stays under the number of its
    epoch. `kept` takes the best among those whose weights are there; `dry_run` changes nothing. Raises SettingsError,
    ModelFileError, and MachineError where the run is being trained.
    """
    function = fitness if callable(fitness) else None
    folder, checkpoint = run_to_resume(run, {})
    if checkpoint is not None:
        raise ModelFileError(f"{run}: give the folder of the run; best.pt is chosen among all of its epochs.")
    if dry_run:
        choice, done = choose(folder, fitness, function), False
    else:
        choice, done = choose_again(folder, fitness, function, even_if_not_the_best=kept, tell=observer or _say_nothing)
    if done and (folder.path / PAGE_FILE).is_file():
        write_page(folder.path)
    chosen = choice.best_kept if kept or choice.best is choice.best_kept else None
    return Selection(
        run=folder.path,
        fitness=choice.settings.fitness,
        fitness_before=choice.checkpoint.settings["fitness"],
        epochs=choice.epochs,
        best_before=choice.was_best,
        chosen=chosen,
        done=done,
        text=_in_words(choice, chosen, folder, done=done),
    )


def _in_words(choice: Choice, chosen: RatedEpoch | None, folder: RunFolder, *, done: bool) -> str:
    best, kept, name = choice.best, choice.best_kept, choice.settings.fitness
    if best is None:
        return f"No epoch of {folder.path} has a value of {name}, so none can be chosen."
    if chosen is None:
        missing = f"By {name} epoch {best.epoch + 1} is best ({best.fitness:.4f}), but its weights were not kept."
        if kept is None:
            return f"{missing} No other epoch's were either. Nothing was changed."
        return (
            f"{missing} The best of those that were is epoch {kept.epoch + 1} ({kept.fitness:.4f}); --kept (in Python"
            " kept=True) makes best.pt of it. Nothing was changed."
        )
    same = chosen.epoch == choice.was_best
    if not done:
        becomes = "best.pt stays what it is" if same else f"best.pt would be epoch {chosen.epoch + 1}"
        return f"By {name} {becomes} ({chosen.fitness:.4f}). Nothing was changed."
    what = "best.pt stays" if same else "best.pt is now"
    stays = "" if same or choice.was_best is None else f" Epoch {choice.was_best + 1}, which it was, stays beside it."
    return (
        f"{what} epoch {chosen.epoch + 1} ({chosen.fitness:.4f} by {name}).{stays} From here on {name} says which epoch"
        f" of this run is best; peakmark resume {folder.path} goes on with that, and draws its pictures anew."
    )


def _say_nothing(event: Event) -> None:
    """For a library call that gives its result back."""
