"""Which settings do several commands have? Each is declared once here, and stands in each command's own order.

Functions and no base classes: pydantic puts the fields of a base before all others, and help and files have an order.
"""

from __future__ import annotations

from typing import Any

from peakmark.settings.declaration import REQUIRED, setting
from peakmark.settings.shared_words import (
    DETECTION,
    INPUT,
    MACHINE,
    MAX_IMAGE_PIXELS,
    MOST_PIXELS_DECODED,
    OUTPUT,
)


def model(*, or_exported: bool = False) -> Any:
    """The checkpoint of a command that trains nothing; `or_exported`: which takes exported files as well."""
    also = ", or an exported file such as best.onnx" if or_exported else ""
    return setting(REQUIRED, f"the checkpoint, e.g. runs/detect/train/weights/best.pt{also}", INPUT, "content")


def data() -> Any:
    return setting(REQUIRED, "a data.yaml, or shapes for the embedded sample data", INPUT, "content")


def download() -> Any:
    return setting(
        False,
        "fetch data that aren't on this machine from where their data.yaml says; else it is asked at a terminal",
        INPUT,
        "execution",
    )


def bad_labels(default: str | None = "refuse", *, unset: str | None = None) -> Any:
    return setting(
        default,
        "lines that can't be used: refuse starts nothing, drop goes without them, drop_image without their images",
        INPUT,
        "content",
        unset=unset,
    )


def max_image_pixels(default: int | None = MAX_IMAGE_PIXELS, *, unset: str | None = None) -> Any:
    return setting(
        default,
        "leave out images of more pixels (width times height) than this, before they are decoded",
        INPUT,
        "content",
        unit="px",
        unset=unset,
        ge=1,
        le=MOST_PIXELS_DECODED,
    )


def classes(*, added: bool = False) -> Any:
    """Of the data that are trained on or looked at; `added` as in `setting`."""
    return setting(
        None,
        "use the objects of these classes alone, by number or name, e.g. [0,2]; the others count as background",
        INPUT,
        "result",
        unset="all classes",
        added=added,
    )


def imgsz() -> Any:
    """The image size of a command that trains nothing."""
    return setting(
        None, "longer side of the images, a multiple of 32", INPUT, "result", unit="px", unset="the model's own", ge=32
    )


def conf(default: float | None, *, unset: str | None = None) -> Any:
    return setting(default, "least confidence of a detection", DETECTION, "result", unset=unset, ge=0, lt=1)


def iou(default: float | None, *, unset: str | None = None) -> Any:
    return setting(
        default, "overlap from which the weaker of two is dropped", DETECTION, "result", unset=unset, ge=0, le=1
    )


def max_det(default: int | None, *, unset: str | None = None) -> Any:
    return setting(default, "most detections an image", DETECTION, "result", unset=unset, ge=1)


def agnostic_nms() -> Any:
    return setting(False, "drop the weaker of two overlapping boxes whatever their classes are", DETECTION, "result")


def augment() -> Any:
    """Test-time augmentation."""
    return setting(
        False,
        "look at each image four times, also mirrored and at 0.83 of its size, and drop the weaker of two boxes among"
        " all that is found; takes about 3 times as long",
        DETECTION,
        "result",
    )


def batch() -> Any:
    """The images that a validation looks at together."""
    return setting(16, "images at a time", MACHINE, "execution", unit="images", ge=1)


def device() -> Any:
    return setting(
        None,
        "where it runs: cpu, cuda, cuda:1 or just the GPU's number",
        MACHINE,
        "execution",
        unset="the best there is",
    )


def workers() -> Any:
    return setting(
        None,
        "threads that prepare images (0: prepared by the main thread)",
        MACHINE,
        "execution",
        unit="threads",
        unset="by the machine: none on a few cores, up to 8 beside a GPU",
        ge=0,
    )


def verify() -> Any:
    return setting(
        "full",
        "check of the images when they are first seen: full decodes each one, fast looks at its header and end",
        MACHINE,
        "execution",
    )


def project(whose: str) -> Any:
    return setting("runs/detect", f"folder that {whose} folder lies in", OUTPUT, "output")


def name(default: str, *, of: str = "the folder") -> Any:
    return setting(default, f"name of {of}; a number follows where it is taken", OUTPUT, "output")


def exist_ok() -> Any:
    return setting(False, "take exactly this name; an earlier folder of that name is renamed aside", OUTPUT, "output")


def save_txt() -> Any:
    return setting(False, "write the detections as YOLO label files", OUTPUT, "output")


def save_conf() -> Any:
    return setting(False, "add the confidence to the label files", OUTPUT, "output")


def plots() -> Any:
    return setting(True, "draw the pictures and write the page", OUTPUT, "output")
