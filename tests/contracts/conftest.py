"""What the contracts share: the words that users type, and short runs."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from tests.contracts.short_runs import BASELINE, weights

from peakmark.checkpoint.background import BackgroundWriter
from peakmark.checkpoint.reader import read
from peakmark.checkpoint.writer import save


@pytest.fixture(scope="session")
def commands() -> tuple[str, ...]:
    """Frozen: one may come, none may go."""
    return (
        "train", "resume", "val", "predict", "track", "audit", "compare", "gate", "doctor", "diagnose", "inspect",
        "select", "promote", "strip", "replay", "import", "convert", "export", "benchmark", "report", "watch",
    )  # fmt: skip


@pytest.fixture(scope="session")
def weights_of(train_in, tmp_path_factory):
    """The digest of the weights that a short run ends with; a baseline is trained once."""
    project = tmp_path_factory.mktemp("effects")
    known: dict[str, str] = {}

    def digest(**settings: Any) -> str:
        key = repr(sorted(settings.items()))
        if key not in known:
            with pytest.MonkeyPatch.context() as patch:
                # The digest is in the summary; to write two checkpoints takes longer than such a run.
                patch.setattr(BackgroundWriter, "submit", lambda self, checkpoint, *targets: None)
                known[key] = weights(train_in(project, **{**BASELINE, **settings}))
        return known[key]

    return digest


@pytest.fixture
def parts(
    train, runs, trained, tiny_data, weights_of, write_set, tmp_path, monkeypatch, plant_nan, quick_compiler, request
) -> dict[str, Any]:
    """What a check may need."""
    return {
        "train": train, "runs": runs, "trained": trained, "tiny_data": tiny_data, "weights_of": weights_of,
        "write_set": write_set, "tmp_path": tmp_path, "monkeypatch": monkeypatch, "plant_nan": plant_nan,
        "quick_compiler": quick_compiler, "request": request,
    }  # fmt: skip


@pytest.fixture(scope="session")
def eager(trained, tmp_path_factory):
    """A checkpoint that finds something almost everywhere: thresholds have much to do."""
    checkpoint = read(trained[0].best)
    weights = {
        name: tensor + 3 if name.startswith("head.cls") and name.endswith("2.bias") else tensor
        for name, tensor in checkpoint.model.items()
    }
    file = tmp_path_factory.mktemp("eager") / "eager.pt"
    save(dataclasses.replace(checkpoint, model=weights), file)
    yield file
    file.unlink()
