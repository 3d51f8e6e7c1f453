"""What does it take to write a network for TensorRT? It was never written or run here, and says what to do instead."""

from __future__ import annotations

from peakmark.export.format import never_run

FORMAT = never_run(
    "tensorrt",
    "TensorRT",
    ".engine",
    needs="an NVIDIA GPU with TensorRT. Export format=onnx and build the engine on the machine where it is to run:"
    " trtexec --onnx=best.onnx --saveEngine=best.engine",
)
