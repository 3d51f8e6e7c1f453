"""What does it take to write a network for TensorRT? It was never written or run here, and says what to do instead."""

from __future__ import annotations

from peakmark.export.format import Format

FORMAT = Format(
    name="tensorrt",
    title="TensorRT",
    ending=".engine",
    writes_with=(),
    runs_with=(),
    extra=None,
    options=frozenset(),
    write=None,
    open=None,
    needs="an NVIDIA GPU with TensorRT. Export format=onnx and build the engine on the machine where it is to run:"
    " trtexec --onnx=best.onnx --saveEngine=best.engine",
)
