"""Does the same wish give the same run? For any number of workers, any cache, in any process, and only for one seed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import torch

from peakmark import YOLO, inspect
from peakmark.machine.numerics import put_back_afterwards

AUGMENTED = {"mixup": 0.5, "degrees": 10, "multi_scale": 1.0, "close_mosaic": 1, "warmup_epochs": 1}


@pytest.fixture(scope="module")
def first_run(train_in, tmp_path_factory):
    """Without workers, and its images in memory."""
    return train_in(tmp_path_factory.mktemp("reference"), cache="ram", **AUGMENTED).save_dir


@pytest.fixture(scope="module")
def reference(first_run, facts):
    return facts(first_run)


@pytest.mark.parametrize("workers", [1, 2])
def test_one_seed_is_one_run_for_any_number_of_workers(train, facts, reference, workers):
    assert facts(train(workers=workers, **AUGMENTED).save_dir) == reference


@pytest.mark.parametrize("cache", ["off", "disk"])
def test_a_cache_changes_no_bit(train, facts, reference, cache):
    assert facts(train(cache=cache, **AUGMENTED).save_dir) == reference


@pytest.mark.parametrize("kept", [{"keep": 1}, {"keep": 5, "average": True}])
def test_what_is_kept_changes_no_bit_of_the_run(train, first_run, kept):
    folder = train(**AUGMENTED, **kept).save_dir
    for name in ("last.pt", "best.pt"):
        mine, theirs = (inspect(run / "weights" / name)["digests"] for run in (folder, first_run))
        assert mine == theirs, name


def test_what_a_notebook_set_before_changes_no_bit_and_is_left_as_it_was(train, first_run, facts, reference, tiny_data):
    """Switches of the process, and modes that a cell is in."""
    with put_back_afterwards():
        torch.set_default_dtype(torch.float64)
        torch.set_float32_matmul_precision("medium")
        torch.set_flush_denormal(True)
        torch.use_deterministic_algorithms(True)
        torch.set_num_threads(2)
        cv2.setUseOptimized(False)
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            assert facts(train(**AUGMENTED, threads=1).save_dir) == reference
            assert not torch.is_grad_enabled()
        assert torch.get_default_dtype() == torch.float64
        assert torch.get_num_threads() == 2
        model = YOLO(first_run / "weights/best.pt")
        logged = inspect(first_run / "weights/best.pt")["metrics"]
        found = model.val(data=tiny_data, project=first_run.parent, plots=False, observer=lambda event: None).metrics
        assert {name: repr(found[name]) for name in logged} == {name: repr(value) for name, value in logged.items()}


def test_another_seed_is_another_run(train, first_run):
    other = inspect(train(seed=1, **AUGMENTED).last)["digests"]
    for name, digest in inspect(first_run / "weights/last.pt")["digests"].items():
        assert digest != other[name], name


def test_a_fresh_process_computes_the_same(facts, first_run, reference, tiny_data: Path, runs: Path):
    """Started anew: in a process that is forked, sets of words would have the order that they have in others."""
    settings = {"imgsz": 32, "epochs": 2, "batch": 4, "nbs": 8, "plots": False, **AUGMENTED}
    words = [f"{name}={value}" for name, value in settings.items()]
    command = [sys.executable, "-m", "peakmark", "train", "model=yolov8t.yaml", f"data={tiny_data}", f"project={runs}"]
    ended = subprocess.run([*command, *words], cwd=runs.parent, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert facts(runs / "train") == reference
    summary = json.loads((runs / "train/summary.json").read_text())
    assert summary["digests"] == inspect(first_run / "weights/last.pt")["digests"]
