"""What does it take to write a network for LiteRT? It was never written or run here, and says what to do instead."""

from __future__ import annotations

from peakmark.export.format import never_run

FORMAT = never_run(
    "litert",
    "LiteRT",
    ".tflite",
    needs="litert-torch, which has no release for every torch. Export format=onnx and convert it with onnx2tf",
)
