"""Trains one recipe with several seeds and prints a table of the best epochs on val, and of best.pt on test.

usage: python benchmarks/seeds.py DATA_YAML PROJECT [--seeds 9] [key=value ...]
A seed whose run is already finished in PROJECT is not trained again, so the script can be stopped and started.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from peakmark import YOLO


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("project", type=Path)
    parser.add_argument("--seeds", type=int, default=9)
    parser.add_argument("settings", nargs="*", help="key=value, as on the command line")
    arguments = parser.parse_intermixed_args()
    settings = dict(pair.split("=", 1) for pair in arguments.settings)
    rows = [_row(arguments.data, arguments.project, seed, settings) for seed in range(arguments.seeds)]

    print("| seed | best epoch | val mAP50-95 | val mAP50 | test mAP50-95 | test mAP50 | training, s |")
    print("|---|---|---|---|---|---|---|")
    for seed, row in enumerate(rows):
        print(f"| {seed} | {row[0]:.0f} | " + " | ".join(f"{value:.4f}" for value in row[1:5]) + f" | {row[5]:.0f} |")
    columns = list(zip(*rows, strict=True))
    print("| mean | | " + " | ".join(f"{statistics.fmean(column):.4f}" for column in columns[1:5]) + " | |")
    if len(rows) > 1:
        print("| sd | | " + " | ".join(f"{statistics.stdev(column):.4f}" for column in columns[1:5]) + " | |")


def _row(data: str, project: Path, seed: int, settings: dict[str, str]) -> tuple[float, ...]:
    folder = project / f"seed{seed}"
    summary_file, test_file = folder / "summary.json", project / f"seed{seed}-test" / "metrics.json"
    if not summary_file.exists():
        model = settings.get("model", "yolov8n.yaml")
        rest: dict[str, Any] = {key: value for key, value in settings.items() if key != "model"}
        YOLO(model).train(data=data, seed=seed, project=str(project), name=folder.name, exist_ok=True, **rest)
    if not test_file.exists():
        best = YOLO(folder / "weights" / "best.pt")
        best.val(data=data, split="test", project=str(project), name=test_file.parent.name, exist_ok=True, plots=False)
    summary, test = json.loads(summary_file.read_text()), json.loads(test_file.read_text())["metrics"]
    val = summary["best"]["metrics"]
    seconds = summary["train_s"] + summary["validation_s"]
    return (summary["best"]["epoch"], val["map50_95"], val["map50"], test["map50_95"], test["map50"], seconds)


if __name__ == "__main__":
    main()
