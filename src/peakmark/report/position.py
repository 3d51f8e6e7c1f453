"""How does a person read where a run is? In epochs and images, counted from 1; the same words wherever it is said."""

from __future__ import annotations

from peakmark.nouns.run import Position


def position_in_words(position: Position) -> str:
    """Gives for example: in epoch 17 after 96 images.

    Between two epochs it names the one that has ended: after the last one, no other comes.
    """
    if position.phase == "validate":
        return f"at the validation of epoch {position.epoch + 1}"
    if position.images == 0:
        return f"after epoch {position.epoch}" if position.epoch else "at the start of epoch 1"
    return f"in epoch {position.epoch + 1} after {position.images:,} images"
