"""A disk that is full in the middle of a training: the run goes on, says so, and makes it good or ends with an error.

On a small file system of its own, in memory, which only root may mount.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.exactness.waiting_run import WaitingRun
from tests.warm_processes import WarmProcesses

from peakmark.checkpoint.digest import everything
from peakmark.checkpoint.reader import read, read_position
from peakmark.errors import MachineError

DISK_BYTES = 26_000_000
"""Room for best.pt, last.pt and the next one, 5 MB each."""
ENOUGH_FOR_LINES_BYTES = 2_000_000
WISHES = {"model": "yolov8t.yaml", "imgsz": 32, "batch": 5, "nbs": 5, "plots": False, "workers": 0,
          "project": "runs", "name": "a", "keep": 1}  # fmt: skip


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    folder: Path = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    asked = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if not asked or asked.returncode:
        pytest.skip("mounting a small file system is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def words(tiny_data) -> Callable[[int], list[str]]:
    def train(epochs: int) -> list[str]:
        wishes = {**WISHES, "data": tiny_data, "epochs": epochs}
        return ["train", *(f"{name}={value}" for name, value in wishes.items())]

    return train


class Training(WaitingRun):
    """A training by the command line, which stands still after its second epoch."""

    def __init__(self, processes: WarmProcesses, words: list[str], disk: Path) -> None:
        super().__init__(processes, "EpochEnded", 2, words, disk, columns=200)
        self._filling = disk / "filling"

    def fill_disk(self, leave_bytes: int) -> None:
        """Leaves so little room, once both epochs are saved."""
        weights = self._filling.parent / "runs/a/weights"
        while not (weights / "last.pt").exists() or read_position(weights / "last.pt").epoch < 2:
            time.sleep(0.01)
        while list(weights.glob(".*")):
            time.sleep(0.01)
        free = shutil.disk_usage(self._filling.parent).free
        with open(self._filling, "wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, free - leave_bytes)

    def free_disk(self) -> None:
        """Makes room while the run holds its breath, or it would be over before."""
        self.send_signal(signal.SIGSTOP)
        self._filling.unlink()
        self.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("leave_bytes", [pytest.param(ENOUGH_FOR_LINES_BYTES, marks=pytest.mark.slow), 0])
def test_with_room_again_the_run_makes_it_good_by_itself(disk, words, warm_processes, leave_bytes):
    training = Training(warm_processes, words(epochs=12), disk)
    training.fill_disk(leave_bytes)
    training.go_on()
    training.wait_for("could not be written and is tried again; the files before it stand.")
    training.free_disk()
    assert training.end() == 0, training.printed
    weights = disk / "runs/a/weights"
    assert read(weights / "last.pt").position.epoch == 12
    assert read(weights / "best.pt").fitness == read(weights / "last.pt").best_fitness
    assert len((disk / "runs/a/results.csv").read_text().splitlines()) == 13


@pytest.mark.slow
@pytest.mark.parametrize("leave_bytes", [ENOUGH_FOR_LINES_BYTES, 0])
def test_a_disk_that_stays_full_is_an_error_and_nothing_is_lost(
    disk, words, train, warm_processes, peakmark, leave_bytes
):
    training = Training(warm_processes, words(epochs=4), disk)
    training.fill_disk(leave_bytes)
    training.go_on()
    assert training.end() == MachineError.exit_code, training.printed
    assert "Free some space there, or choose a folder on another disk." in training.printed
    assert "Traceback" not in training.printed
    run = disk / "runs/a"
    assert read(run / "weights/last.pt").position.epoch == 2, "what was saved before the disk was full"
    read(run / "weights/best.pt")
    assert [path.name for path in (run / "weights").iterdir() if path.name[0] == "."] == []
    (disk / "filling").unlink()
    goes_on = peakmark("resume", "runs/a", cwd=disk)
    assert goes_on.returncode == 0, goes_on.stderr
    uninterrupted = train(**{**WISHES, "project": disk.parent / "uninterrupted", "epochs": 4}).save_dir
    for name in ("last.pt", "best.pt"):
        assert everything(read(run / "weights" / name)) == everything(read(uninterrupted / "weights" / name))
