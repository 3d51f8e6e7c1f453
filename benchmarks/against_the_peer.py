"""Is this project as fast as it promises to be? Runs the peer and this project in turn, and prints one table of ratios.

usage: python benchmarks/against_the_peer.py [--only train320 train640 val predict start help coco] [--json]
The peer's scripts and the images lie in ../shared beside the project; without them the rows that need them are left
out, and it says so. The peer is made ready at the first run (two minutes), in an environment of its own. Takes under a
quarter of an hour on two quiet cores. Seconds drift on a machine that others use; only ratios within one run count.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import coco_metrics

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[1] / "shared"
PEERS = SHARED / "peers"
BCCD = SHARED / "data" / "bccd"
PEER_WEIGHTS = PEERS / "ultralytics-8.4.190" / "finished-best.pt"
EPOCHS = {320: 3, 640: 2}
"""The first one isn't counted."""
ALWAYS_MOSAIC = "close_mosaic=0"
"""In runs as short as these the two would close it at different epochs."""


@dataclass(frozen=True, slots=True)
class Row:
    """One target, and what was measured of it."""

    what: str
    unit: str
    ours: tuple[float, ...]
    peer: tuple[float, ...] = ()
    ratio: float | None = None
    target: str = ""
    met: bool | None = None
    note: str = ""


class Bench:
    """Where the two are run, on the same copy of the data."""

    def __init__(self, folder: Path, repetitions: int) -> None:
        self.folder = folder
        self.repetitions = repetitions
        self.data = folder / "bccd" / "data.yaml"
        shutil.copytree(BCCD, folder / "bccd", copy_function=shutil.copyfile)
        setup = subprocess.run(["bash", str(PEERS / "setup.sh")], capture_output=True, text=True, check=True)
        self._python = {"peer": setup.stdout.strip().splitlines()[-1], "ours": sys.executable}

    def run(self, who: str, script: Path, *words: object) -> dict[str, Any]:
        """Runs a driver in a process of its own and gives the JSON of its last line."""
        own = {"PEAKMARK_CACHE": str(self.folder / "cache"), "YOLO_CONFIG_DIR": str(self.folder)}
        command = [self._python[who], str(script), *map(str, words)]
        done = subprocess.run(
            command, cwd=self.folder, env={**os.environ, **own}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return told

    def drive(self, who: str, task: str, *words: object) -> dict[str, Any]:
        return self.run(who, HERE / "drivers" / f"{who}.py", task, *words)

    def train(self, who: str, side_px: int, batch: int, *pairs: str) -> dict[str, Any]:
        words = (self.data, side_px, EPOCHS[side_px], batch, self.folder / f"{who}-train", ALWAYS_MOSAIC, *pairs)
        if who == "peer":
            return self.run("peer", PEERS / "train_ultralytics.py", *words)
        return self.drive("ours", "train", *words)


# --- the groups of rows -----------------------------------------------------------------------------------------------


def train320(bench: Bench) -> list[Row]:
    peer, mixed, plain = [], [], []
    for _ in range(bench.repetitions):
        peer.append(bench.train("peer", 320, 16))
        mixed.append(bench.train("ours", 320, 16))
        plain.append(bench.train("ours", 320, 16, "amp=False"))
    on_all_threads = bench.train("peer", 320, 16, f"threads={_cores()}")
    memory = [tuple(run["peak_rss_mib"] for run in runs) for runs in (mixed, peer)]
    by_memory = statistics.median(memory[0]) / statistics.median(memory[1])
    shares = [run["shares"] for run in mixed]
    other = tuple(100 * _beside_the_network(share, "forward", "backward", "update") for share in shares)
    without_loss = 100 * statistics.median(
        _beside_the_network(share, "forward", "loss", "backward", "update") for share in shares
    )
    pace = "train_images_per_s_with_validation"
    return [
        _faster("training with validation, 320 px, batch 16", "images/s", _of(mixed, pace), _of(peer, pace), 3.0),
        _faster("the same in float32 (amp=False)", "images/s", _of(plain, pace), _of(peer, pace), 1.5),
        Row(
            f"the same, the peer told to use {_cores()} threads",
            "images/s",
            _of(mixed, pace),
            _of([on_all_threads], pace),
            statistics.median(_of(mixed, pace)) / on_all_threads[pace],
            note="for comparison; by itself it takes one core fewer than there are",
        ),
        Row(
            "peak memory of training",
            "MiB",
            memory[0],
            memory[1],
            by_memory,
            "at most 1.0",
            by_memory <= 1,
            "the peer's loader processes are not counted",
        ),
        Row(
            "a step's share of anything but forward, backward, update",
            "%",
            other,
            target="at most 10 %",
            met=statistics.median(other) <= 10,
            note=f"{without_loss:.1f} % where the loss counts as part of the network's work",
        ),
    ]


def train640(bench: Bench) -> list[Row]:
    peer, ours = bench.train("peer", 640, 8), bench.train("ours", 640, 8)
    pace = "train_images_per_s_with_validation"
    return [_faster("training with validation, 640 px, batch 8", "images/s", _of([ours], pace), _of([peer], pace), 2.5)]


def val(bench: Bench) -> list[Row]:
    model = _same_weights(bench)
    ours: list[float] = []
    peer: list[float] = []
    for _ in range(bench.repetitions):
        ours += bench.drive("ours", "val", model, bench.data, 320, 16, 2, bench.folder / "ours-val")["seconds"]
        peer += bench.drive("peer", "val", PEER_WEIGHTS, bench.data, 320, 16, 2, bench.folder / "peer-val")["seconds"]
    return [_quicker("validation alone, 87 images, 320 px, batch 16", "s", ours, peer, 2.0)]


def predict(bench: Bench) -> list[Row]:
    model, images = _same_weights(bench), bench.data.parent / "images" / "test"
    ours, peer = [], []
    for _ in range(bench.repetitions):
        ours.append(bench.drive("ours", "predict", model, images, 320, 2))
        peer.append(bench.drive("peer", "predict", PEER_WEIGHTS, images, 320, 2))

    def ms(runs: list[dict[str, Any]], what: str) -> list[float]:
        return [1000 * seconds for run in runs for seconds in run[what]]

    return [
        _quicker("prediction of single images, 320 px", "ms an image", ms(ours, "single_s"), ms(peer, "single_s"), 1.5),
        _quicker("prediction of a folder, 320 px", "ms an image", ms(ours, "folder_s"), ms(peer, "folder_s"), 2.0),
    ]


def start(bench: Bench) -> list[Row]:
    seconds: dict[str, list[float]] = {"ours": [], "peer": []}
    for repetition in range(1 + max(3, bench.repetitions)):
        for who, times in seconds.items():
            began_at = time.time()
            told = bench.drive(who, "start", bench.data, 320, 16, bench.folder / f"{who}-start")
            if repetition:  # the first one fills the caches
                times.append(told["at"] - began_at)
    ratio = statistics.median(seconds["ours"]) / statistics.median(seconds["peer"])
    ours, peer = (tuple(times) for times in seconds.values())
    return [Row("from the command to the end of the first step", "s", ours, peer, ratio, "at most 0.5", ratio <= 0.5)]


def help_(bench: Bench | None) -> list[Row]:
    seconds = []
    for _ in range(11):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "peakmark", "--help"], capture_output=True, check=True)
        seconds.append(time.perf_counter() - began)
    ours = tuple(seconds[1:])
    return [Row("peakmark --help", "s", ours, target="at most 0.3 s", met=statistics.median(ours) <= 0.3)]


def coco(bench: Bench | None) -> list[Row]:
    ours, faster, reference = coco_metrics.timed_evaluators(coco_metrics.IMAGES)
    set_size = "COCO metrics, 5,000 images, 500,000 detections"
    equal = ours.figures == reference.figures
    by_reference, by_faster = reference.seconds / ours.seconds, faster.seconds / ours.seconds
    figures = "figures equal to pycocotools" if equal else "FIGURES DIFFER from pycocotools"
    return [
        Row(
            f"{set_size}: pycocotools", "s", (ours.seconds,), (reference.seconds,), by_reference, "at least 10",
            by_reference >= 10 and equal, figures,
        ),
        Row(
            f"{set_size}: faster-coco-eval", "s", (ours.seconds,), (faster.seconds,), by_faster, "at least 1",
            by_faster >= 1 and equal, figures,
        ),
    ]  # fmt: skip


GROUPS: dict[str, Callable[[Any], list[Row]]] = {
    "train320": train320,
    "train640": train640,
    "val": val,
    "predict": predict,
    "start": start,
    "help": help_,
    "coco": coco,
}
WITHOUT_A_PEER = ("help", "coco")


def _same_weights(bench: Bench) -> Path:
    """A checkpoint of ours with the peer's weights: as good as unmoved by an epoch at a rate of a millionth."""
    run = bench.folder / "same-weights"
    if not run.exists():
        still = ("mosaic=0", "lr0=1e-6", "warmup_epochs=0", "optimizer=SGD", "val=False", f"model={PEER_WEIGHTS}")
        bench.drive("ours", "train", bench.data, 320, 1, 16, run, *still)
    return run / "weights" / "last.pt"


def _beside_the_network(shares: dict[str, float], *stages: str) -> float:
    """The share of the steps' time, validation and saving aside, that none of these stages took."""
    steps = 1 - shares["validation"] - shares["saving"]
    return 1 - sum(shares[stage] for stage in stages) / steps


def _of(runs: Sequence[dict[str, Any]], name: str) -> tuple[float, ...]:
    return tuple(float(run[name]) for run in runs)


def _faster(what: str, unit: str, ours: Sequence[float], peer: Sequence[float], target: float) -> Row:
    """For a pace: more is better."""
    ratio = statistics.median(ours) / statistics.median(peer)
    return Row(what, unit, tuple(ours), tuple(peer), ratio, f"at least {target:g}", ratio >= target)


def _quicker(what: str, unit: str, ours: Sequence[float], peer: Sequence[float], target: float) -> Row:
    """For a time: less is better, and the ratio says how many times as fast."""
    ratio = statistics.median(peer) / statistics.median(ours)
    return Row(what, unit, tuple(ours), tuple(peer), ratio, f"at least {target:g}", ratio >= target)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# --- the table --------------------------------------------------------------------------------------------------------


def _shown(values: tuple[float, ...]) -> str:
    if not values:
        return ""
    middle = f"{statistics.median(values):.3g}" if max(values) < 1000 else f"{statistics.median(values):.0f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.3g} to {max(values):.3g})"


def table(rows: list[Row]) -> str:
    lines = ["| what | here | peer | ratio | target | |", "|---|---|---|---|---|---|"]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        met = "" if row.met is None else "met" if row.met else "NOT MET"
        what = f"{row.what}, {row.unit}" + (f" ({row.note})" if row.note else "")
        lines.append(f"| {what} | {_shown(row.ours)} | {_shown(row.peer)} | {ratio} | {row.target} | {met} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=list(GROUPS), help="these rows alone")
    parser.add_argument("--repetitions", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="every value, for a program")
    arguments = parser.parse_args()
    chosen = list(arguments.only)
    if not (PEERS.is_dir() and BCCD.is_dir()):
        left_out = [name for name in chosen if name not in WITHOUT_A_PEER]
        print(f"left out: {', '.join(left_out)} (they need {PEERS} and {BCCD})", file=sys.stderr)
        chosen = [name for name in chosen if name in WITHOUT_A_PEER]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="against-the-peer-") as folder:
        needed = any(name not in WITHOUT_A_PEER for name in chosen)
        bench = Bench(Path(folder), arguments.repetitions) if needed else None
        for name in chosen:
            began = time.perf_counter()
            rows += GROUPS[name](bench)
            print(f"{name}: measured in {time.perf_counter() - began:.0f} s", file=sys.stderr)
    print(json.dumps([asdict(row) for row in rows], indent=2) if arguments.json else table(rows))


if __name__ == "__main__":
    main()
