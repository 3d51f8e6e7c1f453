"""What does it take to write a network for ExecuTorch? It was never written here, and says what to do instead."""

from __future__ import annotations

from peakmark.export.format import never_run

FORMAT = never_run(
    "executorch",
    "ExecuTorch",
    ".pte",
    needs="the release of executorch that belongs to the torch installed; it takes YOLO(file).model by torch.export",
)
