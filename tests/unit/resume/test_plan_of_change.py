"""What a resume will do is said of every part: nothing that bears on the result changes without a word."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from peakmark.machine.devices import Arithmetic
from peakmark.nouns.resume import Cause, ChangePlan, PlannedPart
from peakmark.nouns.run import Position
from peakmark.resume.expected import NOT_COMPARED
from peakmark.resume.health.causes import BEST_FOR_LAST, UPDATE_COUNT
from peakmark.resume.plan import plan
from peakmark.resume.seam import Seam, Side
from peakmark.settings.class_weights import class_weights
from peakmark.settings.description import describe
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import recipe
from peakmark.state.segments import next_horizon, next_recipe, segment_begins

ARITHMETIC = Arithmetic("cpu", "a processor", "bfloat16", 2, True, True)
POSITION = Position(16, 40, "train", 99)


def side(**changes: Any) -> Side:
    settings = Settings.model_validate({"data": "d.yaml", "epochs": 30, "optimizer": "SGD", "lr0": 0.01} | changes)
    return Side(
        settings=settings,
        recipe=recipe(settings, classes=3, images=205, objects=(100, 0, 7)),
        horizon=settings.epochs,
        rate=0.005,
        mosaic_open=True,
        architecture="yolov8n",
        names=("a", "b"),
        arithmetic=ARITHMETIC,
        versions={"torch": "2.13.0"},
        train="t1",
        val="v1",
        protocol="COCO",
    )


def planned(after: Side, before: Side | None = None, **seam: Any) -> ChangePlan:
    return plan(Seam(Path("runs/train"), seam.pop("position", POSITION), before or side(), after, **seam))


def part(made: ChangePlan, name: str) -> PlannedPart:
    (found,) = (each for each in made.parts if each.part == name)
    return found


def test_with_nothing_changed_all_is_carried_over_and_exact():
    made = planned(side())
    assert {each.fate for each in made.parts} == {"carried over"}
    assert (made.changes, made.inexact, dict(made.expected), made.dangers) == ((), (), {}, ())


OTHER_VALUES: dict[str, Any] = {
    "imgsz": 320, "fraction": 0.5, "classes": (0,), "single_cls": True, "seed": 3, "epochs": 40, "val": False,
    "val_period": 2,
    "fitness": "map50", "patience": 7, "min_delta": 0.01, "stop_phase": "now",
    "batch": 8, "nbs": 32, "parts": 2, "optimizer": "AdamW", "lr0": 0.02, "lrf": 0.1,
    "cos_lr": True, "momentum": 0.8, "weight_decay": 0.001, "warmup_epochs": 1.0, "warmup_momentum": 0.5,
    "warmup_bias_lr": 0.05, "clip_grad": 1.0, "freeze": (0, 1), "max_nonfinite": 9, "mosaic": 0.5, "close_mosaic": 3,
    "mixup": 0.3, "cutmix": 0.3,
    "hsv_h": 0.1, "hsv_s": 0.1, "hsv_v": 0.1, "degrees": 5.0, "translate": 0.3, "scale": 0.1,
    "shear": 2.0, "perspective": 0.0005, "fliplr": 0.0, "flipud": 0.5, "multi_scale": 0.5, "box": 5.0, "cls": 1.0,
    "cls_pw": 0.5, "dfl": 1.0, "amp": False, "deterministic": False, "compile": True, "conf": 0.1, "iou": 0.5,
    "max_det": 500,
}  # fmt: skip


def _followed(after: Side) -> Side:
    """The rest of a side that follows from its settings, as a resume works it out."""
    wishes = after.settings
    return replace(
        after,
        rate=0.004 if wishes.lrf != 0.01 or wishes.cos_lr or wishes.lr0 != 0.01 or wishes.warmup_epochs != 3 else 0.005,
        names=("object",) if wishes.single_cls else after.names,
        train="t2" if wishes.fraction != 1 or wishes.classes else after.train,
        arithmetic=replace(
            ARITHMETIC,
            precision="bfloat16" if wishes.amp else "float32",
            deterministic=wishes.deterministic,
            compiled=wishes.compile,
        ),
    )


@pytest.mark.parametrize("name", [n for n, each in describe(Settings).items() if each.bears_on == "result"])
def test_every_setting_that_bears_on_the_result_is_told_of(name):
    made = planned(_followed(side(**{name: OTHER_VALUES[name]})))
    assert any(change.startswith(f"{name}: ") for change in made.changes)
    assert "settings or data that bear on the result were changed" in made.inexact
    told = [each for each in made.parts if each.fate != "carried over" and each.part != "stopping"]
    about_stopping = ("patience", "min_delta", "stop_phase")
    assert told or (name in about_stopping and part(made, "stopping")), "nothing says what becomes of it"


@pytest.mark.parametrize("name", ["conf", "iou", "max_det"])
def test_other_thresholds_of_validation_begin_best_anew(name):
    made = planned(replace(side(**{name: OTHER_VALUES[name]}), protocol="COCO, otherwise"))
    assert part(made, "best epoch").fate == "re-initialised"
    assert f"validated with {name}: " in part(made, "best epoch").why


def test_a_run_that_was_measured_by_another_protocol_begins_best_anew_and_says_by_which():
    """One of an earlier Peakmark, with more objects in an image than COCO counts."""
    made = planned(replace(side(), protocol="COCO without its cap"))
    assert "COCO without its cap" in part(made, "best epoch").why
    assert made.changes == ("what is measured: COCO -> COCO without its cap",)


@pytest.mark.parametrize("name", [n for n, each in describe(Settings).items() if each.bears_on == "execution"])
def test_what_bears_on_nothing_keeps_the_run_exact(name):
    values = {
        "time": 1.0,
        "device": "cpu",
        "workers": 3,
        "cache": "off",
        "verify": "fast",
        "threads": 2,
        "download": True,
        "processes": 2,
        "watch": True,
        "process_timeout": 60.0,
    }
    made = planned(side(**{name: values[name]}))
    assert made.inexact == ()
    assert part(made, "machine and files").fate == "changed"


def test_threads_stay_and_where_there_are_fewer_processors_that_is_said():
    made = planned(side(), cores=1)
    told = part(made, "threads")
    assert told.fate == "carried over"
    assert told.why.startswith("2, as the run began, though this process may use 1 processor: the same bits")
    assert "threads=1 is faster" in told.why
    assert made.inexact == ()
    for cores in (2, 16, None):
        assert not [each for each in planned(side(), cores=cores).parts if each.part == "threads"]


def test_other_threads_are_told_and_inexact():
    after = side(threads=1)
    made = planned(replace(after, arithmetic=replace(ARITHMETIC, threads=1)), cores=1)
    assert part(made, "threads").why == "2 -> 1: sums are added in another order"
    assert made.inexact == ("another number of threads (2 -> 1) adds in another order",)
    assert not [each for each in made.parts if each.part == "machine and files"], "the result does not stay the same"


def test_another_optimizer_is_new_and_its_rate_counts_as_it_moves():
    after = replace(side(optimizer="AdamW", lr0=0.001), rate=0.0005)
    made = planned(after)
    assert part(made, "weights").fate == "carried over"
    assert part(made, "optimizer").fate == "re-initialised"
    assert "0.005 -> 0.0005 in the next epoch, times 0.1" in part(made, "learning rate").why
    assert "like times 1" in part(made, "learning rate").why
    assert not made.dangers
    again = planned(replace(after, rate=0.005))
    assert [each.part for each in again.dangers] == ["learning rate"]


@pytest.mark.parametrize(("ratio", "dangerous"), [(0.01, False), (1.0, False), (7.9, False), (9.99, False), (10, True)])
def test_ten_times_the_rate_is_dangerous(ratio, dangerous):
    made = planned(replace(side(lr0=0.02), rate=0.005 * ratio))
    assert bool(made.dangers) == dangerous
    assert part(made, "learning rate").fate == ("carried over" if ratio == 1 else "changed")


def test_a_line_from_30_to_45_epochs_is_named_with_both_rates():
    # 0.01 * (0.01 + 0.99 / 30) and, at epoch 31 of 45, 0.01 * (0.01 + 0.99 * 15 / 45).
    before = replace(side(), rate=0.00043)
    after = replace(side(epochs=45), rate=0.0034)
    made = planned(after, before, position=Position(30, 0, "train", 120))
    assert "0.00043 -> 0.0034 in the next epoch, times 7.91 (schedule=stretch" in part(made, "learning rate").why
    assert not part(made, "learning rate").dangerous


def test_mosaic_and_mixup_together_are_dangerous_and_one_alone_is_not():
    closed = replace(side(mixup=0.5), mosaic_open=False)
    assert [each.part for each in planned(side(mixup=0.5), closed).dangers] == ["augmentation"]
    assert not planned(side(mixup=0.5), replace(side(), mosaic_open=True)).dangers
    assert "without effect" in part(planned(closed, replace(side(), mosaic_open=False)), "augmentation").why


def test_architecture_and_classes_are_refused_with_the_remedy():
    other = planned(replace(side(), architecture="yolov8s"))
    assert "peakmark train model=yolov8n.yaml pretrained=runs/train/weights/last.pt" in other.refusals[0].why
    classes = planned(replace(side(), names=("a", "c")))
    assert "peakmark train model=runs/train/weights/last.pt data=..." in classes.refusals[0].why
    assert planned(side(pretrained="x.pt")).refusals


def test_a_contradiction_is_a_danger_but_an_older_file_is_only_said():
    wrong, older = (Cause(name, "evidence.", "remedy.", 0.9) for name in (UPDATE_COUNT, BEST_FOR_LAST))
    made = planned(side(), contradictions=(wrong, older))
    assert [each.part for each in made.dangers] == [UPDATE_COUNT]
    assert part(made, BEST_FOR_LAST).fate == "carried over"


def test_a_moved_folder_may_be_named_and_another_one_not():
    assert not planned(side(project="runs", name="train")).refusals
    assert planned(side(project="elsewhere")).refusals
    assert not planned(side(project="elsewhere"), elsewhere="an older state").refusals


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"versions": {"torch": "2.14.0"}}, "torch 2.13.0 -> 2.14.0 may compute differently"),
        ({"arithmetic": replace(ARITHMETIC, device_name="another")}, "another rounds differently from a processor"),
        ({"arithmetic": replace(ARITHMETIC, precision="float32")}, "float32 rounds differently from bfloat16"),
    ],
)
def test_why_it_is_no_longer_exact_is_said(change, reason):
    assert planned(replace(side(), **change)).inexact == (reason,)


def test_images_that_are_augmented_elsewhere_make_another_run():
    after = replace(side(cache="device"), arithmetic=replace(ARITHMETIC, augmentation="torch"))
    made = planned(after)
    assert made.changes == ("cache: auto -> device",)
    assert made.inexact == ("settings or data that bear on the result were changed",)
    assert part(made, "augmentation by").why.startswith("by torch instead of opencv")
    assert expected(after)["train/box"] == (-0.05, 0.05)
    assert not [each for each in made.parts if each.part == "machine and files"]
    kept = planned(after, before=replace(after, settings=side(cache="device").settings))
    assert {each.fate for each in kept.parts} == {"carried over"}


# --- what the watch is told -----------------------------------------------------------------------------------------


def expected(after: Side) -> dict[str, tuple[float, float]]:
    return dict(planned(after).expected)


def test_what_cannot_be_compared_is_not():
    assert {name for name, shift in expected(side(imgsz=320)).items() if shift == NOT_COMPARED} == {
        "train/box", "train/cls", "train/dfl", "val/box", "val/cls", "val/dfl", "map50_95",
    }  # fmt: skip
    assert expected(side(cls=1.0)) == {"train/cls": NOT_COMPARED, "val/cls": NOT_COMPARED}
    assert expected(side(cls_pw=0.5)) == {"train/cls": NOT_COMPARED, "val/cls": NOT_COMPARED}
    assert expected(replace(side(), val="v2"))["map50_95"] == NOT_COMPARED


def test_announced_movements_have_a_direction():
    lower = expected(replace(side(lr0=0.005), rate=0.0025))
    assert lower["train/box"] == (-0.1, 0)
    assert lower["map50_95"] == (0, 0.02)
    more = expected(side(mixup=0.1))
    assert more["train/cls"] == (0, 0.1)
    assert not any(math.isinf(edge) for shift in {**lower, **more}.values() for edge in shift)


# --- what a segment is made of --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("horizon", "old", "new", "schedule", "next_one"),
    [
        (30, 30, 45, None, 30),
        (30, 30, 45, "hold", 30),
        (30, 30, 45, "stretch", 45),
        (30, 30, 20, None, 20),
        (30, 30, 20, "hold", 30),
        (30, 45, 40, None, 30),
        (30, 45, 60, None, 30),
        (30, 45, 45, "stretch", 45),
        (30, 30, 30, None, 30),
    ],
)
def test_the_horizon(horizon, old, new, schedule, next_one):
    assert next_horizon(horizon, old, new, schedule) == next_one


@pytest.fixture
def recipes() -> Callable[..., Any]:
    def make(
        old: dict[str, Any], new: dict[str, Any], *, same_horizon: bool = True, objects: tuple[int, ...] = (100, 7)
    ) -> Any:
        before, after = (Settings.model_validate({"data": "d", "epochs": 30} | each) for each in (old, new))
        was = recipe(before, classes=3, images=205, objects=(100, 7))
        fresh = recipe(after, classes=3, images=205, objects=objects)
        same_images = objects == (100, 7)
        return was, next_recipe(was, fresh, before, after, same_horizon=same_horizon, same_images=same_images)

    return make


def test_what_is_not_named_stays_whatever_the_rule_says_by_now(recipes):
    was, now = recipes({}, {"epochs": 3000})  # so long that the rule would choose SGD
    assert (was.optimizer, now) == ("AdamW", was)
    was, now = recipes({}, {"optimizer": "AdamW"})
    assert now == was
    was, now = recipes({}, {"lr0": 0.5})
    assert now == replace(was, lr0=0.5)


def test_another_optimizer_brings_its_own_numbers(recipes):
    _, now = recipes({}, {"optimizer": "SGD"})
    assert (now.optimizer, now.lr0, now.momentum) == ("SGD", 0.01, 0.937)


def test_another_window_scales_the_weight_decay(recipes):
    was, now = recipes({"batch": 16, "nbs": 64}, {"batch": 16, "nbs": 24})
    assert now.weight_decay == pytest.approx(was.weight_decay * 32 / 24)


def test_the_weight_decay_of_a_window_goes_by_the_run_s_own_nominal_batch(recipes):
    """30 epochs of 205 images gather a batch an update; 3,000 would gather 64, of which 48 are no whole share."""
    was, now = recipes({"batch": 24}, {"batch": 48, "epochs": 3000})
    assert (was.nbs, now.nbs) == (24, 24)
    assert now.weight_decay == pytest.approx(0.0005 * 48 / 24)


def test_another_horizon_brings_another_closing_unless_it_is_named(recipes):
    assert [each.close_mosaic for each in recipes({"epochs": 9}, {"epochs": 90})] == [3, 3]
    assert [each.close_mosaic for each in recipes({"epochs": 9}, {"epochs": 90}, same_horizon=False)] == [3, 10]
    named = recipes({"epochs": 9, "close_mosaic": 2}, {"epochs": 90, "close_mosaic": 2}, same_horizon=False)
    assert [each.close_mosaic for each in named] == [2, 2]
    assert [each.close_mosaic for each in recipes({}, {"close_mosaic": 4})] == [10, 4]


def test_class_weights_are_those_of_the_labels_that_the_run_goes_on_with(recipes):
    half = {"cls_pw": 0.5}
    was, now = recipes(half, half | {"lr0": 0.5})
    assert now.class_weights is was.class_weights
    was, now = recipes(half, half, objects=(50, 50))
    assert was.class_weights == class_weights(0.5, (100, 7))
    assert now.class_weights == class_weights(0.5, (50, 50))
    assert [each.class_weights for each in recipes({}, half)] == [(), class_weights(0.5, (100, 7))]
    assert [each.class_weights for each in recipes(half, {})] == [class_weights(0.5, (100, 7)), ()]


def test_other_class_weights_by_other_labels_are_told():
    before = side(cls_pw=0.5)
    after = replace(before, train="t2", recipe=replace(before.recipe, class_weights=(1.0, 1.0, 1.0)))
    made = planned(after, before)
    assert part(made, "class weights").why == "cls_pw=0.5 goes on with the numbers of objects as they are now"
    assert made.expected["val/cls"] == NOT_COMPARED
    assert "class weights" not in {each.part for each in planned(side(cls_pw=0.5)).parts}, "it is told under loss"


def test_a_trained_epoch_is_not_touched():
    assert segment_begins(Position(3, 8, "train", 9)) == (3, 8)
    assert segment_begins(Position(3, 8, "validate", 9)) == (4, 0)
