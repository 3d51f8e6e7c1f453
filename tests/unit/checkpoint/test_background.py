"""Saving in the background: order, what may be dropped, and a disk that refuses."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from peakmark.checkpoint.background import BackgroundWriter, Failed, GivenUp, Saved
from peakmark.checkpoint.digest import everything
from peakmark.checkpoint.format import Checkpoint, snapshot
from peakmark.checkpoint.reader import read
from peakmark.checkpoint.writer import save
from peakmark.errors import MachineError, TrainingError
from peakmark.nouns.run import Position

LAST, BEST, KEPT, KEPT_BEST = Path("last.pt"), Path("best.pt"), Path("epoch5.pt"), Path("best_epoch1.pt")
PATIENCE_S = 20


@pytest.fixture
def at(tiny_checkpoint):
    return lambda epoch: replace(tiny_checkpoint, position=Position(epoch=epoch), weights_epoch=epoch - 1)


class Disk:
    """A `save` that remembers what stands under each name, can be held up, and can be full."""

    def __init__(self) -> None:
        self.holds: dict[Path, int] = {}
        self.calls: list[tuple[int, tuple[Path, ...]]] = []
        self.full = False
        self.may_go = threading.Event()
        self.may_go.set()
        self.begun = threading.Semaphore(0)
        self.given_up = threading.Event()

    def save(self, checkpoint, *targets, go_on) -> int:
        self.begun.release()
        assert self.may_go.wait(PATIENCE_S)
        try:
            go_on()
        except BaseException:
            self.given_up.set()
            raise
        if self.full:
            raise MachineError("Can't write: full.")
        self.calls.append((checkpoint.position.epoch, targets))
        self.holds |= dict.fromkeys(targets, checkpoint.position.epoch)
        return 7


@pytest.fixture
def disk():
    return Disk()


@pytest.fixture
def writer(disk):
    writer = BackgroundWriter(LAST, BEST, disk.save)
    yield writer
    disk.may_go.set()
    writer.give_up()


def hold_up(writer, disk, checkpoint) -> None:
    disk.may_go.clear()
    writer.submit(checkpoint, LAST)
    assert disk.begun.acquire(timeout=PATIENCE_S)


def test_a_waiting_last_gives_way_to_a_newer_one(writer, disk, at):
    hold_up(writer, disk, at(1))
    for epoch in (2, 3, 4):
        writer.submit(at(epoch), LAST)
    disk.may_go.set()
    writer.flush()
    assert [epoch for epoch, _ in disk.calls] == [1, 4]


@pytest.mark.parametrize("targets", [(BEST, LAST), (LAST, BEST), (LAST, KEPT)])
def test_a_waiting_best_or_kept_one_is_never_dropped_and_makes_the_next_wait(writer, disk, targets, at):
    hold_up(writer, disk, at(1))
    writer.submit(at(2), *targets)
    third = threading.Thread(target=writer.submit, args=(at(3), LAST))
    third.start()
    third.join(0.05)
    assert third.is_alive(), "the third snapshot would be one too many in memory"
    disk.may_go.set()
    third.join(PATIENCE_S)
    writer.flush()
    assert [epoch for epoch, _ in disk.calls] == [1, 2, 3]


def test_what_is_done_is_told_once(writer, disk, at):
    writer.submit(at(1), BEST, LAST)
    writer.flush()
    assert writer.finished() == (Saved((BEST, LAST), Position(epoch=1), 7),)
    assert writer.finished() == ()


def test_a_full_disk_stops_nothing_and_best_is_tried_again(writer, disk, at):
    disk.full = True
    writer.submit(at(1), BEST, LAST)
    writer.flush()
    assert "full" in str(writer.failed)
    assert isinstance(writer.finished()[0], Failed)
    writer.submit(at(2), LAST)
    writer.flush()
    disk.full = False
    writer.submit(at(3), LAST)
    writer.flush()
    assert disk.holds == {LAST: 3, BEST: 1}
    assert writer.failed is None
    writer.close()


def test_the_name_last_changes_last_and_what_is_owed_comes_before_it(writer, disk, at):
    """Killed at any point, last.pt never remembers a best epoch that no file holds."""
    writer.submit(at(1), LAST, BEST)
    writer.flush()
    disk.full = True
    writer.submit(at(2), LAST, BEST)
    writer.flush()
    disk.full = False
    writer.submit(at(3), LAST)
    writer.flush()
    assert disk.calls == [(1, (BEST, LAST)), (2, (BEST,)), (3, (LAST,))]


def test_the_best_is_owed_under_all_its_names_and_only_the_newest_one(writer, disk, at):
    """Else a best that a full disk kept from its own file is lost with the next best; two snapshots are the most."""
    disk.full = True
    writer.submit(at(1), BEST, KEPT_BEST, LAST)
    writer.flush()
    writer.submit(at(2), BEST, KEPT, LAST)
    writer.flush()
    disk.full = False
    writer.submit(at(3), LAST)
    writer.close()
    assert disk.holds == {LAST: 3, BEST: 2, KEPT: 2}
    assert (2, (BEST, KEPT)) in disk.calls, "one file under both names"


def test_a_best_that_is_owed_gets_its_own_name_before_the_next_takes_best(writer, disk, at):
    disk.full = True
    writer.submit(at(1), BEST, KEPT_BEST, LAST)
    writer.flush()
    disk.full = False
    writer.submit(at(2), BEST, LAST)
    writer.close()
    assert disk.holds == {LAST: 2, BEST: 2, KEPT_BEST: 1}


def test_a_newer_best_replaces_the_one_that_is_owed(writer, disk, at):
    disk.full = True
    writer.submit(at(1), BEST, LAST)
    writer.flush()
    disk.full = False
    writer.submit(at(2), BEST, LAST)
    writer.close()
    assert disk.calls == [(2, (BEST, LAST))]


def test_close_tries_once_more_and_then_says_so(disk, at):
    writer = BackgroundWriter(LAST, BEST, disk.save)
    disk.full = True
    writer.submit(at(1), LAST)
    with pytest.raises(MachineError, match="full"):
        writer.close()

    writer = BackgroundWriter(LAST, BEST, disk.save)
    writer.submit(at(1), LAST)
    writer.flush()
    disk.full = False
    writer.close()
    assert disk.holds == {LAST: 1}


def test_a_kept_epoch_that_the_disk_refused_is_told_and_given_up(writer, disk, at):
    disk.full = True
    writer.submit(at(1), KEPT)
    writer.flush()
    assert writer.finished()[0].targets == (KEPT,)
    disk.full = False
    writer.submit(at(2), LAST)
    writer.close()
    assert disk.holds == {LAST: 2}


@pytest.mark.parametrize("error", [TrainingError("not finite"), RuntimeError("a defect")])
def test_anything_but_the_disk_reaches_the_caller(error, at):
    def save(checkpoint, *targets, go_on) -> int:
        raise error

    writer = BackgroundWriter(LAST, BEST, save)
    writer.submit(at(1), LAST)
    with pytest.raises(type(error), match=str(error)):
        writer.flush()
    with pytest.raises(type(error)):
        writer.submit(at(2), LAST)
    with pytest.raises(type(error)):
        writer.close()


def test_giving_up_waits_for_nothing_and_changes_no_file_any_more(writer, disk, at, monkeypatch):
    """A second Ctrl-C: the save in flight may be of gigabytes, on a disk that is slow."""
    monkeypatch.setattr("peakmark.checkpoint.background._LAST_MOMENT_S", 0.05)
    hold_up(writer, disk, at(1))
    writer.submit(at(2), LAST)
    began_at = time.monotonic()
    writer.give_up()
    assert time.monotonic() - began_at < 5
    disk.may_go.set()
    assert disk.given_up.wait(PATIENCE_S), "the save in flight goes on until its next write"
    assert disk.calls == []


def test_giving_up_an_idle_writer_ends_its_thread_at_once(writer, disk, at):
    writer.submit(at(1), LAST)
    writer.flush()
    began_at = time.monotonic()
    writer.give_up()
    assert time.monotonic() - began_at < 0.8
    assert writer._thread is not None
    assert not writer._thread.is_alive()


def test_giving_up_does_not_wait_for_whoever_holds_the_lock(writer, disk, at):
    """The Ctrl-C may come while this very thread is handing work over."""
    hold_up(writer, disk, at(1))
    ended = threading.Thread(target=writer.give_up)
    with writer._changed:
        disk.may_go.set()
        ended.start()
        ended.join(PATIENCE_S)
        assert not ended.is_alive()


def test_a_save_that_is_given_up_leaves_what_stood(tmp_path, tiny_checkpoint):
    """At every write of it, and when it is written but has no name yet."""
    last = tmp_path / "last.pt"
    save(tiny_checkpoint, last)
    before = last.read_bytes()
    asked = 0

    def count() -> None:
        nonlocal asked
        asked += 1

    save(tiny_checkpoint, tmp_path / "counted.pt", go_on=count)
    (tmp_path / "counted.pt").unlink()
    assert asked > 10
    for fatal in (0, asked // 2, asked - 1):
        calls = iter(range(asked))

        def give_up(fatal: int = fatal, calls=calls) -> None:
            if next(calls) == fatal:
                raise GivenUp

        with pytest.raises(GivenUp):
            save(replace(tiny_checkpoint, weights_epoch=0), last, go_on=give_up)
        assert last.read_bytes() == before
        assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_a_thread_that_the_system_refuses_is_an_error_and_leaves_nothing_to_wait_for(monkeypatch, disk, at):
    writer = BackgroundWriter(LAST, BEST, disk.save)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="new thread"):
        writer.submit(at(1), LAST)
    monkeypatch.undo()
    closing = threading.Thread(target=writer.close, daemon=True)
    closing.start()
    closing.join(PATIENCE_S)
    assert not closing.is_alive()


def test_what_is_closed_may_be_closed_again_and_takes_nothing_more(disk, at):
    writer = BackgroundWriter(LAST, BEST, disk.save)
    disk.full = True
    writer.submit(at(1), LAST)
    with pytest.raises(MachineError, match="full"):
        writer.close()
    with pytest.raises(RuntimeError, match="nobody would save it"):
        writer.submit(at(2), LAST)
    disk.full = False
    writer.close()
    assert disk.holds == {LAST: 1}


def test_a_snapshot_survives_the_overwriting_of_every_live_tensor(tmp_path, tiny_checkpoint):
    """While its writing is held up the training goes on, and so does the snapshot after it."""
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8)).to(
        memory_format=torch.channels_last  # type: ignore[call-overload]
    )
    optimizer = torch.optim.AdamW(module.parameters())
    module(torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))).square().mean().backward()
    optimizer.step()

    def taken(epoch: int) -> Checkpoint:
        weights, moments = snapshot(module.state_dict()), snapshot(optimizer.state_dict())
        state = {"model": weights, "training_weights": weights, "optimizer": moments}
        checkpoint: Checkpoint = replace(tiny_checkpoint, position=Position(epoch=epoch), **state)
        return checkpoint

    def overwrite(value: float) -> None:
        live = [*module.state_dict().values(), *(parameter.grad for parameter in module.parameters())]
        live += [moment for moments in optimizer.state.values() for moment in moments.values()]
        with torch.no_grad():
            for tensor in live:
                tensor.fill_(value)

    may_go, begun = threading.Event(), threading.Event()

    def held_up(checkpoint: Checkpoint, *targets: Path, go_on: Callable[[], None]) -> int:
        begun.set()
        assert may_go.wait(PATIENCE_S)
        return save(checkpoint, *targets, go_on=go_on)

    last, best = tmp_path / "last.pt", tmp_path / "best.pt"
    writer = BackgroundWriter(last, best, held_up)
    before = everything(taken(1))
    writer.submit(taken(1), best)
    assert begun.wait(PATIENCE_S)
    overwrite(7.0)
    writer.submit(taken(2), last)
    overwrite(9.0)
    may_go.set()
    writer.close()
    assert everything(read(best)) == before
    assert all(bool((tensor == 7).all()) for tensor in read(last).model.values())


def test_many_small_saves_lose_nothing(tmp_path, at):
    last, best = tmp_path / "last.pt", tmp_path / "best.pt"
    writer = BackgroundWriter(last, best)
    for epoch in range(1, 30):
        writer.submit(at(epoch), *((best, last) if epoch % 5 == 0 else (last,)))
    writer.close()
    assert read(last).position.epoch == 29
    assert read(best).position.epoch == 25


_SAVES_AND_COUNTS_THREADS = """
import dataclasses, pathlib, sys
import psutil, torch
from peakmark.checkpoint.background import BackgroundWriter
from peakmark.checkpoint.reader import read
torch.set_num_threads(2)
torch.ones(1_000_000).isfinite().all()  # the main thread's own team
golden, folder = map(pathlib.Path, sys.argv[1:])
large = {"weight": torch.ones(1_000_000)}
checkpoint = dataclasses.replace(read(golden), model=large, training_weights=large)
before = psutil.Process().num_threads()
writer = BackgroundWriter(folder / "last.pt", folder / "best.pt")
writer.submit(checkpoint, folder / "last.pt")
writer.flush()
print(psutil.Process().num_threads() - before)
"""


def test_a_save_starts_no_threads_beside_its_own(tmp_path):
    """A second team of OpenMP threads, on as many cores as the first, slows every training step down for good."""
    golden = Path(__file__).resolve().parents[2] / "contracts/golden/checkpoint-2.pt"
    command = [sys.executable, "-c", _SAVES_AND_COUNTS_THREADS, str(golden), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "1", done.stderr
