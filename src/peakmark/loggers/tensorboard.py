"""How does a run get into TensorBoard? As an events file in the run folder, which it finds by itself.

Written by the tensorboard package alone: torch's writer would load torch into a process that only copies numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peakmark.loggers.logger import Ending, Point, RunFacts


class TensorBoard:
    """Each process writes a file of its own, as TensorBoard's own writers do."""

    keeps_what_is_sent = True

    def __init__(self) -> None:
        self._writer: Any = None
        self._where = ""
        self._is_first = True

    def open(self, run: RunFacts, known_id: str | None) -> str:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
        from tensorboard.plugins.text.metadata import create_summary_metadata
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._writer = EventFileWriter(str(run.folder))
        self._where = f"tensorboard --logdir {run.folder}"
        if known_id is None:
            rows = (f"| {name} | {value} |" for name, value in run.settings.items())
            table = "\n".join(["| setting | value |", "|---|---|", *rows])
            text = TensorProto(
                dtype="DT_STRING", string_val=[table.encode()], tensor_shape=TensorShapeProto(dim=[{"size": 1}])
            )
            value = Summary.Value(tag="settings", tensor=text, metadata=create_summary_metadata("settings", ""))
            self._writer.add_event(Event(summary=Summary(value=[value])))
        self._is_first = True
        return run.folder.name

    def send(self, points: Sequence[Point]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary

        for point in points:
            if self._is_first:
                # What an earlier file has from this epoch on is what a kill cut off, or an epoch that is made again.
                start = SessionLog(status=SessionLog.START)
                self._writer.add_event(Event(wall_time=point.at_s, step=point.epoch, session_log=start))
                self._is_first = False
            values = [Summary.Value(tag=name, simple_value=value) for name, value in point.values.items()]
            self._writer.add_event(Event(wall_time=point.at_s, step=point.epoch, summary=Summary(value=values)))
        self._writer.flush()

    def close(self, ending: Ending | None) -> None:
        self._writer.close()

    @property
    def where(self) -> str:
        return self._where


def server() -> str:
    """The files lie in the run folder, wherever that is."""
    return "files"


def make() -> TensorBoard:
    return TensorBoard()
