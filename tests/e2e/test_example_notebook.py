"""Does examples/train.ipynb do what it shows? Its cells are read always, and executed in `make slow`."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from peakmark import YOLO
from peakmark.api.model.callbacks import NAMES
from peakmark.settings.fields import Settings

ROOT = Path(__file__).resolve().parents[2]
REASON = "no kernel is installed: pip install '.[dev]'"


@pytest.fixture
def notebook() -> Any:
    nbformat = pytest.importorskip("nbformat", reason=REASON)
    read = nbformat.read(ROOT / "examples/train.ipynb", as_version=4)
    nbformat.validate(read)
    return read


def test_its_cells_are_clean_and_use_names_that_there_are(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code:
        assert cell.outputs == [], "outputs are of one machine and one day: clear them before it is committed"
        assert cell.execution_count is None
    tree = ast.parse("\n".join(cell.source for cell in code))
    called = {
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _name(node.func.value) == "model"
    }
    assert called >= {"train", "val", "predict", "export"}
    assert called <= set(dir(YOLO))
    [settings] = [node for node in ast.walk(tree) if isinstance(node, ast.Dict)]
    assert {key.value for key in settings.keys if isinstance(key, ast.Constant)} <= Settings.model_fields.keys()
    named = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and str(node.value)[:3] == "on_"}
    assert named
    assert named <= set(NAMES)


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


@pytest.mark.slow
def test_every_cell_runs(notebook, tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason=REASON)
    pytest.importorskip("ipykernel", reason=REASON)
    pytest.importorskip("onnxruntime", reason="pip install '.[onnx]'")
    nbclient.NotebookClient(notebook, timeout=400, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    words = ["\n".join(str(output.get("data", output)) for output in of_cell) for of_cell in outputs]
    _, interrupted, resumed, curves, metrics, found, exported = words
    assert "peakmark resume" in interrupted, "it says how to go on"
    assert "Resum" in resumed
    assert "image/png" in curves
    assert "mAP50" in metrics
    for pictures in (found, exported):
        assert "image/png" in pictures
    assert (tmp_path / "runs/train/weights/best.onnx").is_file()
    assert not (tmp_path / "runs/train2").exists(), "it goes on in the same folder"
