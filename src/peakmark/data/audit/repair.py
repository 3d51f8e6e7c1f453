"""How would the splits have to be, so that nothing is in two of them? As new lists; the data stay as they are.

What belongs together goes to one of the splits it was in, so that their sizes change as little as can be; of equal
files with equal labels one is kept. All else stays where it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from peakmark.data.audit.duplicates import Duplicates, groups_of, labels_of
from peakmark.data.audit.pool import Pool
from peakmark.data.audit.sequences import Torn
from peakmark.data.source.data_yaml import DatasetSpec
from peakmark.files.durable import write_bytes, write_text

YAML_FILE = "data.yaml"


@dataclass(frozen=True, slots=True)
class Repair:
    """A split of a pool in which nothing is torn apart."""

    splits: dict[str, tuple[int, ...]]
    """The images of each split, in the order of the pool."""
    moved: int
    """Images that are in another split than before."""
    left_out: int
    """Further copies of a file with the same labels."""


def repair_split(pool: Pool, duplicates: Duplicates, torn: Torn) -> Repair:
    """Makes whole what was torn apart. Deterministic."""
    left_out = _needless_copies(pool, duplicates.exact)
    kept = np.ones(len(pool), np.bool_)
    kept[left_out] = False
    together = (*duplicates.exact, *duplicates.near, *torn.sources, *torn.sequences)
    pairs = ((group[0], image) for group in together for image in group[1:])
    groups = [[image for image in group if kept[image]] for group in groups_of(len(pool), pairs)]
    split_N = pool.split_N.copy()
    in_torn = np.zeros(len(pool), np.bool_)
    for group in groups:
        in_torn[group] = len(set(split_N[group].tolist())) > 1
    wanted = np.bincount(pool.split_N[kept], minlength=len(pool.indexes))
    missing = wanted - np.bincount(pool.split_N[kept & ~in_torn], minlength=len(pool.indexes))
    # The largest come first: the small ones then even out what those could not.
    for group in sorted((group for group in groups if in_torn[group].any()), key=len, reverse=True):
        choices = sorted(set(split_N[group].tolist()))
        chosen = max(choices, key=lambda split: int(missing[split]))
        missing[chosen] -= len(group)
        split_N[group] = chosen
    splits = {
        index.split: tuple(np.flatnonzero(kept & (split_N == number)).tolist())
        for number, index in enumerate(pool.indexes)
    }
    return Repair(splits, moved=int((split_N != pool.split_N)[kept].sum()), left_out=len(left_out))


def write_split(repair: Repair, pool: Pool, spec: DatasetSpec, folder: Path) -> Path:
    """Writes a list for each split and a data.yaml that names them; gives its path. Raises `MachineError`."""
    lists = {}
    for split, images in repair.splits.items():
        file = (folder / f"{split}.txt").absolute()
        # Relative to the data set's folder where it can be: whoever moves the set then changes one line.
        names = (_name_in_list(pool.path(image), spec.root) for image in images)
        write_bytes(file, b"".join(os.fsencode(name) + b"\n" for name in names))
        lists[split] = str(file)
    content = {"path": str(spec.root), **lists, "names": dict(enumerate(spec.names))}
    write_text(folder / YAML_FILE, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    return folder / YAML_FILE


def _needless_copies(pool: Pool, exact: Iterable[tuple[int, ...]]) -> list[int]:
    needless = []
    for group in exact:
        seen: set[bytes] = set()
        for image in group:
            labels = labels_of(pool, image)
            if labels in seen:
                needless.append(image)
            seen.add(labels)
    return needless


def _name_in_list(path: Path, root: Path) -> str:
    return str(path.relative_to(root) if path.is_relative_to(root) else path)
