"""Which files is a run trained on, and which are others than at its start? Kept beside the run, told where it matters.

It must not know what follows from a difference.
"""

from __future__ import annotations

from peakmark.files.durable import write_bytes
from peakmark.record.data_listing import differences, of, read, render
from peakmark.record.folder import RunFolder
from peakmark.run.open_data import OpenData


def write_data_files(folder: RunFolder, data: OpenData) -> None:
    """Writes the listing of the run's images and labels into its folder."""
    write_bytes(folder.data_files, render({split: index.file_digests() for split, index in data.splits.items()}))


def changed_files(folder: RunFolder, data: OpenData) -> tuple[str, ...]:
    """Says per split which files were added, removed or changed; empty where nothing was, or nothing is known."""
    before = read(folder.data_files)
    if before is None:
        return ()
    rows = (
        (split, image, labels, name)
        for split, index in data.splits.items()
        for name, image, labels in index.file_digests()
    )
    return differences(before, of(rows))
