"""How does one copy of best.pt get to its place? Asked first whether it may, verified, and its manifest written last.

Killed in between, the place holds the copy from before or the new one, each whole, and a manifest of one of the two.
It must not know threads, nor what a copy that fails comes to.
"""

from __future__ import annotations

import io
from dataclasses import replace
from typing import BinaryIO

from peakmark.errors import MachineError
from peakmark.files.stores import Store, sha256_of
from peakmark.release.manifest import CopyDecision, Manifest, copy_decision, from_bytes, to_bytes

MANIFEST = "backup.json"


def copy_best(store: Store, manifest: Manifest, source: BinaryIO | None) -> CopyDecision:
    """Brings a backup up to date and says what was done about it; deterministic but for what lies there.

    `manifest` lacks what is read off `source`, an open best.pt; without one only the place is claimed and found to be
    writable. Raises MachineError where the place says no or belongs to another run.
    """
    if source is not None:
        manifest = replace(manifest, sha256=sha256_of(source), size_bytes=source.seek(0, io.SEEK_END))
    there = store.read(MANIFEST)
    decision = copy_decision(None if there is None else from_bytes(there, store.place), manifest)
    if decision == "another run's":
        raise MachineError(f"{store.place} holds the copy of another run; back up to another place.")
    if decision == "copy":
        store.clean_leftovers()
        if source is not None:
            store.put(manifest.file, source)
        store.put(MANIFEST, io.BytesIO(to_bytes(manifest)))
    return decision
