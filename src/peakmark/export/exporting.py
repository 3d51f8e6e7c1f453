"""How does a model become a file of another program? Written, loaded again, compared, and only then given its name.

A file that doesn't compute what the model computes gets no name, unless somebody agrees to it. It must not know which
images it is compared on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peakmark.errors import PeakmarkError
from peakmark.export.exported import ExportedModel, open_exported
from peakmark.export.format import Format, Order
from peakmark.export.parity import MOST_BOX_PX, MOST_SCORE, Parity
from peakmark.files.durable import publish, remove_folder, replace_folder, stage_folder, write_text
from peakmark.record.plain_json import as_json

_RECORD_IN_FOLDER = "export.json"


class ParityError(PeakmarkError):
    """A written file doesn't compute what the model computes."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written and compared; `str()` and `open()` take it as its path."""

    path: Path
    format: str
    size_bytes: int
    parity: Parity
    record: Path
    """What was found out, as JSON."""

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)


def export_to(
    target: Path,
    known: Format,
    order: Order,
    *,
    threads: int,
    judge: Callable[[ExportedModel], Parity],
    agree: Callable[[Parity], bool],
    said: dict[str, Any],
) -> Exported:
    """Writes, loads, compares and names a file, with a record beside it of what was found out and `said`.

    Raises ParityError where the parity doesn't hold and nobody agrees; then nothing stands under the name that didn't
    before. Raises MachineError.
    """
    assert known.write is not None
    staged = stage_folder(target.parent)
    try:
        # Under the name that it will have: openers tell a format by it.
        written = staged / target.name
        if known.is_folder:
            written.mkdir()
        known.write(order, written)
        parity = judge(open_exported(written, threads))
        if not parity.holds and not agree(parity):
            raise ParityError(f"{target} was not written: {_why(parity)}")
        record = _record(target, known)
        text = as_json({**said, "parity": dataclasses.asdict(parity), "holds": parity.holds}, indent=2)
        if known.is_folder:
            write_text(written / _RECORD_IN_FOLDER, text)
            size_bytes = sum(path.stat().st_size for path in written.iterdir())
            replace_folder(written, target)
        else:
            size_bytes = written.stat().st_size
            # The file first: a record without its file would tell of one that isn't there.
            publish(written, target)
            write_text(record, text)
        return Exported(target, known.name, size_bytes, parity, record)
    finally:
        remove_folder(staged)


def _record(target: Path, known: Format) -> Path:
    return target / _RECORD_IN_FOLDER if known.is_folder else target.with_name(f"{target.name}.json")


def _why(parity: Parity) -> str:
    outputs, accuracy = parity.outputs, parity.accuracy
    if parity.max_drop is not None and accuracy is not None:
        return (
            f"mAP50-95 falls from {accuracy.model:.4f} to {accuracy.exported:.4f}, by more than"
            f" max_drop={parity.max_drop:g}. Give it more room, more images to calibrate on, or agree with --yes"
            " (yes=True in Python)."
        )
    return (
        f"its boxes are up to {outputs.box_px:.3g} px and its scores up to {outputs.score:.2g} off the model's, where"
        f" {MOST_BOX_PX:g} px and {MOST_SCORE:g} are usual at most: the converter got something wrong. Agree with --yes"
        " (yes=True in Python) to have it all the same."
    )
