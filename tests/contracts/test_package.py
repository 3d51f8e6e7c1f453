"""Is what people install whole? The wheel is built from a copy of the sources, installed apart and used from there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
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
def built(tmp_path_factory):
    """Built without a network: its build tools are those of the environment."""
    folder = tmp_path_factory.mktemp("sources")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, folder / name)
    shutil.copytree(
        PROJECT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    )
    _run(sys.executable, "-m", "build", "--sdist", "--wheel", "--no-isolation", "--outdir", "made", cwd=folder)
    return folder / "made"


@pytest.fixture(scope="module")
def wheel(built):
    (wheel,) = built.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder))
    _run(*pip, str(wheel), cwd=folder)
    return folder


def sources() -> set[str]:
    """Every module, and what pages are made of: templates, scripts, words, and the library that draws charts."""
    package = PROJECT / "src/peakmark"
    pages = ("templates/*", "scripts/*", "languages/*", "vendor/*/*")
    files = {*package.rglob("*.py"), *(path for pattern in pages for path in package.rglob(pattern))}
    return {path.relative_to(PROJECT / "src").as_posix() for path in files}


def test_the_wheel_holds_every_module_its_templates_its_types_and_its_licence(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith("METADATA"))
    assert "peakmark/report/pages/templates/style.css" in sources()
    assert "peakmark/report/pages/vendor/uplot/LICENSE" in sources(), "what is passed on under MIT has its text with it"
    assert sources() <= names
    assert "peakmark/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "License-Expression: Apache-2.0" in metadata
    stray = {name for name in names if not name.startswith(("peakmark/", "peakmark-"))}
    assert stray == set()


def test_the_source_distribution_holds_what_the_wheel_is_built_from(built):
    (distribution,) = built.glob("*.tar.gz")
    with tarfile.open(distribution) as archive:
        names = {name.partition("/src/")[2] for name in archive.getnames()}
    assert sources() <= names


def test_the_wheel_writes_a_page(installed, tmp_path):
    code = "import sys; from pathlib import Path; from peakmark.report.pages.page import write_page as w; w(Path('.'))"
    _run(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=str(installed))
    assert "No epoch is best" in (tmp_path / "report.html").read_text()


def test_an_import_loads_no_torch_and_comes_from_the_wheel(installed, tmp_path):
    unused = "{'torch', 'cv2', 'matplotlib', 'jinja2'}"
    code = f"import peakmark, sys; print(peakmark.__file__); print({unused} & set(sys.modules))"
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
    verbs = ["audit", "compare", "convert", "diagnose", "doctor", "folds", "gate", "import_model", "inspect", "log"]
    verbs += ["make_report", "promote", "replay", "seeds", "select", "strip", "tune", "watch"]
    assert names.split() == ["TrainResults", "YOLO", "__version__", *verbs]
    assert set(present.split()) == {"True"}
