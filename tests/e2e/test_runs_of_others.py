"""An interrupted run of another program goes on as ours, from what its file holds; the table says what is lost."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.beside import PEER

from peakmark import YOLO, diagnose
from peakmark.checkpoint.format import Checkpoint
from peakmark.checkpoint.reader import read
from peakmark.errors import ModelFileError, SettingsError
from peakmark.events import Event, ResumePlanned, SeamJudged
from peakmark.model.detector import Detector, detector_from_weights
from peakmark.model.foreign.names import foreign_names
from peakmark.model.foreign.training import read_foreign_training
from peakmark.model.scales import SCALES

QUIET: dict[str, Any] = {"plots": False, "workers": 0}
COLUMNS = (
    *(f"{split}/{term}_loss" for split in ("train", "val") for term in ("box", "cls", "dfl")),
    *(f"metrics/{name}(B)" for name in ("precision", "recall", "mAP50", "mAP50-95")),
    *(f"lr/pg{group}" for group in range(3)),
)


@pytest.fixture(scope="module")
def stopped(trained: Any) -> tuple[Checkpoint, Detector]:
    checkpoint = read(trained[0].last)
    # An average there counts no microbatches.
    weights = {n: torch.zeros_like(t) if n.endswith("_tracked") else t for n, t in checkpoint.model.items()}
    return checkpoint, detector_from_weights(SCALES[checkpoint.architecture], weights)


@pytest.fixture
def interrupted(stopped: Any, write_foreign: Any, tmp_path: Path) -> Callable[..., Path]:
    """Writes a file as the peer's program leaves it when it is killed in its third epoch of four."""
    checkpoint, model = stopped

    def write(names: Any = None, **other: Any) -> Path:
        args = {
            "task": "detect", "mode": "train", "imgsz": checkpoint.settings["imgsz"], "epochs": 4, "batch": 4,
            "nbs": 8, "optimizer": "AdamW", "lr0": 0.01, "momentum": 0.937, "data": "elsewhere/data.yaml",
            "warmup_epochs": 0.0,
        }  # fmt: skip
        table = {name: [0.5, 0.25] for name in COLUMNS} | {"epoch": [1, 2], "time": [3.0, 7.0]}
        beside = {
            "epoch": 1, "updates": 9, "train_args": args, "train_results": table, "license": "AGPL-3.0",
            "optimizer": optimizer_there(model),
        }  # fmt: skip
        path: Path = write_foreign(tmp_path / "last.pt", model, names or list(checkpoint.names), **{**beside, **other})
        return path

    return write


def moment(name: str, shape: torch.Size) -> torch.Tensor:
    """Another one for each parameter."""
    return torch.full(tuple(shape), 1e-4 * (1 + sum(map(ord, name)) % 97))


def optimizer_there(model: Detector) -> dict[str, Any]:
    """Numbered as there: weights, norms and biases, each in the order of the file's modules; the bins have none."""
    table, parameters = foreign_names(model), dict(model.named_parameters())
    ours = {there: name for name, there in table.items()}
    # As modules lie in the file: by layer, and within one as a stand-in is made (see files_by_hand.py).
    inside = {"cv1": 0, "cv2": 1, "cv3": 2, "m": 3, "dfl": 9, "conv": 0, "bn": 1}

    def place(there: str) -> list[tuple[int, int]]:
        return [(0, int(part)) if part.isdecimal() else (1, inside.get(part, 0)) for part in there.split(".")[1:-1]]

    groups: dict[str, list[str]] = {"weight": [], "bn": [], "bias": []}
    for there in sorted((table[name] for name in parameters), key=lambda name: (place(name), name.endswith("bias"))):
        kind = "bias" if there.endswith("bias") else "bn" if ".bn." in there else "weight"
        groups[kind].append(there)
    numbered = [there for kind in groups.values() for there in kind]
    state = {
        number: {
            "step": torch.tensor(9.0),
            "exp_avg": moment(ours[there], parameters[ours[there]].shape),
            "exp_avg_sq": moment(ours[there], parameters[ours[there]].shape),
        }
        for number, there in enumerate(numbered)
        if ours[there] != "head.bins"
    }
    said, begin = [], 0
    for kind, names in groups.items():
        numbers = list(range(begin, begin + len(names)))
        said.append({"param_group": kind, "params": numbers, "initial_lr": 0.002, "betas": (0.9, 0.999)})
        begin += len(names)
    return {"state": state, "param_groups": said}


def test_each_moment_finds_its_own_parameter(interrupted: Any, stopped: Any):
    training = read_foreign_training(interrupted())
    assert training.lost == ""
    assert (training.epochs_done, training.updates, training.lr0, training.momentum) == (2, 9, 0.002, 0.9)
    trained = {name: each for name, each in stopped[1].named_parameters() if name != "head.bins"}
    assert training.moments.keys() == trained.keys()
    for name, parameter in trained.items():
        for key in ("exp_avg", "exp_avg_sq"):
            assert torch.equal(training.moments[name][key], moment(name, parameter.shape)), name


def test_it_goes_on_to_its_end_with_its_history_and_its_settings(
    interrupted: Any, stopped: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    checkpoint, model = stopped
    saved: list[Checkpoint] = []
    monkeypatch.setattr("peakmark.resume.foreign_run.save", lambda state, path: saved.append(state))
    told: list[Event] = []
    data = checkpoint.provenance["data"]["yaml"]
    done = YOLO().resume(interrupted(), data=data, project=tmp_path / "runs", observer=told.append, **QUIET)
    (begun,) = saved
    seen = max(9, 2 * -(-checkpoint.provenance["data"]["train_images"] // 4))
    assert all(tensor >= seen for name, tensor in begun.model.items() if name.endswith("_tracked"))
    assert (begun.position.epoch, begun.position.images, begun.position.step, begun.ema_updates) == (2, 0, 9, 9)
    for name, tensor in model.state_dict().items():
        rounded = tensor.half().float() if tensor.is_floating_point() else tensor.clamp(min=seen)
        assert torch.equal(begun.model[name], rounded)
        assert torch.equal(begun.training_weights[name], rounded), "its raw weights are lost"
    assert {float(each["step"]) for each in begun.optimizer["state"].values()} == {9.0}
    first = next(iter(begun.optimizer["state"].values()))["exp_avg"]
    assert torch.equal(first, moment("backbone.stem.conv.weight", first.shape))
    assert (begun.settings["lr0"], begun.settings["momentum"], begun.settings["nbs"]) == (0.002, 0.9, 8)
    (planned,) = [event for event in told if isinstance(event, ResumePlanned)]
    fates = {part.part: part.fate for part in planned.plan.parts}
    assert fates["raw weights"] == fates["open epoch"] == "re-initialised"
    assert fates["optimizer"] == fates["averaged weights"] == "carried over"

    assert done.summary["outcome"] == "finished"
    rows = list(csv.DictReader((done.save_dir / "results.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert [float(row["metrics/mAP50-95(B)"]) for row in rows[:2]] == [0.5, 0.25]
    assert float(rows[1]["train/box_loss"]) == 0.25
    assert done.summary["best"]["epoch"] >= 3, "figures of another evaluation are not compared with ours"
    last = read(done.last)
    assert last.provenance["imported"]["license"] == "AGPL-3.0"
    assert [segment.from_epoch for segment in last.history.segments] == [0, 2]
    (judged,) = [event for event in told if isinstance(event, SeamJudged)]
    assert judged.epoch == 3, "its first epochs are watched"
    assert "doesn't tell of this resume" not in judged.verdict.text
    assert "went on from last.pt, which Ultralytics 8.0.0 left after epoch 2" in last.history.segments[1].reason


def test_a_run_that_went_on_is_resumed_like_any_other(interrupted: Any, stopped: Any, tmp_path: Path):
    data = stopped[0].provenance["data"]["yaml"]
    quiet = {**QUIET, "observer": lambda event: None}
    done = YOLO().resume(interrupted(), data=data, epochs=3, project=tmp_path / "runs", **quiet)
    assert diagnose(done.save_dir).healthy, "nothing in its state contradicts itself"
    longer = YOLO().resume(done.save_dir, epochs=4, yes=True, observer=lambda event: None)
    assert longer.save_dir == done.save_dir
    assert read(longer.last).position.epoch == 4


@pytest.mark.parametrize("lost", [{"optimizer": None}, {"optimizer": {"state": {}, "param_groups": []}}])
def test_without_moments_the_rate_rises_anew_and_the_table_says_so(interrupted: Any, stopped: Any, lost: Any):
    data = stopped[0].provenance["data"]["yaml"]
    planned = YOLO().plan_resume(interrupted(**lost), data=data)
    (part,) = [part for part in planned.plan.parts if part.part == "optimizer"]
    assert part.fate == "re-initialised"
    assert "holds no state of its optimizer; the rate rises anew" in part.why


def test_moments_that_do_not_fit_are_all_left(interrupted: Any, stopped: Any):
    said = optimizer_there(stopped[1])
    first = said["state"][0]
    for wrong in ({**first, "exp_avg": first["exp_avg"][:1]}, {**first, "exp_avg": first["exp_avg"] * float("nan")}, 5):
        there = interrupted(optimizer={**said, "state": {**said["state"], 0: wrong}})
        training = read_foreign_training(there)
        assert training.moments == {}
        assert "fit its parameter" in training.lost or "not built as torch builds it" in training.lost
    swapped = [said["param_groups"][1], said["param_groups"][0], *said["param_groups"][2:]]
    for groups in ([{**said["param_groups"][0], "param_group": "all"}], said["param_groups"][:2]):
        assert read_foreign_training(interrupted(optimizer={**said, "param_groups": groups})).lost
    assert not read_foreign_training(interrupted(optimizer={**said, "param_groups": swapped})).lost, "by their names"


def test_what_can_not_go_on_is_refused(interrupted: Any, stopped: Any, tmp_path: Path):
    data = stopped[0].provenance["data"]["yaml"]
    with pytest.raises(ModelFileError, match="its training has ended, so there is nothing to go on with"):
        YOLO().plan_resume(interrupted(epoch=-1), data=data)
    with pytest.raises(ModelFileError, match="doesn't say how far its training was"):
        YOLO().plan_resume(interrupted(epoch=None, train_results=None), data=data)
    with pytest.raises(SettingsError, match=r"trained on elsewhere/data\.yaml, which isn't here"):
        YOLO().plan_resume(interrupted())
    with pytest.raises(ModelFileError, match="the same classes in the same order"):
        YOLO().plan_resume(interrupted(["another", *stopped[0].names[1:]]), data=data)


@pytest.mark.skipif(not PEER.is_dir(), reason="the peer's recorded files (../shared/peers) are not beside this")
def test_the_peers_own_interrupted_file_is_read_with_all_its_moments():
    training = read_foreign_training(PEER / "interrupted-last.pt")
    assert (training.epochs_done, training.updates, training.optimizer, training.lost) == (15, 58, "AdamW", "")
    assert (training.lr0, training.momentum) == (0.001429, 0.9)
    assert len(training.moments) == 183
    assert {float(each["step"]) for each in training.moments.values()} == {58.0}
    assert np.allclose(training.history["metrics/mAP50-95(B)"][-1], 0.16987)
