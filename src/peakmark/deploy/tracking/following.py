"""Which results belong to one video, and how do they get their ids? One tracker a video, frame by frame, in order.

Must not know how objects are matched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from peakmark.deploy.boxes import Boxes
from peakmark.deploy.frames import Origin
from peakmark.deploy.results import Results
from peakmark.deploy.tracking.tracker import Tracker, TrackRules
from peakmark.nouns.images import Detections


class Following:
    """Gives results their ids. A new video begins anew; pictures that are no video are taken for frames of one."""

    def __init__(self, rules: TrackRules) -> None:
        """Raises `MachineError` where scipy is not installed."""
        self._tracker = Tracker(rules)
        self._video: tuple[str, Path | str | None] | None = None
        self._last_index = -1

    @property
    def rules(self) -> TrackRules:
        return self._tracker.rules

    def follow(self, results: Iterable[Results]) -> Iterator[Results]:
        """Gives the same results with the followed objects alone, each with its id. Memory is that of the objects."""
        for result in results:
            if self._is_another_video(result.origin):
                self._tracker = Tracker(self.rules)
            followed = self._followed(result)
            del result  # only the caller's hold keeps a picture alive
            yield followed

    def _followed(self, result: Results) -> Results:
        found = result.boxes.numpy()
        classes = found.cls.astype(np.int64)
        numbers, ids = self._tracker.follow(Detections(found.xyxy, found.conf, classes))
        chosen = Detections(found.xyxy[numbers], found.conf[numbers], classes[numbers])
        return replace(result, boxes=Boxes.from_detections(chosen, result.orig_shape, ids))

    def _is_another_video(self, origin: Origin) -> bool:
        video = (origin.kind, origin.path or origin.name) if origin.kind == "video" else ("image", None)
        # The same file twice in a list is two videos.
        begins = origin.kind == "video" and origin.index <= self._last_index
        is_another = self._video is not None and (video != self._video or begins)
        self._video, self._last_index = video, origin.index
        return is_another
