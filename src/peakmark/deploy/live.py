"""How are pictures of a camera or a network stream read, the newest first, for as long as they come?

A thread reads all that comes and keeps the newest picture alone: a detector that is slower than the camera looks at
what is there now, not at what was there a minute ago, and memory is that of a few pictures. What was passed over is
counted and said. A stream that breaks is opened again, after longer and longer waits. Must not know detections.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np

from peakmark.deploy.frames import Frame, Origin
from peakmark.deploy.video import UnreadableVideoError
from peakmark.events import Notice, Observer

LIVE_SCHEMES = ("rtsp", "rtsps", "rtmp", "http", "https", "tcp", "udp", "srt")

_WAITS_S = (1.0, 2.0, 5.0, 10.0, 30.0, 30.0)
"""Before each attempt to open a broken stream again; after the last it is given up."""
_TIMEOUT_MS = 10_000
"""For a stream to answer; libraries wait for half a minute otherwise, and forever where a camera only falls silent."""
_END_S = 2.0
"""For the thread to end; one that waits for a silent camera is left behind."""

OpenCapture = Callable[[int | str], Any]
"""Opens a camera or an address; gives what has `isOpened`, `read` and `release` as OpenCV's captures have."""


def read_live(
    address: int | str,
    stride: int,
    observer: Observer,
    *,
    open_capture: OpenCapture | None = None,
    waits_s: Sequence[float] = _WAITS_S,
) -> Iterator[Frame]:
    """Gives the newest picture whenever one is asked for; of the pictures that come, every `stride`-th counts.

    `address`: the number of a camera, or a URL. A frame's number is its place among all that came. Ends by
    `UnreadableVideoError`: at once where it can't be opened, later where it can't be opened again.
    """
    shown = shown_address(address)
    reader = _Reader(address, shown, stride, open_capture or _open, waits_s)
    thread = threading.Thread(target=reader.run, name=f"peakmark reads {shown}", daemon=True)
    thread.start()
    looked_at = 0
    try:
        while True:
            newest = reader.newest()
            for text in reader.told():
                observer(Notice(text, serious=True))
            if newest is None:
                break
            number, image = newest
            looked_at += 1
            pixels = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)
            del newest, image  # only the caller's hold keeps a picture alive
            frame = Frame(pixels, Origin(_file_name(shown), None, number, None, kind="video", live=True))
            del pixels
            yield frame
            del frame
    finally:
        reader.stop()
        thread.join(_END_S)
        if reader.came > looked_at:
            passed = f"{reader.came - looked_at:,} were passed over, since newer ones had come or by vid_stride"
            observer(Notice(f"{shown}: {reader.came:,} frames came, {looked_at:,} were looked at; {passed}."))
    raise UnreadableVideoError(reader.failure)


def is_live(text: str) -> bool:
    """Whether a source names a camera by its number, or a stream by its address."""
    return text.isdecimal() or text.partition("://")[0].lower() in LIVE_SCHEMES


def shown_address(address: int | str) -> str:
    """The address for a person, without the password that may stand in it."""
    if isinstance(address, int):
        return f"camera {address}"
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _file_name(shown: str) -> str:
    """A name for copies."""
    return re.sub(r"[^\w-]+", "_", shown.partition("://")[2] or shown).strip("_") + ".mp4"


class _Reader:
    """Reads what comes, in a thread of its own, and has the newest picture for whoever asks."""

    def __init__(
        self, address: int | str, shown: str, stride: int, open_capture: OpenCapture, waits_s: Sequence[float]
    ) -> None:
        self._address = address
        self._shown = shown
        self._stride = stride
        self._open = open_capture
        self._waits_s = waits_s
        self._stop = threading.Event()
        self._change = threading.Condition()
        self._newest: tuple[int, Any] | None = None
        self._told: list[str] = []
        self._is_over = False
        self.came = 0
        """How many pictures were read."""
        self.failure = ""
        """Why there are no more."""

    # --- for whoever looks at the pictures ---------------------------------------------------------------------------

    def newest(self) -> tuple[int, Any] | None:
        """Waits for a picture that wasn't given yet; None where no more come."""
        with self._change:
            self._change.wait_for(lambda: self._newest is not None or self._is_over)
            newest, self._newest = self._newest, None
            return newest

    def told(self) -> list[str]:
        """What happened meanwhile, for the user."""
        with self._change:
            told, self._told = self._told, []
            return told

    def stop(self) -> None:
        """Lets the thread end."""
        self._stop.set()

    # --- the thread ---------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Reads until it is told to stop, or until the stream is given up."""
        try:
            self._read_and_reconnect()
        finally:
            with self._change:
                self._is_over = True
                self._change.notify_all()

    def _read_and_reconnect(self) -> None:
        failures = 0
        while not self._stop.is_set():
            came_before = self.came
            was_open = self._read_until_it_breaks()
            if self._stop.is_set():
                return
            failures = 0 if self.came > came_before else failures + 1
            if not self.came and failures:
                remedy = "Check the number, or that the address can be played, e.g. by ffplay, from this machine."
                state = "gives no pictures" if was_open else "can't be opened"
                self.failure = f"{self._shown} {state}. {remedy}"
                return
            if failures >= len(self._waits_s):
                self.failure = f"{self._shown} broke off and could not be opened again in {failures} attempts."
                return
            wait_s = self._waits_s[failures]
            self._tell(f"{self._shown} broke off after {self.came:,} frames; opening it again in {wait_s:g} s.")
            self._stop.wait(wait_s)

    def _read_until_it_breaks(self) -> bool:
        """Whether it could be opened at all."""
        capture = None
        try:
            capture = self._open(self._address)
            if not capture.isOpened():
                return False
            while not self._stop.is_set():
                there, image = capture.read()
                if not there:
                    break
                self._take(image)
        except cv2.error:  # an odd frame is a broken stream, not the end of the program
            return self.came > 0
        finally:
            if capture is not None:
                capture.release()
        return True

    def _take(self, image: Any) -> None:
        with self._change:
            number, self.came = self.came, self.came + 1
            if number % self._stride == 0:
                self._newest = (number, image)
                self._change.notify_all()

    def _tell(self, text: str) -> None:
        with self._change:
            self._told.append(text)


def _open(address: int | str) -> Any:
    if isinstance(address, int):
        return cv2.VideoCapture(address)
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _TIMEOUT_MS]
    return cv2.VideoCapture(address, cv2.CAP_FFMPEG, limits)
