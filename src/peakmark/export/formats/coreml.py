"""What does it take to write a network for Core ML? It was never written or run here, and says what to do instead."""

from __future__ import annotations

from peakmark.export.format import never_run

FORMAT = never_run(
    "coreml",
    "Core ML",
    ".mlpackage",
    needs="a Mac to be run on. coremltools converts TorchScript there: export format=torchscript",
)
