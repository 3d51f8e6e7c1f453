"""Every model file is answered at every door in seconds and in bounded memory, and nothing in it ever runs."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
import torch

from peakmark.checkpoint.reader import read, read_position
from peakmark.checkpoint.writer import save
from peakmark.errors import ModelFileError
from peakmark.model.foreign.reading import read_foreign_model
from peakmark.run.weights import find_model

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.contracts.hostile_models import HOSTILE, QUICK, with_digest, write_all

MOST_SECONDS = 5
MOST_BYTES = 500 << 20
"""Above what the program itself takes and the file's own size."""
DOORS = ("YOLO", "inspect", "strip", "import", "promote", "go on", "pretrained", "resume", "diagnose")


def _ask(folder: Path, door: str) -> dict[str, dict[str, Any]]:
    command = [sys.executable, str(Path(__file__).parent / "hostile_models.py"), "ask", str(folder), door]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return {line["file"]: line for line in map(json.loads, done.stdout.splitlines())}


def _check(folder: Path, door: str, names: Iterable[str]) -> None:
    answers = _ask(folder, door)
    before = answers.pop("")["peak_bytes"]
    assert {file.partition(".")[0].partition("-")[0] for file in answers} == set(names)
    own = 0
    for file, answer in answers.items():
        size = (folder / file).stat()
        # A hole takes no room, and is none that a model's size could excuse.
        own = max(own, min(size.st_size, size.st_blocks * 512))
        assert answer["seconds"] < MOST_SECONDS, (file, answer)
        assert answer["peak_bytes"] < before + own + MOST_BYTES, (file, answer)
        assert "last.pt" in answer["ended"] or file in answer["ended"], (file, answer)


@pytest.fixture(scope="module")
def quick_ones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("hostile")
    write_all(folder, QUICK)
    return folder


def test_every_file_is_answered_soon_and_in_little_memory(quick_ones: Path):
    _check(quick_ones, "YOLO", QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("door", DOORS)
def test_every_file_at_every_door(tmp_path: Path, door: str):
    write_all(tmp_path, HOSTILE)
    _check(tmp_path, door, HOSTILE)


def test_pipes_and_devices_are_no_model_files(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.pt")
    for path in (tmp_path / "pipe.pt", Path("/dev/zero"), Path("/dev/null")):
        for opening in (read, read_position, read_foreign_model, find_model):
            with pytest.raises(ModelFileError, match="this is a pipe or a device and no regular file"):
                opening(path)


class Sings:
    """Pickles as a call that leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@hypothesis.given(st.data())
@hypothesis.settings(
    max_examples=150, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture], deadline=None
)
def test_damage_of_any_kind_is_answered_and_runs_nothing(tmp_path: Path, tiny_checkpoint: Any, data: st.DataObject):
    """Bytes flipped, files cut and joined; signed anew, so that what is inside is looked at."""
    trap, damaged = tmp_path / "trap", tmp_path / "damaged.pt"
    whole = {"ours": tmp_path / "ours.pt", "foreign": tmp_path / "foreign.pt"}
    if not whole["ours"].exists():
        save(tiny_checkpoint, whole["ours"])
        torch.save({"model": Sings(trap), "names": {0: "a"}, "w": torch.ones(4)}, whole["foreign"])
    content = bytearray(whole[data.draw(st.sampled_from(sorted(whole)))].read_bytes())
    # Of ours: the places that say how much there is and of what, too.
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    damaged.write_bytes(content)
    if data.draw(st.booleans()) and len(content) > 100:
        damaged.write_bytes(content[: -(64 + 16)])
        with_digest(damaged)
    for opening in (read, read_position, find_model):
        with contextlib.suppress(ModelFileError):
            opening(damaged)
    assert not trap.exists()


def test_the_trap_works(tmp_path: Path):
    torch.save(Sings(tmp_path / "trap"), tmp_path / "foreign.pt")
    torch.load(tmp_path / "foreign.pt", weights_only=False)
    assert (tmp_path / "trap").exists()
