"""A stripped checkpoint in use: to whoever only uses a model it is the same one."""

from __future__ import annotations

import torch

from peakmark import YOLO
from peakmark.checkpoint.strip import strip_file


def test_in_use_it_is_the_same_model(trained, train, tmp_path):
    """It gives the logged numbers, finds the same objects, and a new run starts from its weights."""
    results, _ = trained
    small, bytes_before, bytes_after = strip_file(results.best, tmp_path / "small.pt")
    assert bytes_after < 0.3 * bytes_before, "AdamW's two moments and the training weights are gone"
    evaluation = YOLO(small).val(project=tmp_path, plots=False, observer=lambda event: None)
    assert {name: repr(value) for name, value in evaluation.metrics.items()} == {
        name: repr(value) for name, value in results.metrics.items()
    }
    image = torch.zeros(64, 64, 3, dtype=torch.uint8).numpy()
    found, as_before = (YOLO(file).predict(image, conf=0.001)[0] for file in (small, results.best))
    assert len(found) > 0
    assert found.boxes.data.tolist() == as_before.boxes.data.tolist()
    said: list[str] = []
    train(model=str(small), epochs=1, observer=lambda event: said.extend(getattr(event, "notes", ())))
    assert any("the head for all 2 classes" in note for note in said)
