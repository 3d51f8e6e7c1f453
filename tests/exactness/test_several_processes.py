"""Is a run the same, bit for bit, on any number of processes? And is it good where one of them is lost?

Each test is worth only as much as its opposite: with gradients added by a library, statistics of one process alone or
random draws of each its own, the same comparison must fail.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import CHEAP
from tests.warm_processes import WarmProcess, WarmProcesses

from peakmark.checkpoint.reader import read

PROGRAM = Path(__file__).parent / "in_several_processes.py"
# Five microbatches an epoch: while it warms up in windows of one and two of them, in which some processes have none.
WISHES = {
    "epochs": 2, "batch": 2, "nbs": 6, "warmup_epochs": 1, "mosaic": 0.7, "mixup": 0.5, "close_mosaic": 1,
    "multi_scale": 1.0, "save_interval": 0, "threads": 1, "process_timeout": 3, "parts": 1,
}  # fmt: skip
WAITS = [
    "the microbatches of a window",
    "the gradients of a window",
    "the sums of a window's gradients",
    "the batch-norm statistics of a window",
    "a share of the validation",
    "the figures of a validation",
    "the others to end the epoch",
]


class Group:
    """Processes that were started together, as a launcher would."""

    def __init__(self, warm: WarmProcesses, size: int, words: list[str], cwd: Path, fault: str) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
        cwd.mkdir(parents=True, exist_ok=True)
        self._logs = [cwd / f"log{rank}" for rank in range(size)]
        self.processes: list[WarmProcess] = []
        for rank, log in enumerate(self._logs):
            environment = {
                **os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size),
                "LOCAL_WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
                "PEAKMARK_TEST_FAULT": fault, "COLUMNS": "300",
            }  # fmt: skip
            if size == 1:
                del environment["RANK"]
            with open(os.devnull) as nothing, open(log, "w") as out:
                started = warm.start(PROGRAM, *words, cwd=cwd, environment=environment, files=(nothing, out, out))
            self.processes.append(started)

    def end(self) -> list[int]:
        return [process.end(120) for process in self.processes]

    def said(self, rank: int = 0) -> str:
        return self._logs[rank].read_text()


Started = Callable[..., Group]


@pytest.fixture
def start(warm_processes: WarmProcesses, tmp_path: Path) -> Started:
    def started(size: int, *words: str, fault: str = "") -> Group:
        return Group(warm_processes, size, list(words), tmp_path, fault)

    return started


@pytest.fixture
def begin(start: Started, tiny_data: Path, runs: Path) -> Callable[..., tuple[Group, Path]]:
    """Starts a training in so many processes; gives them and the run's folder."""

    def begun(size: int, *, fault: str = "", **settings: Any) -> tuple[Group, Path]:
        wishes = {**CHEAP, "data": tiny_data, "project": runs, **WISHES, **settings}
        return start(
            size, "train", *(f"{key}={value}" for key, value in wishes.items()), fault=fault
        ), runs / settings.get("name", "train")

    return begun


@pytest.fixture
def train_by(begin: Callable[..., tuple[Group, Path]]) -> Callable[..., Path]:
    """Trains in so many processes to the end; gives the run's folder."""

    def train(size: int, *, fault: str = "", code: int = 0, **settings: Any) -> Path:
        group, run = begin(size, fault=fault, **settings)
        assert group.end()[0] == code, group.said()
        return run

    return train


@pytest.fixture(scope="module")
def of_one(train_in: Any, facts: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return facts(train_in(tmp_path_factory.mktemp("alone"), **WISHES).save_dir)


@pytest.mark.parametrize("size", [2, 3, pytest.param(4, marks=pytest.mark.slow)])
def test_any_number_of_processes_gives_the_run_of_one(train_by, facts, of_one, size):
    assert facts(train_by(size)) == of_one


@pytest.mark.slow
@pytest.mark.parametrize("changes", [
    {"patience": 1, "min_delta": 0.9, "epochs": 6, "lr0": 1e-5}, {"save_interval": 1e-6}, {"freeze": "[0,1]"},
    {"optimizer": "SGD"}, {"cache": "device"}, {"val_period": 2}, {"amp": False},
], ids=lambda changes: "-".join(changes))  # fmt: skip
def test_whatever_the_run_crosses(train_by, train_in, facts, runs, changes):
    alone = train_in(runs / "alone", **{**WISHES, **changes}).save_dir
    assert facts(train_by(3, **changes)) == facts(alone)


def test_a_loss_that_is_not_finite_skips_the_window_everywhere(train_by, facts):
    alone, together = (train_by(size, fault="nan", name=f"by{size}", epochs=1) for size in (1, 3))
    assert facts(together) == facts(alone)
    (record,) = read(together / "weights/last.pt").history.records
    assert record.skipped_steps == 1
    told = [(run / "journal.jsonl").read_text().count('"StepSkipped"') for run in (alone, together)]
    assert told == [1, 1]


@pytest.mark.parametrize("fault", ["sum", "statistics", "stream"])
def test_what_other_trainers_do_gives_another_run(train_by, facts, of_one, fault):
    assert facts(train_by(2, fault=fault))["weights"]["last.pt"] != of_one["weights"]["last.pt"]


def test_a_batch_that_has_to_be_shared_is_cut_and_is_that_run_from_then_on(train_by, train_in, facts, runs):
    """One microbatch an update: two processes have half of it each, and one process that cuts it is the same."""
    cut = {"batch": 4, "nbs": 4, "parts": None, "epochs": 1, "imgsz": 64, "multi_scale": 0}
    alone = train_in(runs / "alone", **{**WISHES, **cut, "parts": 2}).save_dir
    run = train_by(2, **cut)
    # The wish is another one, and so is the digest of everything; what comes of it is the same.
    (mine, yours) = (read(each / "weights/last.pt", verify=False) for each in (run, alone))
    assert mine.history.segments[0].recipe == yours.history.segments[0].recipe
    assert mine.history.segments[0].recipe["parts"] == 2
    assert facts(run)["results.csv"] == facts(alone)["results.csv"]
    uncut = train_in(runs / "uncut", **{**WISHES, **cut}).save_dir
    assert facts(uncut)["results.csv"] != facts(alone)["results.csv"]


def test_stopped_and_resumed_on_other_numbers_it_stays_the_same_run(train_by, start, facts, of_one):
    run = train_by(2, fault="SIGINT 1 2 the gradients of a window", code=130)
    assert read(run / "weights/last.pt").position.images > 0
    in_validation = start(3, "resume", str(run), fault="SIGTERM 2 2 the sums of a window's gradients")
    assert in_validation.end()[0] == 130, in_validation.said()
    assert read(run / "weights/last.pt").position.phase == "validate"
    alone = start(1, "resume", str(run))
    assert alone.end() == [0], alone.said()
    assert facts(run) == of_one


ALWAYS = {("SIGKILL", 1, WAITS[1]), ("SIGSTOP", 1, WAITS[4])}


@pytest.mark.parametrize(("kind", "lost", "wait"), [
    pytest.param(kind, lost, wait, marks=() if (kind, lost, wait) in ALWAYS else pytest.mark.slow)
    for kind in ("SIGKILL", "SIGSTOP") for lost in (0, 1) for wait in WAITS
])  # fmt: skip
def test_where_a_process_is_lost_the_others_end_with_a_word_and_last_pt_is_good(
    begin, start, facts, of_one, kind, lost, wait
):
    group, run = begin(3, fault=f"{kind} {lost} 2 {wait}")
    others = [rank for rank in range(3) if rank != lost]
    assert [group.processes[rank].end(60) for rank in others] == [3, 3]
    if kind == "SIGSTOP":
        group.processes[lost].send_signal(signal.SIGKILL)
    assert group.processes[lost].end(60) == -signal.SIGKILL
    how = r"is gone" if kind == "SIGKILL" else r"didn't come within 3 s \(process_timeout\)"
    # The first that notices names the lost one, and ends; others notice that, and are silent about what is said.
    said = {rank: group.said(rank) for rank in others}
    assert all(re.search(rf"process {lost} {how}|Process [012] of 3 ended: |^$", text) for text in said.values()), said
    assert any(re.search(rf"but process {lost} {how}", text) for text in said.values()), said
    assert lost == 0 or said[0], "the one that leads is never silent"
    again = start(2, "resume", str(run))
    assert again.end()[0] == 0, again.said()
    assert facts(run) == of_one


def test_an_error_in_one_process_is_told_as_its_own_and_ends_all(begin, start, facts, of_one):
    group, run = begin(3, fault="error 2 3 the microbatches of a window")
    assert group.end() == [3, 3, 2]
    assert "Error: images/07.png can't be read any more." in group.said(2)
    assert "Process 2 of 3 ended: images/07.png can't be read any more." in group.said(0)
    assert "All that was trained is saved" in group.said(0)
    assert "Error" not in group.said(1), "it is told by the one that met it, and by the one that leads"
    again = start(2, "resume", str(run))
    assert again.end()[0] == 0, again.said()
    assert facts(run) == of_one


def test_a_mistake_in_the_settings_is_told_once(begin):
    group, run = begin(2, epochs="many")
    assert group.end() == [2, 3]
    assert "epochs=many" in group.said(0)
    assert "epochs=many" not in group.said(1)
    assert not run.exists()


def test_started_by_the_command_itself_it_is_the_same_run(peakmark, tiny_data, runs, facts, of_one):
    words = [f"{key}={value}" for key, value in {**CHEAP, "data": tiny_data, "project": runs, **WISHES}.items()]
    done = peakmark("train", *words, "processes=2", cwd=runs.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    assert facts(runs / "train") == of_one
    # Asked for at a resume it is no change of the run: what is over stays as it is.
    again = peakmark("resume", str(runs / "train"), "processes=1", cwd=runs.parent)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "the result stays the same" in again.stdout
    assert facts(runs / "train") == of_one


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
def test_where_a_process_dies_torchrun_starts_all_again_and_they_go_on(tiny_data, runs, facts, of_one, lost):
    words = [f"{key}={value}" for key, value in {**CHEAP, "data": tiny_data, "project": runs, **WISHES}.items()]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    # A worker that is started again meets its fault again, a little further on, until it has none left.
    fault = f"SIGKILL {lost} 5 the microbatches of a window"
    done = subprocess.run(
        [*torchrun, "--max-restarts", "9", str(PROGRAM), "train", *words], cwd=runs.parent, capture_output=True,
        text=True, timeout=300, check=False, env={**os.environ, "PEAKMARK_TEST_FAULT": fault},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Resume after epoch" in done.stdout, "or nothing died"
    assert facts(runs / "train") == of_one
