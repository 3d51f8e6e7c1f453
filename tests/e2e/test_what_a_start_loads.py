"""A start loads no library that a run doesn't use: torch's compiler alone takes a second, before every first step."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import json, sys
from peakmark import YOLO
data, project = sys.argv[1:]
YOLO("yolov8n.yaml").train(data=data, project=project, epochs=1, imgsz=64, batch=4, plots=False, device="cpu")
print(json.dumps(sorted(sys.modules)))
"""
UNUSED = ("torch._dynamo", "torch._inductor", "torch.distributed.tensor", "sympy", "matplotlib", "scipy", "jinja2")


def test_a_whole_run_loads_no_compiler(tiny_data: Path, runs: Path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tiny_data), str(runs)], capture_output=True, text=True, check=True
    )
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert "torch" in loaded
    assert loaded.isdisjoint(UNUSED)
