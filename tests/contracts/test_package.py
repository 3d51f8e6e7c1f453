"""Is what people install whole? The wheel is built from a copy of the sources, installed apart and used from there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


def _run(*command: str, cwd: Path, **environment: str) -> str:
    ended = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=180, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built without a network: its build tools are those of the environment."""
    folder = tmp_path_factory.mktemp("sources")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, folder / name)
    shutil.copytree(
        PROJECT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    )
    _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "made", cwd=folder)
    (built,) = (folder / "made").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder))
    _run(*pip, str(wheel), cwd=folder)
    return folder


def test_the_wheel_holds_every_module_its_types_and_its_licence(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith("METADATA"))
    sources = {path.relative_to(PROJECT / "src").as_posix() for path in (PROJECT / "src/peakmark").rglob("*.py")}
    assert sources <= names
    assert "peakmark/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "License-Expression: Apache-2.0" in metadata
    stray = {name for name in names if not name.startswith(("peakmark/", "peakmark-"))}
    assert stray == set()


def test_an_import_loads_no_torch_and_comes_from_the_wheel(installed, tmp_path):
    code = "import peakmark, sys; print(peakmark.__file__); print({'torch', 'cv2', 'matplotlib'} & set(sys.modules))"
    where, loaded = _run(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=str(installed)).splitlines()
    assert Path(where).is_relative_to(installed)
    assert loaded == "set()"
    assert list(tmp_path.iterdir()) == []


def test_the_installed_command_answers(commands, installed, tmp_path):
    command = installed / "bin/peakmark"
    assert command.is_file()
    help_text = _run(sys.executable, str(command), "--help", cwd=tmp_path, PYTHONPATH=str(installed), NO_COLOR="1")
    for word in commands:
        assert f" {word} " in help_text
    assert list(tmp_path.iterdir()) == []


def test_the_public_names_are_there_and_are_all(installed, tmp_path):
    code = "import peakmark; print(*dir(peakmark)); print(*(getattr(peakmark, n) is not None for n in dir(peakmark)))"
    names, present = _run(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=str(installed)).splitlines()
    verbs = ["audit", "compare", "diagnose", "gate", "inspect", "promote", "replay", "select", "strip"]
    assert names.split() == ["TrainResults", "YOLO", "__version__", *verbs]
    assert set(present.split()) == {"True"}
