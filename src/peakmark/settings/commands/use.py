"""Which settings are there for using a model? Those of val, predict and gate, as `fields` has those of a training.

What a setting does is not known here, only what it means; that it has its effect is a test.
"""

from __future__ import annotations

from typing import Literal

from peakmark.settings import shared_settings as shared
from peakmark.settings.declaration import REQUIRED, Classes, Device, Real, SettingsModel, Text, Whole, setting
from peakmark.settings.shared_words import (
    AS_IN_ITS_TRAINING,
    DETECTION,
    INPUT,
    MACHINE,
    OUTPUT,
    REQUIREMENTS,
    BadLabels,
    Requirements,
    Verify,
)


class _OnASplit(SettingsModel):
    """A model and what it is validated on."""

    model: Text = shared.model(or_exported=True)
    data: Text | None = setting(
        None, "a data.yaml, or shapes", INPUT, "content", unset="the data that the model was trained on"
    )
    download: bool = shared.download()
    split: Literal["val", "test", "train"] = setting("val", "the part of the data", INPUT, "result")
    bad_labels: BadLabels | None = shared.bad_labels(None, unset="as the model was trained")
    max_image_pixels: Whole | None = shared.max_image_pixels(None, unset="as the model was trained")
    classes: Classes = setting(
        None,
        "measure these classes alone, by number or name, e.g. [0,2]: truths and detections of others are left out",
        INPUT,
        "result",
        unset="as the model was trained",
    )
    imgsz: Whole | None = shared.imgsz()


class ValSettings(_OnASplit):
    """The settings of a validation."""

    conf: Real | None = shared.conf(None, unset=AS_IN_ITS_TRAINING)
    iou: Real | None = shared.iou(None, unset=AS_IN_ITS_TRAINING)
    max_det: Whole | None = shared.max_det(None, unset=AS_IN_ITS_TRAINING)
    agnostic_nms: bool = shared.agnostic_nms()
    augment: bool = shared.augment()

    batch: Whole = shared.batch()
    device: Device | None = shared.device()
    workers: Whole | None = shared.workers()
    verify: Verify = shared.verify()

    project: Text = shared.project("the validation's")
    name: Text = shared.name("val")
    exist_ok: bool = shared.exist_ok()
    save_json: bool = setting(False, "write the detections as a COCO results file, predictions.json", OUTPUT, "output")
    save_txt: bool = shared.save_txt()
    save_conf: bool = shared.save_conf()
    plots: bool = shared.plots()


class PredictSettings(SettingsModel):
    """The settings of a prediction. Where the images come from is an argument of its own, not a setting."""

    model: Text = shared.model(or_exported=True)
    imgsz: Whole | None = shared.imgsz()
    max_image_pixels: Whole = shared.max_image_pixels()
    vid_stride: Whole = setting(1, "take every n-th frame of a video", INPUT, "result", unit="frames", ge=1)
    tiles: Whole | None = setting(
        None,
        "look at larger pictures in tiles of this size, joined without seams",
        INPUT,
        "result",
        unit="px",
        unset="a picture is made small enough for imgsz",
        ge=32,
    )
    tile_overlap: Real = setting(
        0.2,
        "share of a tile that the next one shows too; objects smaller than it are never cut",
        INPUT,
        "result",
        ge=0,
        le=0.5,
    )

    conf: Real = shared.conf(0.25)
    iou: Real = shared.iou(0.7)
    max_det: Whole = shared.max_det(300)
    agnostic_nms: bool = shared.agnostic_nms()
    augment: bool = shared.augment()
    classes: Classes = setting(
        None, "keep only these, by number or name, e.g. [0,2]", DETECTION, "result", unset="all classes"
    )

    batch: Whole | None = setting(
        None,
        "images looked at together, of one shape",
        MACHINE,
        "execution",
        unit="images",
        unset="8 of several images, 1 of one or a video",
        ge=1,
    )
    device: Device | None = shared.device()

    save: bool = setting(False, "write copies with the boxes drawn in", OUTPUT, "output")
    save_txt: bool = shared.save_txt()
    save_conf: bool = shared.save_conf()
    save_json: bool = setting(False, "write the detections as JSON", OUTPUT, "output")
    save_csv: bool = setting(False, "write the detections as CSV", OUTPUT, "output")
    save_crop: bool = setting(False, "write what is inside each box as a picture, by class", OUTPUT, "output")
    save_labelme: bool = setting(
        False, "write the detections as LabelMe files, to be corrected there and trained on", OUTPUT, "output"
    )
    show_boxes: bool = setting(True, "draw the boxes into saved copies", OUTPUT, "output")
    show_labels: bool = setting(True, "draw class names at the boxes", OUTPUT, "output")
    show_conf: bool = setting(True, "draw the confidence behind the names", OUTPUT, "output")
    line_width: Whole | None = setting(
        None, "width of the drawn boxes", OUTPUT, "output", unit="px", unset="by the size of the image", ge=1
    )
    project: Text = shared.project("the prediction's")
    name: Text = shared.name("predict")
    exist_ok: bool = shared.exist_ok()


class GateSettings(_OnASplit):
    """What a model must reach, and on which data."""

    require: Requirements = setting(
        REQUIRED, "what must hold, e.g. map50_95>=0.5,recall[RBC]>=0.9", REQUIREMENTS, "result"
    )
    at: Literal["value", "lower"] = setting(
        "value",
        "lower judges the end of the 95 % interval that speaks against the model",
        REQUIREMENTS,
        "result",
    )
    augment: bool = shared.augment()

    batch: Whole = shared.batch()
    device: Device | None = shared.device()
    workers: Whole | None = shared.workers()
    verify: Verify = shared.verify()
