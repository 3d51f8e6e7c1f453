"""Has every setting an effect? Each of the declared ones has an entry here, and a setting without one fails.

A setting that bears on the result must change the weights that a short run ends with, set beside a run that differs in
nothing else. The others are shown to do what they declare.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from tests.web_server import WebServer

from peakmark import YOLO, TrainResults
from peakmark.checkpoint.background import BackgroundWriter
from peakmark.checkpoint.reader import read
from peakmark.data.images import decode_with_remark
from peakmark.errors import DataError, MachineError, TrainingError
from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.evidence_file import read as read_evidence
from peakmark.events import CheckpointSaved, EpochEnded, Notice, RunStarted, StepSkipped, TimeMeasured
from peakmark.machine.devices import Arithmetic
from peakmark.settings.description import describe
from peakmark.settings.fields import Settings
from peakmark.train.network import CompiledNetwork

# Two epochs of three updates: the first warms up and has mosaics, the second has neither.
BASELINE: dict[str, Any] = {
    "epochs": 2, "batch": 2, "nbs": 4, "fraction": 0.8, "warmup_epochs": 1, "close_mosaic": 1, "val": False,
    "save_interval": 0,
}  # fmt: skip

QUICK = {**BASELINE, "epochs": 1, "close_mosaic": 0}
"""Where one epoch shows it."""

WEIGHTS_DIFFER: dict[str, tuple[Any, dict[str, Any]]] = {
    # setting: (another value, what its baseline needs besides the common one)
    "imgsz": (64, {}),
    "fraction": (0.4, {}),
    "classes": ([0], {}),
    "single_cls": (True, {}),
    "seed": (1, {}),
    "epochs": (3, {}),
    "batch": (3, {}),
    "nbs": (8, {}),
    "optimizer": ("SGD", {}),
    "lr0": (0.005, {}),
    "lrf": (0.5, {}),
    # Half-way through the run a line and a cosine meet, so it takes three epochs to tell them apart.
    "cos_lr": (True, {"epochs": 3, "close_mosaic": 2}),
    "momentum": (0.5, {}),
    "weight_decay": (0.1, {}),
    "warmup_epochs": (2, {}),
    "warmup_momentum": (0.5, {}),
    "warmup_bias_lr": (0.1, {}),
    "clip_grad": (0.01, {}),
    "freeze": (3, {}),
    "mosaic": (0.0, {}),
    "close_mosaic": (2, {}),
    "mixup": (1.0, {}),
    "cutmix": (1.0, {}),
    "hsv_h": (0.5, {}),
    "hsv_s": (0.1, {}),
    "hsv_v": (0.1, {}),
    "degrees": (45, {}),
    "translate": (0.4, {}),
    "scale": (0.1, {}),
    "shear": (20, {}),
    "perspective": (0.001, {}),
    "fliplr": (0.0, {}),
    "flipud": (1.0, {}),
    "multi_scale": (1.0, {}),
    "box": (1.0, {}),
    "cls": (2.0, {}),
    "cls_pw": (1.0, {}),
    "dfl": (0.1, {}),
}


@pytest.fixture(scope="module")
def weights_of(train_in, tmp_path_factory):
    """The digest of the weights that a short run ends with; a baseline is trained once."""
    project = tmp_path_factory.mktemp("effects")
    known: dict[str, str] = {}

    def digest(**settings: Any) -> str:
        key = repr(sorted(settings.items()))
        if key not in known:
            with pytest.MonkeyPatch.context() as patch:
                # The digest is in the summary; to write two checkpoints takes longer than such a run.
                patch.setattr(BackgroundWriter, "submit", lambda self, checkpoint, *targets: None)
                known[key] = weights(train_in(project, **{**BASELINE, **settings}))
        return known[key]

    return digest


@pytest.mark.parametrize("name", WEIGHTS_DIFFER)
def test_another_value_gives_other_weights(weights_of, name):
    value, needed = WEIGHTS_DIFFER[name]
    assert weights_of(**{**needed, name: value}) != weights_of(**needed)


def test_the_comparison_can_tell_equal_from_different(weights_of, train):
    again = train(**BASELINE, save_period=1, workers=1, cache="disk", verify="fast", name="other", exist_ok=True)
    assert weights(again) == weights_of()


# --- where the weights come from ------------------------------------------------------------------------------------


def data_on_a_server(server: WebServer, write_set: Callable[..., Any], folder: Path) -> Path:
    """Gives a data.yaml whose data are an archive on a server."""
    made = write_set(folder / "made", train=5, val=2).parent
    archive = shutil.make_archive(str(folder / "set"), "zip", made)
    url = server.put("/set.zip", Path(archive).read_bytes())
    (folder / "far.yaml").write_text((made / "data.yaml").read_text() + f"\ndownload: {url}\n")
    return folder / "far.yaml"


def weights(results: TrainResults) -> str:
    return str(results.summary["digests"]["training_weights"])


def recorded(function: Callable[..., Any], calls: list[Any]) -> Callable[..., Any]:
    """The function, with the arguments of each call written down."""

    def call(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        return function(*arguments, **options)

    return call


def check_model(train, trained, weights_of, **_):
    assert weights(train(**BASELINE, model=trained[0].best)) != weights_of()


def check_pretrained(train, trained, weights_of, **_):
    from_model, from_pretrained = (
        train(**{**BASELINE, "model": "yolov8n.yaml", name: trained[0].best}) for name in ("model", "pretrained")
    )
    assert weights(from_pretrained) == weights(from_model) != weights_of()


def check_data(train, write_set, tmp_path, weights_of, **_):
    other = write_set(tmp_path / "other", val=1, seed=1)
    assert weights(train(**BASELINE, data=other)) != weights_of()


# --- validation and selection ---------------------------------------------------------------------------------------


def validated_epochs(train, **settings: Any) -> list[int]:
    events: list[Any] = []
    train(**{**QUICK, "val": True, **settings}, observer=events.append)
    return [event.record.epoch for event in events if isinstance(event, EpochEnded) and event.record.metrics]


def check_val(train, **_):
    assert validated_epochs(train, val=True) == [0]
    assert validated_epochs(train, val=False) == []


def check_val_period(train, **_):
    assert validated_epochs(train, epochs=3, val_period=2) == [1, 2]


def check_fitness(train, trained, **_):
    """From a model that finds something, so that the three forms differ."""
    start = {**QUICK, "val": True, "lr0": 1e-6, "imgsz": 64, "model": trained[0].best}
    fitness = {form: train(**start, fitness=form) for form in ("map50_95", "map50", "classic")}
    metrics = fitness["map50"].metrics
    assert metrics["map50"] > metrics["map50_95"] > 0
    assert fitness["map50"].fitness == metrics["map50"]
    assert fitness["map50_95"].fitness == metrics["map50_95"]
    assert fitness["classic"].fitness == pytest.approx(0.1 * metrics["map50"] + 0.9 * metrics["map50_95"])


def evidence_of(train, trained, **settings: Any) -> tuple[Evidence, TrainResults]:
    """What one epoch's validation left, from a model that finds something."""
    start = {**QUICK, "val": True, "lr0": 1e-6, "imgsz": 64, "model": trained[0].best, "average": False}
    results = train(**start, **settings)
    evidence = read_evidence(results.save_dir / "evidence/epoch1.npz")
    assert evidence is not None
    return evidence, results


def check_conf(train, trained, **_):
    evidence, results = evidence_of(train, trained, conf=0.05)
    assert 0.05 < evidence.scores_D.min() < 0.1
    assert results.summary["protocol"].endswith("per image and class, conf=0.05")
    assert read(results.last).history.segments[0].comparable.endswith(results.summary["protocol"])
    assert results.best is not None
    quiet: dict[str, Any] = {"observer": lambda event: None, "project": results.save_dir, "plots": False}
    repeated, otherwise = YOLO(results.best).val(**quiet), YOLO(results.best).val(**quiet, conf=0.3)
    assert (repr(repeated.metrics), repeated.protocol) == (repr(results.metrics), results.summary["protocol"])
    assert otherwise.detections < repeated.detections
    assert otherwise.protocol.endswith("conf=0.3")


def check_iou(train, trained, **_):
    few, many = (evidence_of(train, trained, iou=iou)[0] for iou in (0.1, 0.9))
    assert 0 < len(few.scores_D) < len(many.scores_D)


def check_max_det(train, trained, **_):
    assert np.bincount(evidence_of(train, trained, max_det=2)[0].image_D).max() == 2


def check_patience(train, **_):
    stuck = {**BASELINE, "val": True, "epochs": 3, "lr0": 1e-6}
    assert train(**stuck, patience=1, stop_phase="now").outcome == "early_stopped"
    assert train(**stuck, patience=0).outcome == "finished"


def check_min_delta(train, **_):
    """Nothing is found after so little, so every epoch equals the first; a gain of 0 counts where any would do."""
    wishes = {**BASELINE, "val": True, "epochs": 3, "patience": 1, "imgsz": 64, "stop_phase": "now"}
    gains = {"fitness": "1 + 0 * map50", **wishes}
    assert train(**gains, min_delta=0.5).outcome == "early_stopped"


def check_stop_phase(train, **_):
    stuck = {**BASELINE, "val": True, "epochs": 9, "lr0": 1e-6, "patience": 1, "mosaic": 1.0}
    assert validated_epochs(train, **stuck, stop_phase="now") == [0, 1]
    assert validated_epochs(train, **stuck, stop_phase="close") == [0, 1, 2]


def check_time(train, **_):
    results = train(**BASELINE, time=1e-6)
    assert results.outcome == "out_of_time"
    assert read(results.last).position.epoch == 0


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


TRAINING_CHECKS = {
    name.removeprefix("check_"): check for name, check in list(globals().items()) if name.startswith("check_")
}


@pytest.fixture
def parts(
    train, runs, trained, weights_of, write_set, tmp_path, monkeypatch, plant_nan, quick_compiler, request
) -> dict[str, Any]:
    """What a check may need."""
    return {
        "train": train, "runs": runs, "trained": trained, "weights_of": weights_of, "write_set": write_set,
        "tmp_path": tmp_path, "monkeypatch": monkeypatch, "plant_nan": plant_nan,
        "quick_compiler": quick_compiler, "request": request,
    }  # fmt: skip


@pytest.mark.parametrize("name", TRAINING_CHECKS)
def test_a_training_setting_does_what_it_declares(parts, name):
    TRAINING_CHECKS[name](**parts)


def test_every_training_setting_has_an_entry():
    assert {*WEIGHTS_DIFFER, *TRAINING_CHECKS} == set(describe(Settings))
    bearing = {name for name, setting in describe(Settings).items() if setting.bears_on == "result"}
    assert set(WEIGHTS_DIFFER) <= bearing, "what moves the weights belongs into the digest"
