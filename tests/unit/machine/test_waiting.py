"""How long threads spin is set before torch is loaded, never against the user's word, and moves no bit."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

TOLD = """
import os, peakmark
print(os.environ.get("GOMP_SPINCOUNT"))
"""
STEP = """
import hashlib, peakmark, torch
from peakmark.model.detector import build_detector
from peakmark.model.scales import SCALES

torch.set_num_threads(2)
model = build_detector(SCALES["yolov8n"], 3, seed=0).train()
output = model(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
(output.box_logits_BAR4.square().sum() + output.class_logits_BAC.square().sum()).backward()
gradients = b"".join(p.grad.numpy().tobytes() for p in model.parameters() if p.grad is not None)
print(hashlib.sha256(gradients).hexdigest())
"""


def said(program: str, **environment: str) -> str:
    # Without the tests' own PYTHONPATH too: what lies there imports the package before the program's first line.
    words = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "PYTHONPATH")
    clean = {name: value for name, value in os.environ.items() if name not in words}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=clean | environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_the_user_has_the_last_word(environment: dict[str, str], expected: str):
    assert said(TOLD, **environment) == expected


def test_it_is_too_late_once_torch_is_loaded():
    assert said("import torch" + TOLD) == "None"


def test_it_moves_no_bit():
    """Gradients on two threads, however long they spin."""
    assert said(STEP) == said(STEP, GOMP_SPINCOUNT="300000")
