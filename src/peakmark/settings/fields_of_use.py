"""Which settings are there for using a model? Those of val, predict and gate, as `fields` has those of a training.

What a setting does is not known here, only what it means; that it has its effect is a test.
"""

from __future__ import annotations

from typing import Literal

from peakmark.settings.declaration import REQUIRED, Classes, Device, Real, SettingsModel, Text, Whole, setting
from peakmark.settings.shared_words import (
    ALL_CLASSES,
    AS_IN_ITS_TRAINING,
    BAD_LABELS,
    BEST_DEVICE,
    BY_MACHINE,
    DETECTION,
    DEVICE,
    EXIST_OK,
    INPUT,
    MACHINE,
    MAX_IMAGE_PIXELS,
    MAX_PIXELS,
    MOST_PIXELS_DECODED,
    OUTPUT,
    REQUIREMENTS,
    VERIFY,
    WORKERS,
    BadLabels,
    Requirements,
    Verify,
)

_AGNOSTIC = "drop the weaker of two overlapping boxes whatever their classes are"


class _OnASplit(SettingsModel):
    """A model and what it is validated on."""

    model: Text = setting(REQUIRED, "the checkpoint, e.g. runs/detect/train/weights/best.pt", INPUT, "content")
    data: Text | None = setting(
        None, "a data.yaml, or shapes", INPUT, "content", unset="the data that the model was trained on"
    )
    split: Literal["val", "test", "train"] = setting("val", "the part of the data", INPUT, "result")
    bad_labels: BadLabels | None = setting(None, BAD_LABELS, INPUT, "content", unset="as the model was trained")
    max_image_pixels: Whole | None = setting(
        None, MAX_PIXELS, INPUT, "content", unit="px", unset="as the model was trained", ge=1, le=MOST_PIXELS_DECODED
    )
    classes: Classes = setting(
        None,
        "measure these classes alone, by number or name, e.g. [0,2]: truths and detections of others are left out",
        INPUT,
        "result",
        unset="as the model was trained",
    )
    imgsz: Whole | None = setting(
        None, "longer side of the images, a multiple of 32", INPUT, "result", unit="px", unset="the model's own", ge=32
    )


class ValSettings(_OnASplit):
    """The settings of a validation."""

    conf: Real | None = setting(
        None, "least confidence of a detection", DETECTION, "result", unset=AS_IN_ITS_TRAINING, ge=0, lt=1
    )
    iou: Real | None = setting(
        None,
        "overlap from which the weaker of two is dropped",
        DETECTION,
        "result",
        unset=AS_IN_ITS_TRAINING,
        ge=0,
        le=1,
    )
    max_det: Whole | None = setting(
        None, "most detections an image", DETECTION, "result", unset=AS_IN_ITS_TRAINING, ge=1
    )
    agnostic_nms: bool = setting(False, _AGNOSTIC, DETECTION, "result")

    batch: Whole = setting(16, "images at a time", MACHINE, "execution", unit="images", ge=1)
    device: Device | None = setting(None, DEVICE, MACHINE, "execution", unset=BEST_DEVICE)
    workers: Whole | None = setting(None, WORKERS, MACHINE, "execution", unit="threads", unset=BY_MACHINE, ge=0)
    verify: Verify = setting("full", VERIFY, MACHINE, "execution")

    project: Text = setting("runs/detect", "folder that the validation's folder lies in", OUTPUT, "output")
    name: Text = setting("val", "name of the folder; a number follows where it is taken", OUTPUT, "output")
    exist_ok: bool = setting(False, EXIST_OK, OUTPUT, "output")
    save_json: bool = setting(False, "write the detections as a COCO results file, predictions.json", OUTPUT, "output")
    save_txt: bool = setting(False, "write the detections as YOLO label files", OUTPUT, "output")
    save_conf: bool = setting(False, "add the confidence to the label files", OUTPUT, "output")
    plots: bool = setting(True, "draw the pictures", OUTPUT, "output")


class PredictSettings(SettingsModel):
    """The settings of a prediction. Where the images come from is an argument of its own, not a setting."""

    model: Text = setting(REQUIRED, "the checkpoint, e.g. runs/detect/train/weights/best.pt", INPUT, "content")
    imgsz: Whole | None = setting(
        None, "longer side of the images, a multiple of 32", INPUT, "result", unit="px", unset="the model's own", ge=32
    )
    max_image_pixels: Whole = setting(
        MAX_IMAGE_PIXELS, MAX_PIXELS, INPUT, "content", unit="px", ge=1, le=MOST_PIXELS_DECODED
    )
    vid_stride: Whole = setting(1, "take every n-th frame of a video", INPUT, "result", unit="frames", ge=1)

    conf: Real = setting(0.25, "least confidence of a detection", DETECTION, "result", ge=0, lt=1)
    iou: Real = setting(0.7, "overlap from which the weaker of two is dropped", DETECTION, "result", ge=0, le=1)
    max_det: Whole = setting(300, "most detections an image", DETECTION, "result", ge=1)
    agnostic_nms: bool = setting(False, _AGNOSTIC, DETECTION, "result")
    classes: Classes = setting(
        None, "keep only these, by number or name, e.g. [0,2]", DETECTION, "result", unset=ALL_CLASSES
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
    device: Device | None = setting(None, DEVICE, MACHINE, "execution", unset=BEST_DEVICE)

    save: bool = setting(False, "write copies with the boxes drawn in", OUTPUT, "output")
    save_txt: bool = setting(False, "write the detections as YOLO label files", OUTPUT, "output")
    save_conf: bool = setting(False, "add the confidence to the label files", OUTPUT, "output")
    save_json: bool = setting(False, "write the detections as JSON", OUTPUT, "output")
    save_csv: bool = setting(False, "write the detections as CSV", OUTPUT, "output")
    save_crop: bool = setting(False, "write what is inside each box as a picture, by class", OUTPUT, "output")
    show_boxes: bool = setting(True, "draw the boxes into saved copies", OUTPUT, "output")
    show_labels: bool = setting(True, "draw class names at the boxes", OUTPUT, "output")
    show_conf: bool = setting(True, "draw the confidence behind the names", OUTPUT, "output")
    line_width: Whole | None = setting(
        None, "width of the drawn boxes", OUTPUT, "output", unit="px", unset="by the size of the image", ge=1
    )
    project: Text = setting("runs/detect", "folder that the prediction's folder lies in", OUTPUT, "output")
    name: Text = setting("predict", "name of the folder; a number follows where it is taken", OUTPUT, "output")
    exist_ok: bool = setting(False, EXIST_OK, OUTPUT, "output")


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

    batch: Whole = setting(16, "images at a time", MACHINE, "execution", unit="images", ge=1)
    device: Device | None = setting(None, DEVICE, MACHINE, "execution", unset=BEST_DEVICE)
    workers: Whole | None = setting(None, WORKERS, MACHINE, "execution", unit="threads", unset=BY_MACHINE, ge=0)
    verify: Verify = setting("full", VERIFY, MACHINE, "execution")
