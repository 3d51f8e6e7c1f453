"""What does it take to write a network for Core ML? It was never written or run here, and says what to do instead."""

from __future__ import annotations

from peakmark.export.format import Format

FORMAT = Format(
    name="coreml",
    title="Core ML",
    ending=".mlpackage",
    writes_with=(),
    runs_with=(),
    extra=None,
    options=frozenset(),
    write=None,
    open=None,
    needs="a Mac to be run on. coremltools converts TorchScript there: export format=torchscript",
)
