"""Does Tab complete a command, and does the answer come at once?"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def _asked(tmp_path: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line, as a shell's completion asks it; says on stderr what it has loaded."""
    program = (
        "import sys; sys.argv = ['peakmark', *sys.argv[1:]]\nfrom peakmark.cli.main import run\n"
        "try: run()\nfinally: print('LOADED', *({'torch', 'cv2', 'numpy'} & set(sys.modules)), file=sys.stderr)"
    )
    return subprocess.run(
        [sys.executable, "-c", program, *command],
        env={**os.environ, **environment}, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("peakmark tr", ["train", "track"]), ("peakmark x", []), ("peakmark train epo", []), ("peakmark inspect b", [])],
)
def test_a_command_is_completed_and_nothing_is_loaded_for_it(typed, offered, tmp_path):
    number = str(len(typed.split()) - 1)
    environment = {"COMP_WORDS": typed, "COMP_CWORD": number, "_PEAKMARK_COMPLETE": "complete_bash"}
    ended = _asked(tmp_path, **environment)
    assert ended.stdout.split() == offered
    assert ended.stderr.strip().splitlines()[-1] == "LOADED"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_what_a_shell_is_given_is_for_it_and_for_this_command(shell, tmp_path):
    ended = _asked(tmp_path, _PEAKMARK_COMPLETE=f"source_{shell}")
    assert "peakmark" in ended.stdout
    assert f"_PEAKMARK_COMPLETE=complete_{shell}" in ended.stdout
    # Files behind a command stay the shell's to complete.
    assert shell != "bash" or "complete -o default" in ended.stdout
