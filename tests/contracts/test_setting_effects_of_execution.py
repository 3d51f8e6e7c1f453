"""Has every setting of how a run is carried out an effect: on which machine, with what kept, what done where it fails?

`test_setting_effects.py` has the others, and the test that none is left out.
"""

from __future__ import annotations

import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from tests.calls import recorded
from tests.contracts.short_runs import BASELINE, QUICK, weights
from tests.web_server import WebServer, data_on_a_server

from peakmark import YOLO
from peakmark.checkpoint.reader import read
from peakmark.data.images import decode_with_remark
from peakmark.errors import DataError, MachineError, TrainingError
from peakmark.events import CheckpointSaved, MicrobatchDone, Notice, RunStarted, StepSkipped, TimeMeasured
from peakmark.machine.devices import Arithmetic
from peakmark.train.network import CompiledNetwork

# --- machine --------------------------------------------------------------------------------------------------------


def check_amp(train, monkeypatch, **_):
    monkeypatch.setattr("peakmark.machine.devices._native_bfloat16", lambda: True)
    mixed, plain = train(**QUICK), train(**QUICK, amp=False)
    assert read(mixed.last).arithmetic["precision"] == "bfloat16"
    assert read(plain.last).arithmetic["precision"] == "float32"
    assert weights(plain) != weights(mixed)


def check_deterministic(train, monkeypatch, **_):
    """It chooses among a GPU's kernels; what it tells torch is the same without one."""
    for wish in (True, False):
        stored = read(train(**QUICK, deterministic=wish).last).arithmetic
        monkeypatch.setattr(torch.backends.cudnn, "benchmark", wish)
        with Arithmetic.from_plain({**stored, "device": "cuda:0"}).in_force():
            assert torch.are_deterministic_algorithms_enabled() == wish
            assert torch.backends.cudnn.benchmark != wish


def check_compile(train, quick_compiler, monkeypatch, **_):
    """That compiled code is near the plain one, and the same each time, is shown where it is really compiled."""
    shapes: list[Any] = []
    rehearse = CompiledNetwork._rehearse
    monkeypatch.setattr(CompiledNetwork, "_rehearse", recorded(rehearse, shapes))
    assert read(train(**QUICK).last).arithmetic["compiled"] is False
    assert shapes == []
    assert read(train(**QUICK, compile=True).last).arithmetic["compiled"] is True
    assert [tuple(images.shape) for _, images in shapes] == [(2, 3, 32, 32)]


def check_threads(train, monkeypatch, request, **_):
    request.getfixturevalue("all_cores")
    used: list[int] = []
    before = torch.get_num_threads()
    assert (
        read(train(**QUICK, threads=2, observer=lambda event: used.append(torch.get_num_threads())).last).arithmetic[
            "threads"
        ]
        == 2
    )
    assert set(used) == {2}
    assert torch.get_num_threads() == before, "what was set for the run is put back after it"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert read(train(**QUICK).last).arithmetic["threads"] == 1


def check_device(train, **_):
    assert read(train(**QUICK, device="cpu").last).arithmetic["device"] == "cpu"
    with pytest.raises(MachineError, match="device=cuda:7"):
        train(**QUICK, device="7")


def check_processes(tiny_data, monkeypatch, **_):
    """What they compute is shown in exactness/test_several_processes.py."""
    asked = _launched(tiny_data, monkeypatch, processes=2)
    assert asked[1] == 2
    assert asked[0][0] == "train"
    assert {"batch=2", "processes=2", "val=False"} <= set(asked[0])
    assert _launched(tiny_data, monkeypatch, device="0,1")[1] == 2


def check_process_timeout(tiny_data, monkeypatch, **_):
    """That a process waits no longer is shown there as well."""
    assert "process_timeout=7" in _launched(tiny_data, monkeypatch, processes=2, process_timeout=7)[0]


def _launched(data: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> tuple[list[str], int]:
    """What processes are started with."""
    asked: list[tuple[list[str], int]] = []

    def launch(words: list[str], processes: int, environment: dict[str, str], *, quiet: bool) -> int:
        asked.append((words, processes))
        return 3

    monkeypatch.setattr("peakmark.api.model.together.launch", launch)
    with pytest.raises(SystemExit) as ended:
        YOLO("yolov8n.yaml").train(**{**QUICK, "data": data, **settings})
    assert ended.value.code == 3
    return asked[0]


def check_workers(train, monkeypatch, **_):
    pools: list[Any] = []
    monkeypatch.setattr("peakmark.data.loader.ThreadPoolExecutor", recorded(ThreadPoolExecutor, pools))
    train(**QUICK, workers=0)
    assert pools == []
    train(**QUICK, workers=3)
    assert set(pools) == {(3,)}


def check_cache(train, monkeypatch, **_):
    reads: list[Any] = []
    monkeypatch.setattr("peakmark.data.cache.decode_with_remark", recorded(decode_with_remark, reads))

    def count(mode: str) -> int:
        reads.clear()
        train(**QUICK, cache=mode)
        return len(reads)

    each_once = count("ram")
    assert each_once == len(set(reads)) == count("disk")
    assert count("device") == len(set(reads)) <= each_once  # a tile that ends up outside the picture isn't read
    assert count("off") > 2 * each_once


def check_profile(train, weights_of, **_):
    """It tells where the time went, and leaves the run as it is."""

    def measured(profile: bool) -> tuple[int, Any]:
        events: list[Any] = []
        results = train(**QUICK, profile=profile, observer=events.append)
        return sum(isinstance(event, TimeMeasured) for event in events), results.summary["digests"]

    (told, with_it), (silent, without) = measured(True), measured(False)
    assert (told, silent) == (1, 0)
    assert with_it == without
    assert with_it["training_weights"] == weights_of(**QUICK)


def check_bad_labels(train, write_set, tmp_path, **_):
    data = write_set(tmp_path / "worn")
    for file in ("01.txt", "02.txt"):
        with open(tmp_path / "worn/labels/train" / file, "a") as stream:
            stream.write("0 0.5 0.5 0.2 1.7\n")
    with pytest.raises(DataError, match="2 label lines are wrong, in 2 files"):
        train(**{**QUICK, "data": data})
    told = [
        train(**{**QUICK, "data": data, "fraction": 1}, bad_labels=how).summary["data"]
        for how in ("drop", "drop_image")
    ]
    assert [each["train_images"] for each in told] == [10, 8]
    assert len({each["train"] for each in told}) == 2


def check_max_image_pixels(train, write_set, tmp_path, **_):
    data = write_set(tmp_path / "set")
    for file in ("00.png", "01.png"):
        cv2.imwrite(str(data.parent / "images/train" / file), np.zeros((100, 100, 3), np.uint8))
    wishes = {**QUICK, "data": data, "fraction": 1}
    told = [train(**wishes, max_image_pixels=most).summary["data"] for most in (10_000, 9_999)]
    assert [each["train_images"] for each in told] == [10, 8]
    assert len({each["train"] for each in told}) == 2


def check_verify(train, write_set, tmp_path, **_):
    data = write_set(tmp_path / "set")
    cv2.imwrite(str(data.parent / "images/train/00.png"), np.full((64, 64, 3), 1000, np.uint16))
    said: list[Any] = []
    for verify in ("fast", "full"):
        results = train(**{**QUICK, "data": data, "fraction": 1, "epochs": 2}, verify=verify, observer=said.append)
        fingerprint = results.summary["data"]["train"]
        assert fingerprint.startswith("fast:") == (verify == "fast")
        # What is odd about an image is told once: by the index, or where it is decoded for the first time.
        remarks = [event.text for event in said if isinstance(event, Notice) and "nearly black" in event.text]
        remarks += [note for event in said if isinstance(event, RunStarted) for note in event.notes if "nearly" in note]
        assert len(remarks) == 1
        assert "00.png" in remarks[0]
        said.clear()


# --- what goes wrong, what is kept ----------------------------------------------------------------------------------


def check_max_nonfinite(train, plant_nan, **_):
    plant_nan(range(100))
    events: list[Any] = []
    with pytest.raises(TrainingError, match=r"^2 updates in a row were not finite"):
        train(**QUICK, max_nonfinite=2, observer=events.append)
    assert [event.in_a_row for event in events if isinstance(event, StepSkipped)] == [1, 2]


def check_project(train, tmp_path, **_):
    assert train(**QUICK, project=tmp_path / "elsewhere").save_dir == tmp_path / "elsewhere/train"


def check_name(train, runs, **_):
    assert train(**QUICK, name="mine").save_dir == runs / "mine"


def check_exist_ok(train, runs, **_):
    first, second = train(**QUICK), train(**QUICK)
    third = train(**QUICK, exist_ok=True)
    assert [each.save_dir.name for each in (first, second, third)] == ["train", "train2", "train"]
    assert (runs / "train3/weights/last.pt").is_file()


def check_keep(train, **_):
    for keep, files in ((1, 2), (2, 4), (9, 5)):
        run = train(**{**BASELINE, "val": True, "keep": keep, "epochs": 3}).save_dir
        names = sorted(path.name for path in (run / "weights").iterdir())
        assert len(names) == files, f"{names}\n{(run / 'journal.jsonl').read_text()}"


def check_download(train, write_set, tmp_path, monkeypatch, **_):
    """Data that lie on a server of this machine are fetched with it, and not without."""
    monkeypatch.setenv("PEAKMARK_CACHE", str(tmp_path / "cache"))
    with WebServer().running() as server:
        data = data_on_a_server(server, write_set, tmp_path)
        with pytest.raises(DataError, match="write download=True"):
            train(**QUICK, data=data)
        assert train(**QUICK, data=data, download=True).last
        # It is here now, so nothing has to be agreed to.
        assert train(**QUICK, data=data).last
        assert len(server.asked) == 1


def check_average(train, **_):
    for average in (False, True):
        results = train(**{**BASELINE, "val": True, "average": average})
        assert (results.summary["averaging"] is not None) == average


def check_save_period(train, **_):
    kept = train(**QUICK, save_period=1).save_dir.glob("weights/*.pt")
    assert sorted(file.name for file in kept) == ["epoch1.pt", "last.pt"]


def check_save_interval(train, **_):
    def inside(interval: float) -> int:
        events: list[Any] = []
        train(**{**QUICK, "save_interval": interval}, observer=events.append)
        return sum(isinstance(event, CheckpointSaved) and event.position.images > 0 for event in events)

    assert inside(0) == 0
    assert inside(1e-6) > 0


def check_log_to(train, monkeypatch, **_):
    calls: list[Any] = []

    def messenger(run: Path, name: str) -> Silent:
        calls.append((run, name))
        return Silent()

    monkeypatch.setattr("peakmark.loggers.watch.Messenger", messenger)
    done = train(**{**QUICK, "log_to": "tensorboard,wandb"})
    assert calls == [(done.save_dir, "tensorboard"), (done.save_dir, "wandb")]


class Silent:
    """A messenger that does nothing."""

    name, done = "silent", {"done": "nowhere"}

    def said(self):
        return ()

    def is_at_work(self, wait_s):
        return False

    def end(self):
        pass

    stop = end


def check_backup(train, tmp_path, **_):
    done = train(**{**QUICK, "val": True, "backup": tmp_path / "copies"})
    (copy,) = (tmp_path / "copies").glob("*/best.pt")
    assert copy.read_bytes() == done.best.read_bytes()


def check_plots(train, **_):
    assert list(train(**QUICK).save_dir.glob("*.jpg")) == []
    assert len(list(train(**{**QUICK, "plots": True}).save_dir.glob("train_batch?.jpg"))) == 3


def check_watch(train, weights_of, **_):
    """The address answers while the run goes and no longer, and the weights are those of the run without it."""
    addresses: list[str] = []
    pages: list[str] = []

    def observe(event: Any) -> None:
        if isinstance(event, Notice) and "http://127.0.0.1:" in event.text:
            addresses.append(event.text.split()[-1])
            pages.append(urllib.request.urlopen(addresses[0], timeout=10).read().decode())
        if isinstance(event, MicrobatchDone) and not addresses:
            time.sleep(3)  # these epochs are over before any server is up

    done = train(**QUICK, watch=True, observer=observe)
    assert len(addresses) == 1
    assert done.save_dir.name in pages[0]
    assert addresses[0] not in (done.save_dir / "journal.jsonl").read_text()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(addresses[0], timeout=10)
    assert done.summary["digests"]["training_weights"] == weights_of(**QUICK)


CHECKS = {name.removeprefix("check_"): check for name, check in list(globals().items()) if name.startswith("check_")}


@pytest.mark.parametrize("name", CHECKS)
def test_a_training_setting_does_what_it_declares(parts, name):
    CHECKS[name](**parts)
