"""Which settings has an export? What is written, how, and how it is compared."""

from __future__ import annotations

from peakmark.settings import shared_settings as shared
from peakmark.settings.declaration import Real, SettingsModel, Text, Whole, setting
from peakmark.settings.shared_words import AS_IN_ITS_TRAINING, DETECTION, FILE, INPUT, Verify


class ExportSettings(SettingsModel):
    """The settings of an export."""

    model: Text = shared.model()
    data: Text | None = setting(
        None,
        "a data.yaml, or shapes: its validation images are what the written file is compared on",
        INPUT,
        "content",
        unset="the data that the model was trained on",
    )
    imgsz: Whole | None = shared.imgsz()
    images: Whole = setting(
        500, "validation images that mAP is compared on (0: all)", INPUT, "result", unit="images", ge=0
    )
    calibrate: Whole = setting(128, "training images that int8 is calibrated on", INPUT, "result", unit="images", ge=1)

    format: Text = setting(
        "onnx",
        "onnx, torchscript, openvino, ncnn, safetensors; tensorrt and others say what they need",
        FILE,
        "output",
    )
    dynamic: bool = setting(
        False, "let any number of images of any size in; else squares of imgsz, batch at a time", FILE, "output"
    )
    batch: Whole = setting(1, "images of a call, where that is not free", FILE, "output", unit="images", ge=1)
    half: bool = setting(False, "write the network in float16; boxes and scores stay float32", FILE, "output")
    int8: bool = setting(
        False, "write the network in int8, calibrated on training images; boxes and scores stay float32", FILE, "output"
    )
    nms: bool = setting(False, "have the file suppress boxes itself, and give detections", FILE, "output")
    opset: Whole | None = setting(
        None, "version of ONNX's operators", FILE, "output", unset="18, which most programs read", ge=18, le=23
    )

    iou: Real | None = shared.iou(None, unset=AS_IN_ITS_TRAINING)
    max_det: Whole | None = shared.max_det(None, unset=AS_IN_ITS_TRAINING)
    max_drop: Real = setting(
        0.01, "how much mAP50-95 half and int8 may lose; above it nothing is written", DETECTION, "result", ge=0, le=1
    )

    workers: Whole | None = shared.workers()
    verify: Verify = shared.verify()
