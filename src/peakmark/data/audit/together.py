"""Which images belong together, and no split may tear apart? Copies, near duplicates, frames of a sequence."""

from __future__ import annotations

from peakmark.data.audit.duplicates import find_duplicates, groups_of
from peakmark.data.audit.pool import Pool
from peakmark.data.audit.sequences import find_together


def groups_in(pool: Pool) -> list[tuple[int, ...]]:
    """Gives every image of the pool in one group, most of them alone. Deterministic."""
    duplicates, torn = find_duplicates(pool), find_together(pool)
    together = [*duplicates.exact, *duplicates.near, *torn.sources, *torn.sequences]
    pairs = ((group[0], image) for group in together for image in group[1:])
    groups = list(groups_of(len(pool), pairs))
    grouped = {image for group in groups for image in group}
    return sorted([*groups, *((image,) for image in range(len(pool)) if image not in grouped)])
