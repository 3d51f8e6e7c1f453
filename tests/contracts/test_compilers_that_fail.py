"""What does a user read where nothing can be compiled? It is found before anything is written, and says what helps."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("CXX", "/nowhere/g++", "there is no C++ compiler (/nowhere/g++) here; install one (apt install g++) or name"),
        ("TORCHINDUCTOR_CACHE_DIR", "a-file/x", "a-file/x can't be written (Not a directory); name another folder"),
        ("TORCHINDUCTOR_CACHE_DIR", "a space", "a space has a space in it, which torch can't do with; name another"),
        ("TORCH_COMPILE_DISABLE", "1", "TORCH_COMPILE_DISABLE=1 switches compiling off in this process; unset it"),
    ],
)
def test_a_machine_that_can_t_compile_is_told_at_the_start(
    peakmark, tiny_data: Path, tmp_path: Path, monkeypatch, variable, value, said
):
    (tmp_path / "a-file").touch()
    if variable == "CXX":
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "empty"))
    elif variable == "TORCHINDUCTOR_CACHE_DIR":
        value = str(tmp_path / value)
    monkeypatch.setenv(variable, value)
    done = peakmark("train", f"data={tiny_data}", "imgsz=32", "epochs=1", "compile=True", cwd=tmp_path)
    assert done.returncode == 3
    assert said in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()
