"""How are the frames of a video read, one at a time, and how is an annotated copy written that is whole or not there?

Must not know detections or where else pictures come from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from peakmark.deploy.frames import Frame, Origin
from peakmark.errors import DataError, MachineError
from peakmark.events import Notice, Observer
from peakmark.files import durable
from peakmark.nouns.images import ImageArray

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv"})

_FALLBACK_FPS = 30.0
"""For a copy of a video that doesn't say how fast it runs."""


def read_video(path: Path, stride: int, observer: Observer) -> Iterator[Frame]:
    """Gives every `stride`-th frame, upright as the file says; one frame is in memory at a time.

    A video that ends before its header says so is reported. Raises `UnreadableVideoError`.
    """
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        fps = capture.get(cv2.CAP_PROP_FPS)
        origin_fps = fps / stride if math.isfinite(fps) and fps > 0 else None
        claimed = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        index = 0
        while capture.grab():
            if index % stride == 0:
                decoded, image = capture.retrieve()
                if not decoded:
                    break
                pixels = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)
                count = claimed if claimed > 0 else None
                yield Frame(pixels, Origin(path.name, path, index, count, kind="video", fps=origin_fps))
            index += 1
    finally:
        capture.release()
    if index == 0:
        remedy = "Play it to see whether it is whole, or convert it to mp4."
        raise UnreadableVideoError(f"{path}: not a video that can be read. {remedy}")
    if index < claimed:
        text = f"{path}: the file claims {claimed} frames, but only {index} could be read. It may be damaged."
        observer(Notice(text, serious=True))


class UnreadableVideoError(DataError):
    """Not even one frame of this file can be read."""


class VideoCopy:
    """Writes frames to `target`, an mp4; the name appears when the last frame is in it.

    It ends by `finish` or `discard`. Raises `MachineError` where the file can't be written.
    """

    def __init__(self, target: Path, fps: float | None, width_px: int, height_px: int) -> None:
        self._target = target
        self._size_px = (width_px, height_px)
        # The container is chosen by the ending, so the staged name must keep it.
        self._staged = durable.stage(target).with_suffix(".mp4")
        codec = cv2.VideoWriter.fourcc(*"mp4v")
        self._writer = cv2.VideoWriter(str(self._staged), codec, fps or _FALLBACK_FPS, self._size_px)
        self._frames = 0
        if not self._writer.isOpened():
            self.discard()
            remedy = "Check the rights and the free space of its folder."
            raise MachineError(f"Can't write the video {target} ({width_px} x {height_px} px). {remedy}")

    def add(self, image_bgr: ImageArray) -> None:
        """Appends a frame."""
        if (image_bgr.shape[1], image_bgr.shape[0]) != self._size_px:
            # The writer leaves out frames of another size without a word.
            image_bgr = np.asarray(cv2.resize(image_bgr, self._size_px), dtype=np.uint8)
        self._writer.write(image_bgr)
        self._frames += 1

    def finish(self) -> None:
        """Closes the video, looks whether every frame is in it, and gives it its name."""
        self._writer.release()
        written = _count_frames(self._staged)
        if written != self._frames:
            self.discard()
            remedy = "The disk may be full: free some space, or choose another folder."
            raise MachineError(f"Only {written} of {self._frames} frames came into {self._target}. {remedy}")
        durable.publish(self._staged, self._target)

    def discard(self) -> None:
        """Closes the video and takes it away."""
        self._writer.release()
        self._staged.unlink(missing_ok=True)


def _count_frames(path: Path) -> int:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        return max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
    finally:
        capture.release()
