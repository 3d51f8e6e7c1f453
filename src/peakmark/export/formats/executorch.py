"""What does it take to write a network for ExecuTorch? It was never written here, and says what to do instead."""

from __future__ import annotations

from peakmark.export.format import Format

FORMAT = Format(
    name="executorch",
    title="ExecuTorch",
    ending=".pte",
    writes_with=(),
    runs_with=(),
    extra=None,
    options=frozenset(),
    write=None,
    open=None,
    needs="the release of executorch that belongs to the torch installed; it takes YOLO(file).model by torch.export",
)
