"""What did a choice of classes leave of a split? In a sentence, for a person; what is chosen is decided elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from peakmark.data.source.indexed_split import Index
from peakmark.settings.chosen_classes import in_words


def choice_notes(index: Index, classes: Sequence[int] | None, names: Sequence[str]) -> tuple[str, ...]:
    """Says how many objects are used and left out; nothing where all classes are taken.

    `classes` and `names`: as the data have them, whether they are made one class then or not.
    """
    if classes is None or index.unchosen is None:
        return ()
    used, left_out, emptied = len(index.classes), int(index.unchosen.sum()), index.contents.background_by_choice
    return (
        f"{index.split}: {in_words(classes, names)}: {used:,} of {used + left_out:,} objects are used, the"
        f" {left_out:,} of other classes are left out; {emptied:,} images are background by that.",
    )
