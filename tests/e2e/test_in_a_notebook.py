"""In a real kernel: a run is one output of its cell, and results are seen as pictures and tables."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conftest import CHEAP

pytestmark = pytest.mark.slow
REASON = "no kernel is installed: pip install '.[dev]'"


@pytest.fixture(scope="module")
def cells(tiny_data, trained, tmp_path_factory):
    """Runs a notebook and gives the outputs of each cell."""
    nbclient = pytest.importorskip("nbclient", reason=REASON)
    pytest.importorskip("ipykernel", reason=REASON)
    v4: Any = pytest.importorskip("nbformat.v4", reason=REASON)
    settings = {**CHEAP, "epochs": 3, "data": str(tiny_data), "project": "runs"}
    picture = str(tiny_data.parent / "images/val/01.png")
    sources = [
        "from peakmark import YOLO",
        f'results = YOLO("yolov8n.yaml").train(**{settings!r})',
        "results",
        f"model = YOLO({str(trained[0].best)!r})\nfound = model({picture!r}, conf=0.01)\nfound",
        "found[0]",
        "found[0].show()",
        "metrics = model.val(plots=False, workers=0)",
        "metrics",
    ]
    notebook = v4.new_notebook(cells=[v4.new_code_cell(source) for source in sources])
    folder = tmp_path_factory.mktemp("notebook")
    client = nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}})
    client.execute()
    return [cell.outputs for cell in notebook.cells]


def _only(outputs: list[Any]) -> Any:
    [output] = outputs
    return output["data"]


def test_each_cell_has_one_output(cells):
    import_, train, results, found, one, shown, validating, metrics = cells
    assert import_ == []
    text = _only(train)["text/plain"]
    assert "results.csv" in text
    assert text.count("mAP") >= 1
    assert "img/s" not in text.splitlines()[-1]
    assert "<pre" in _only(train)["text/html"]
    assert "<table>" in _only(results)["text/html"]
    assert len(_only(results)["text/plain"].splitlines()) == 1
    assert 'src="data:image/jpeg;base64,' in _only(found)["text/html"]
    assert "image/png" in _only(one)
    assert "image/png" in _only(shown)
    assert "Written to" in _only(validating)["text/plain"]
    assert "<td>red</td>" in _only(metrics)["text/html"]
