"""How do the results of a whole source become one JSON and one CSV file, written as they come?

Lines go to a staged file that gets its name at the end, so a source of any length needs no memory and a reader never
meets half a table. Must not know pictures or models.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from peakmark.deploy.frames import SavedName
from peakmark.deploy.results import Results
from peakmark.errors import MachineError
from peakmark.files import durable
from peakmark.shown import as_cell, as_shown

_CSV_COLUMNS = ("image", "frame", "name", "class", "confidence", "x1", "y1", "x2", "y2")


class JsonTable:
    """A JSON list with an object for each picture, a line each, also where nothing was found."""

    def __init__(self, target: Path) -> None:
        self._text = _StagedText(target)
        self._text.write("[")
        self._separator = "\n"

    def add(self, result: Results, name: SavedName) -> None:
        """Appends a picture; `saved_as` joins it with its annotated copy and label file."""
        height, width = result.orig_shape
        picture: dict[str, Any] = {
            "image": result.path,
            "frame": _frame_number(result),
            "saved_as": name.picture,
            "width": width,
            "height": height,
            "detections": result.summary(),
        }
        self._text.write(self._separator + as_shown(json.dumps(picture, ensure_ascii=False)))
        self._separator = ",\n"

    def finish(self) -> None:
        """Closes the list and gives the file its name."""
        self._text.write("\n]\n")
        self._text.publish()

    def discard(self) -> None:
        """Takes away what was written."""
        self._text.discard()


class CsvTable:
    """A table with a header and a line for each box; pictures without boxes have none."""

    def __init__(self, target: Path, tracked: bool = False) -> None:
        """`tracked`: whether there is a last column, the id of the tracked object."""
        self._text = _StagedText(target)
        self._tracked = tracked
        self._text.write(_csv_line((*_CSV_COLUMNS, "track_id") if tracked else _CSV_COLUMNS))

    def add(self, result: Results, name: SavedName) -> None:
        """Appends a line for each box of the picture; the frame number stays empty for what is no video."""
        for found in result.summary():
            box = found["box"].values()
            tracked = (found.get("track_id"),) if self._tracked else ()
            row = (
                as_cell(result.path),
                _frame_number(result),
                as_cell(found["name"]),
                found["class"],
                found["confidence"],
                *box,
                *tracked,
            )
            self._text.write(_csv_line(row))

    def finish(self) -> None:
        """Gives the file its name."""
        self._text.publish()

    def discard(self) -> None:
        """Takes away what was written."""
        self._text.discard()


def _frame_number(result: Results) -> int | None:
    """From 1, as a person counts."""
    return result.origin.index + 1 if result.origin.kind == "video" else None


def _csv_line(row: tuple[Any, ...]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(row)
    return text.getvalue()


class _StagedText:
    """A text file that grows under a staged name until it is published or discarded."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._staged = durable.stage(target)
        try:
            self._stream = open(self._staged, "x", encoding="utf-8", newline="")  # noqa: SIM115 - closed at the end
        except OSError as error:
            raise self._explained(error) from error

    def write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except OSError as error:
            raise self._explained(error) from error

    def publish(self) -> None:
        try:
            self._stream.close()
        except OSError as error:
            self.discard()
            raise self._explained(error) from error
        durable.publish(self._staged, self._target)

    def discard(self) -> None:
        self._stream.close()
        self._staged.unlink(missing_ok=True)

    def _explained(self, error: OSError) -> MachineError:
        remedy = "Check the rights and the free space of its folder."
        return MachineError(f"Can't write {self._target}: {error.strerror}. {remedy}")
