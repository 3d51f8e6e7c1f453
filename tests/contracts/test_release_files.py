"""Would a release come about, and are the files that others' programs read as those want them?"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from release import ROOT, disagreements, versions

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOW: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8"))
JOBS: dict[str, Any] = WORKFLOW["jobs"]
TEMPLATES = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))


def test_the_citation_says_what_the_package_says_of_itself():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys(), "what the format asks for"
    assert citation["title"].lower() == PROJECT["name"]
    assert citation["abstract"] == PROJECT["description"]
    for ours, theirs in (("version", "version"), ("license", "license"), ("keywords", "keywords")):
        assert citation[ours] == PROJECT[theirs]
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in PROJECT["authors"]]


def test_a_tag_that_disagrees_with_what_is_written_is_refused(tmp_path):
    written = dict.fromkeys(("pyproject.toml", "CITATION.cff", "CHANGELOG.md"), "1.2.0")
    assert disagreements("v1.2.0", written) == []
    assert len(disagreements("v1.3.0", written)) == 3
    assert "CHANGELOG.md says no version" in disagreements("v1.2.0", {**written, "CHANGELOG.md": ""})[0]
    for name in written:
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\n## 0.1.0\n\n## 0.0.9\n")
    assert set(versions(tmp_path).values()) == {PROJECT["version"]}


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: file.stem)
def test_an_issue_template_is_one(file, commands):
    form = yaml.safe_load(file.read_text(encoding="utf-8"))
    if file.stem == "config":
        assert form.keys() <= {"blank_issues_enabled", "contact_links"}
        return
    assert {"name", "description", "body"} <= form.keys()
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert {field["type"] for field in fields} <= {"textarea", "input", "dropdown", "checkboxes"}
    assert len({field["id"] for field in fields}) == len(fields)
    for command in re.findall(r"`peakmark (\w+)", file.read_text(encoding="utf-8")):
        assert command in commands


def test_only_the_job_that_publishes_may_write_and_it_waits_for_the_tests():
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert [name for name, job in JOBS.items() if "permissions" in job] == ["publish"]
    assert JOBS["publish"]["permissions"]["id-token"] == "write", "sigstore signs by the workflow's identity"
    assert set(JOBS["publish"]["needs"]) == {"build", "test"}
    order = [step.get("name", step.get("uses", "")) for step in JOBS["publish"]["steps"]]
    assert order.index("Sign") < order.index("pypa/gh-action-pypi-publish@release/v1")
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for step in JOBS["test"]["steps"]:
        assert not step.get("run", "").startswith("make ") or step["run"].removeprefix("make ") in targets


@pytest.mark.slow
def test_the_commands_that_build_and_check_a_release_do(tmp_path):
    """In their order and as they stand there, but offline: with the packages of this environment."""
    pytest.importorskip("twine", reason="pip install '.[dev]'")
    for name in ("pyproject.toml", "README.md", "LICENSE", "CITATION.cff"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    (tmp_path / "CHANGELOG.md").write_text(f"## {PROJECT['version']}\n")
    environment = {
        **os.environ,
        "GITHUB_REF_NAME": f"v{PROJECT['version']}",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        # What is installed apart finds there what it needs, and setuptools; it must not take anything away from there.
        "PYTHONPATH": sysconfig.get_paths()["purelib"],
        "PIP_IGNORE_INSTALLED": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it as what the option takes: no isolation
    }
    ran = []
    for step in JOBS["build"]["steps"]:
        if "name" not in step:
            continue  # what GitHub brings, and what this environment has
        command = step["run"].replace("-m build", "-m build --no-isolation")
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, f"{command}\n{ended.stdout}{ended.stderr}"
        ran.append(ended.stdout)
    assert len(ran) == 4
    assert ran[2].count("PASSED") == 2
    assert ran[3].count(f"peakmark {PROJECT['version']}") == 2
