"""Has every setting an effect? Each of the declared ones has an entry here, and a setting without one fails.

A setting that bears on the result must change the weights that a short run ends with, set beside a run that differs in
nothing else. The others are shown to do what they declare.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.contracts.short_runs import BASELINE, QUICK, weights
from tests.contracts.test_setting_effects_of_execution import CHECKS as CHECKS_OF_EXECUTION

from peakmark import YOLO, TrainResults
from peakmark.checkpoint.reader import read
from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.evidence_file import read as read_evidence
from peakmark.events import EpochEnded
from peakmark.settings.description import describe
from peakmark.settings.fields import Settings

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
    "parts": (2, {"imgsz": 64}),
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


@pytest.mark.parametrize("name", WEIGHTS_DIFFER)
def test_another_value_gives_other_weights(weights_of, name):
    value, needed = WEIGHTS_DIFFER[name]
    assert weights_of(**{**needed, name: value}) != weights_of(**needed)


def test_the_comparison_can_tell_equal_from_different(weights_of, train):
    again = train(**BASELINE, save_period=1, workers=1, cache="disk", verify="fast", name="other", exist_ok=True)
    assert weights(again) == weights_of()


# --- where the weights come from ------------------------------------------------------------------------------------


def check_model(train, trained, weights_of, **_):
    assert weights(train(**BASELINE, model=trained[0].best)) != weights_of()


def check_pretrained(train, trained, weights_of, **_):
    from_model, from_pretrained = (train(**{**BASELINE, name: trained[0].best}) for name in ("model", "pretrained"))
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


STUCK = {**BASELINE, "val": True, "fitness": "1 + 0 * map50"}
"""Every epoch is as good as the first."""


def check_patience(train, **_):
    stuck = {**STUCK, "epochs": 3}
    assert train(**stuck, patience=1, stop_phase="now").outcome == "early_stopped"
    assert train(**stuck, patience=0).outcome == "finished"


def check_min_delta(train, **_):
    """A gain that is smaller is none."""
    gains = {**STUCK, "fitness": "1 + 0 * map50", "epochs": 3, "patience": 1, "stop_phase": "now"}
    assert train(**gains, min_delta=0.5).outcome == "early_stopped"


def check_stop_phase(train, **_):
    stuck = {**STUCK, "epochs": 9, "patience": 1, "mosaic": 1.0}
    assert validated_epochs(train, **stuck, stop_phase="now") == [0, 1]
    assert validated_epochs(train, **stuck, stop_phase="close") == [0, 1, 2]


def check_time(train, **_):
    results = train(**BASELINE, time=1e-6)
    assert results.outcome == "out_of_time"
    assert read(results.last).position.epoch == 0


CHECKS = {name.removeprefix("check_"): check for name, check in list(globals().items()) if name.startswith("check_")}


@pytest.mark.parametrize("name", CHECKS)
def test_a_training_setting_does_what_it_declares(parts, name):
    CHECKS[name](**parts)


def test_every_training_setting_has_an_entry():
    assert {*WEIGHTS_DIFFER, *CHECKS, *CHECKS_OF_EXECUTION} == set(describe(Settings))
    bearing = {name for name, setting in describe(Settings).items() if setting.bears_on == "result"}
    assert set(WEIGHTS_DIFFER) <= bearing, "what moves the weights belongs into the digest"
