"""Which settings has a benchmark of formats?"""

from __future__ import annotations

from peakmark.settings import shared_settings as shared
from peakmark.settings.declaration import SettingsModel, Text, Whole, setting
from peakmark.settings.shared_words import INPUT, OUTPUT, Verify


class BenchmarkSettings(SettingsModel):
    """The settings of a comparison of formats."""

    model: Text = shared.model()
    data: Text | None = setting(
        None, "a data.yaml, or shapes", INPUT, "content", unset="the data that the model was trained on"
    )
    imgsz: Whole | None = shared.imgsz()
    images: Whole = setting(
        500, "validation images that mAP is compared on (0: all)", INPUT, "result", unit="images", ge=0
    )
    timed: Whole = setting(100, "images that are timed, one by one", INPUT, "result", unit="images", ge=1)
    calibrate: Whole = setting(128, "training images that int8 is calibrated on", INPUT, "result", unit="images", ge=1)
    verify: Verify = shared.verify()
    formats: Text = setting("all", "formats to try, with commas, e.g. onnx,openvino-int8", OUTPUT, "output")
    project: Text = shared.project("the benchmark's")
    name: Text = shared.name("benchmark")
    exist_ok: bool = shared.exist_ok()
