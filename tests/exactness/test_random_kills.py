"""Is a run that is killed again and again the uninterrupted one? kill -9, at random moments and at named places.

Chains of up to five kills, over runs that between them cross warm-up, accumulation, mosaic closing, an early stop,
epochs without validation, saves inside epochs and no save at all inside epochs. Where the kills fell is counted and
printed, since a kill during the start proves little.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from peakmark.machine.streams import stream

PROGRAM = Path(__file__).with_name("runs_that_are_killed.py")
LONGEST_CHAIN = 5
KILLS_A_CASE = 7
SHARED = {"imgsz": 32, "plots": False, "mosaic": 0.7, "mixup": 0.5, "multi_scale": 1.0}
RUNS: dict[str, dict[str, Any]] = {
    # Five microbatches an epoch, in windows of one and two while it warms up; saved at every window.
    "accumulating": {
        "epochs": 3, "batch": 2, "nbs": 4, "warmup_epochs": 1.5, "close_mosaic": 1, "optimizer": "SGD",
        "save_interval": 1e-6,
    },
    # Nothing is saved within an epoch, so the first kills find no checkpoint; patience ends it before its last epoch,
    # since every epoch is as good as the first.
    "stopping early": {
        "epochs": 8, "batch": 4, "nbs": 4, "warmup_epochs": 0, "close_mosaic": 2, "optimizer": "SGD", "lr0": 1e-6,
        "patience": 2, "save_interval": 0, "fitness": "1 + 0 * map50",
    },
    "seldom validated": {
        "epochs": 4, "batch": 4, "nbs": 8, "warmup_epochs": 1, "close_mosaic": 2, "optimizer": "AdamW", "lr0": 0.005,
        "val_period": 2, "save_period": 2, "save_interval": 0.003,
    },
}  # fmt: skip
CHANGES = {"epochs": 5, "optimizer": "AdamW", "lr0": 0.001, "imgsz": 64, "fitness": "map50"}
OUTCOMES = {"accumulating": "finished", "stopping early": "early_stopped", "seldom validated": "finished"}
PHASES = ("starting", "training", "validating", "between epochs", "ending")
MOST_PASSINGS = {
    "microbatch": 9, "validation": 4, "epoch end": 3, "journal line": 5, "call of a save": 40,
    "call of another file": 25, "run end": 1,
}  # fmt: skip
"""The places of a kill, and up to which passing of each it may come."""


class Killer:
    """Trains in processes that can be killed; they are forked by one that has imported everything already."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    def train(self, project: Path, changes: dict[str, Any] | None = None, **kill: Any) -> dict[str, Any]:
        """Starts a run in `project`, or goes on with the one that is there, and kills it if it is told to."""
        project.mkdir(parents=True, exist_ok=True)
        run = next((str(file.parent) for file in project.glob("*/settings.yaml")), None)
        order = {
            "run": run,
            "settings": changes or {} if run else {**self._settings, "project": str(project)},
            "log": str(project.with_suffix(".log")),
            "after_s": None,
            "place": None,
            "number": 0,
            **kill,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        ended: dict[str, Any] = json.loads(self._process.stdout.readline())
        assert ended["ended"] != "broke", project.with_suffix(".log").read_text()
        return ended

    def close(self) -> None:
        self._process.communicate(timeout=60)


@pytest.fixture(scope="module", params=list(RUNS))
def kind(request) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def killer_of(tiny_data) -> Iterator[Any]:
    killers = []

    def start(kind: str, workers: int) -> Killer:
        killers.append(Killer({"data": str(tiny_data), "workers": workers, **SHARED, **RUNS[kind]}))
        return killers[-1]

    yield start
    for killer in killers:
        killer.close()


@pytest.fixture(scope="module")
def uninterrupted(killer_of, facts, tmp_path_factory):
    """What a run of a kind comes to when it is left alone, and how long that takes."""
    known: dict[str, tuple[dict[str, Any], float]] = {}

    def of(kind: str) -> tuple[dict[str, Any], float]:
        if kind not in known:
            project = tmp_path_factory.mktemp("alone") / "runs"
            ended = killer_of(kind, workers=0).train(project)
            assert ended["ended"] == OUTCOMES[kind]
            known[kind] = facts(project / "train"), ended["lasted_s"]
        return known[kind]

    return of


@pytest.fixture(scope="module")
def fallen() -> Counter[str]:
    """Where the kills of this module fell."""
    return Counter()


def kill_in_a_chain(killer: Killer, project: Path, rng: np.random.Generator, whole_s: float) -> list[str]:
    """Kills a run up to five times, then lets it end; gives where the kills fell."""
    where = []
    for _ in range(rng.integers(1, LONGEST_CHAIN + 1)):
        if rng.random() < 0.5:
            kill: dict[str, Any] = {"after_s": whole_s * rng.random()}
        else:
            place = str(rng.choice(list(MOST_PASSINGS)))
            kill = {"place": place, "number": int(rng.integers(1, MOST_PASSINGS[place] + 1))}
        ended = killer.train(project, **kill)
        if ended["ended"] != "killed":
            break  # it ended before its moment came
        where.append(f"{'by the clock' if 'after_s' in kill else 'at a place'}, {ended['where']}")
    return where


def check_the_end(
    killer: Killer, project: Path, kind: str, facts: Callable[[Path], dict[str, Any]], expected: dict[str, Any]
) -> None:
    """Lets a killed run end, and holds it against the one that was left alone."""
    assert killer.train(project)["ended"] == OUTCOMES[kind]
    (run,) = (file.parent for file in project.glob("*/settings.yaml"))
    assert facts(run) == expected
    assert [path.name for path in run.rglob("*") if "peakmark-part" in path.name] == []
    assert json.loads((run / "summary.json").read_text())["outcome"] == OUTCOMES[kind]


def test_a_chain_of_kills_ends_as_the_uninterrupted_run(killer_of, uninterrupted, facts, runs):
    """The sample that always runs: before a first checkpoint, while the first is written, in a later save, between."""
    expected, _ = uninterrupted("accumulating")
    killer = killer_of("accumulating", workers=1)
    for place, number in [("microbatch", 1), ("call of a save", 1), ("call of a save", 9), ("validation", 1)]:
        assert killer.train(runs, place=place, number=number)["ended"] == "killed"
    check_the_end(killer, runs, "accumulating", facts, expected)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_chains_of_kills_end_as_the_uninterrupted_run(
    killer_of, uninterrupted, facts, fallen, tmp_path, runs, kind, workers
):
    expected, whole_s = uninterrupted(kind)
    killer = killer_of(kind, workers)
    kills = 0
    for chain in range(40):
        if kills >= KILLS_A_CASE:
            break
        project = runs / f"chain{chain}"
        where = kill_in_a_chain(killer, project, stream(chain, f"kills, {kind}", workers), whole_s)
        check_the_end(killer, project, kind, facts, expected)
        kills += len(where)
        fallen.update(where)
    assert kills >= KILLS_A_CASE


@pytest.fixture(scope="module")
def changed(killer_of, facts, tmp_path_factory):
    """A run that ended; and what becomes of it when it is made longer, with other settings, and left alone."""
    killer = killer_of("accumulating", workers=0)
    project = tmp_path_factory.mktemp("changed") / "runs"
    assert killer.train(project)["ended"] == "finished"
    copy = shutil.copytree(project, project.with_name("copy"))
    assert killer.train(copy, CHANGES)["ended"] == "finished"
    yield project, facts(copy / "train")
    shutil.rmtree(project.parent)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "number"),
    [
        *(("call of another file", number) for number in range(1, 20, 4)),
        *(("call of a save", number) for number in (1, 5, 12)),
        ("journal line", 2), ("microbatch", 1), ("epoch end", 1),
    ],
)  # fmt: skip
def test_a_resume_with_changes_that_was_killed_is_repeated(killer_of, changed, facts, runs, place, number):
    """The same command once more: whether the change was on the disk already or not, it is made once."""
    before, expected = changed
    killer = killer_of("accumulating", workers=0)
    project = shutil.copytree(before, runs)
    assert killer.train(project, CHANGES, place=place, number=number)["ended"] == "killed"
    assert killer.train(project, CHANGES)["ended"] == "finished"
    assert facts(project / "train") == expected


@pytest.mark.slow
def test_the_kills_fell_everywhere(fallen, capsys):
    """Without this the claim above would be empty: kills that all fall into the start change nothing anywhere."""
    with capsys.disabled():
        print(f"\n{fallen.total()} kills: {dict(sorted(fallen.items()))}")
    assert fallen.total() >= 60
    for phase in PHASES:
        assert any(phase in where for where in fallen), phase
    assert sum(count for where, count in fallen.items() if "while saving" in where) >= 5
    assert sum(count for where, count in fallen.items() if "by the clock" in where) >= 20
