"""Cameras and streams: the newest picture first, a bounded memory, opened again where they break, and a clean end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from peakmark.deploy.boxes import Boxes
from peakmark.deploy.frames import Origin
from peakmark.deploy.live import is_live, read_live, shown_address
from peakmark.deploy.results import Results
from peakmark.deploy.saving import open_saver
from peakmark.deploy.sources import open_source
from peakmark.deploy.video import UnreadableVideoError
from peakmark.events import Event, Notice
from peakmark.nouns.images import Detections


class Camera:
    """Gives pictures whose brightness is their number, one for each permit; breaks where its script says so."""

    def __init__(self, *stretches: int | None) -> None:
        """Each opening gives that many pictures and then breaks; None: can't be opened."""
        self._stretches = iter(stretches)
        self.permits = threading.Semaphore(0)
        self.opened = self.released = self.made = 0

    def __call__(self, address: int | str) -> Camera:
        self.opened += 1
        left = next(self._stretches, None)
        self._is_open, self._left = left is not None, left or 0
        return self

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's own name
        return self._is_open

    def read(self) -> tuple[bool, Any]:
        if not self._left:
            return False, None
        self._left -= 1
        if not self.permits.acquire(timeout=5):
            return False, None
        self.made += 1
        return True, np.full((8, 8, 3), self.made - 1, np.uint8)

    def release(self) -> None:
        self.released += 1

    def show(self, count: int) -> None:
        """Lets that many pictures come, and waits until they have."""
        until = self.made + count
        for _ in range(count):
            self.permits.release()
        wait_for(lambda: self.made == until)
        time.sleep(0.02)  # until the last one is handed over


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def texts(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice)]


@pytest.fixture
def no_wait_for_the_thread(monkeypatch):
    """The camera of these tests falls silent, and isn't waited for."""
    monkeypatch.setattr("peakmark.deploy.live._END_S", 0.05)


def test_whoever_is_slow_gets_the_newest_picture_and_hears_how_many_were_passed_over(no_wait_for_the_thread):
    camera, said = Camera(1000), list[Event]()
    frames = read_live(0, 1, said.append, open_capture=camera)
    camera.permits.release(1)
    first = next(frames)
    assert (first.origin.index, first.origin.live, first.origin.count) == (0, True, None)
    camera.show(50)
    newest = next(frames)
    assert (newest.origin.index, int(newest.image[0, 0, 0])) == (50, 50)
    camera.show(3)
    assert next(frames).origin.index == 53
    frames.close()  # type: ignore[attr-defined]
    camera.permits.release(10)
    wait_for(lambda: camera.released == 1)
    assert len(said) == 1
    assert "camera 0: 54 frames came, 3 were looked at; 51 were passed over" in texts(said)[0]


def test_every_nth_picture(no_wait_for_the_thread):
    camera = Camera(1000)
    frames = read_live(0, 10, lambda event: None, open_capture=camera)
    camera.permits.release(1)
    assert next(frames).origin.index == 0
    camera.show(24)
    assert next(frames).origin.index == 20
    frames.close()  # type: ignore[attr-defined]
    camera.permits.release(10)


def test_a_stream_that_breaks_is_opened_again_and_given_up_in_the_end():
    camera, said = Camera(2, None, 3, None, None, None), list[Event]()
    camera.permits.release(99)
    frames = read_live(
        "rtsp://me:secret@10.0.0.5/a", 1, said.append, open_capture=camera, waits_s=(0.001, 0.002, 0.003)
    )
    seen: list[int] = []
    with pytest.raises(
        UnreadableVideoError, match=r"rtsp://10\.0\.0\.5/a broke off and could not .* 3 attempts"
    ) as caught:
        seen.extend(frame.origin.index for frame in frames)
    assert seen == sorted(seen)
    assert seen[-1] == 4
    assert camera.opened == camera.released == 6
    told = texts(said)
    assert "broke off after 2 frames; opening it again in 0.001 s" in told[0]
    assert not any("secret" in text for text in (*told, str(caught.value)))


@pytest.mark.parametrize(("camera", "says"), [(Camera(None), "can't be opened"), (Camera(0, 5), "gives no pictures")])
def test_what_gives_no_picture_from_the_start_is_refused_at_once(camera, says):
    with pytest.raises(UnreadableVideoError, match=says):
        list(read_live(3, 1, lambda event: None, open_capture=camera))
    assert camera.opened == 1


def test_a_camera_that_raises_ends_with_its_sentence():
    def broken(address: int | str) -> Any:
        raise cv2.error("no driver")

    with pytest.raises(UnreadableVideoError, match="camera 0"):
        list(read_live(0, 1, lambda event: None, open_capture=broken))


def test_which_words_are_live():
    assert [
        text for text in ("0", "12", "rtsp://a", "RTMP://a", "http://a/x.mjpg", "udp://@:1") if not is_live(text)
    ] == []
    assert [text for text in ("", "-1", "a.mp4", "ftp://a", "0.mp4", "C://a") if is_live(text)] == []
    assert shown_address("rtsp://user:pass@host:554/a/b") == "rtsp://host:554/a/b"


# --- a server on this machine -----------------------------------------------------------------------------------------


@pytest.fixture
def mjpeg() -> Iterator[str]:
    """The address of a stream of JPEGs that never ends; the brightness rises."""
    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            shade = 0
            try:
                while not stop.is_set():
                    jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), shade % 250, np.uint8))[1].tobytes()
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
                    self.wfile.write(head + jpeg + b"\r\n")
                    shade += 1
                    stop.wait(0.002)
            except OSError:
                pass  # who watched has left

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/camera.mjpg"
    stop.set()
    server.shutdown()
    server.server_close()


def test_an_mjpeg_stream_is_read_saved_and_ended(mjpeg, tmp_path):
    said: list[Event] = []
    indices: list[int] = []

    def save_until_ctrl_c() -> None:
        with open_saver(tmp_path / "out", observer=said.append, csv=True) as saver:
            for frame in open_source(mjpeg, observer=said.append):
                assert frame.image.shape == (48, 64, 3)
                saver.add(Results(frame.image, boxes, {0: "a"}, frame.origin, {}))
                indices.append(frame.origin.index)
                time.sleep(0.02)
                if len(indices) == 4:
                    raise KeyboardInterrupt

    found = Detections(np.ones((1, 4), np.float32), np.ones(1, np.float32), np.zeros(1, np.int64))
    boxes = Boxes.from_detections(found, (48, 64))
    with pytest.raises(KeyboardInterrupt):
        save_until_ctrl_c()
    assert indices == sorted(set(indices))
    [video] = (tmp_path / "out").glob("*.mp4")
    assert video.name.startswith("127_0_0_1")
    assert cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FRAME_COUNT) == 4
    assert len((tmp_path / "out/predictions.csv").read_text().splitlines()) == 5


def test_a_stream_has_its_name_also_where_its_first_pictures_were_passed_over(tmp_path):
    found = Detections(np.ones((1, 4), np.float32), np.ones(1, np.float32), np.zeros(1, np.int64))
    image = np.zeros((48, 64, 3), np.uint8)
    with open_saver(tmp_path / "out", observer=lambda event: None, txt=True) as saver:
        for index in (3, 9):
            origin = Origin("camera_0.mp4", None, index, None, kind="video", live=True)
            saver.add(Results(image, Boxes.from_detections(found, (48, 64)), {0: "a"}, origin, {}))
    files = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    assert files == ["camera_0.mp4", "labels/camera_0_10.txt", "labels/camera_0_4.txt"]


def test_a_file_called_like_a_camera_is_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("7").mkdir()
    cv2.imwrite("7/a.png", np.zeros((8, 8, 3), np.uint8))
    assert [frame.origin.name for frame in open_source("7", observer=lambda event: None)] == ["a.png"]
