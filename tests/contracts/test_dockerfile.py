"""Would the Dockerfile build? What can be seen without a container engine: its files, its extras, its steps."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Each instruction with its words; lines that go on are joined, comments left out."""
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for line in lines.replace("\\\n", " ").splitlines():
        if line.strip():
            name, _, words = line.partition(" ")
            yield name, words.strip()


def copied() -> Iterator[tuple[list[str], str]]:
    """What is copied, and where to."""
    for name, words in instructions(TEXT):
        if name == "COPY":
            *sources, target = shlex.split(words)
            yield sources, target


def test_what_it_copies_is_there_and_is_sent_to_the_engine():
    sent = [line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"]
    sources = [source for many, _ in copied() for source in many]
    assert sorted(sources) == sorted(sent)
    for source in sources:
        assert (ROOT / source).exists(), source


def test_what_it_installs_and_starts_is_declared():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    [asked] = re.findall(r'"\.\[([\w,]+)\]"', TEXT)
    assert set(asked.split(",")) <= extras.keys()
    assert any(requirement.startswith("jupyterlab") for requirement in extras["jupyter"])
    [start] = [words for name, words in instructions(TEXT) if name == "CMD"]
    assert json.loads(start)[:2] == ["jupyter", "lab"]
    for page in ("docs/installing.md", "Dockerfile"):
        assert "--build-arg TORCH=cu" in (ROOT / page).read_text(), "the way to a GPU"


def test_it_is_of_the_oldest_python_that_is_tested_and_ends_without_rights():
    found = dict(instructions(TEXT))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f">={re.findall(r'ARG PYTHON=([0-9.]+)', TEXT)[0]}" == project["requires-python"]
    assert found["USER"].isdecimal(), "a name may be unknown to the host"
    assert int(found["USER"]) > 0
    order = [name for name, _ in instructions(TEXT)]
    assert "RUN" not in order[order.index("USER") :], "what is installed later would lack the right to be"


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="hadolint is not at hand")
def test_the_linter_has_nothing_to_say():
    ended = subprocess.run(["hadolint", "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.slow
def test_its_steps_install_what_it_copies(tmp_path):
    """As far as they go without an engine: offline, without what is asked for, into a folder."""
    for source in (source for sources, _ in copied() for source in sources):
        if (ROOT / source).is_dir():
            unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / source, tmp_path / source, ignore=unwanted)
        else:
            shutil.copyfile(ROOT / source, tmp_path / source)
    ran = []
    for name, words in instructions(TEXT):
        if name == "RUN":
            assert subprocess.run(["bash", "-n", "-c", words], check=False).returncode == 0, words
        if name == "RUN" and words.startswith("pip install") and '".[' in words:
            offline = f"{shlex.quote(sys.executable)} -m {words} --no-deps --no-build-isolation --no-index --target in"
            environment = {**os.environ, "PIP_QUIET": "1"}
            ended = subprocess.run(offline, shell=True, cwd=tmp_path, env=environment, capture_output=True, check=False)
            assert ended.returncode == 0, ended.stderr
            ran.append(words)
    assert len(ran) == 1
    assert (tmp_path / "in/bin/peakmark").is_file()
