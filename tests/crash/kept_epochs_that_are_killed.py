"""Keeps the best epochs of a run whose fitness rises and falls, killed at one system call after the other.

Run by `test_kept_epochs.py` as a program of its own: it kills children of itself, which is safe only without other
threads. Usage: kept_epochs_that_are_killed.py FOLDER CHECKPOINT. FOLDER/<number of the call> is made for each kill,
FOLDER/whole for the run that is not killed, FOLDER/refused for one whose disk takes no file away; what it was told is
in FOLDER/refused/told. What each kill was at is printed.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from saves_that_fail import BROKE, KILLED, Calls, kill  # type: ignore[import-not-found]  # it lies beside

from peakmark.checkpoint.background import BackgroundWriter
from peakmark.checkpoint.format import Checkpoint
from peakmark.checkpoint.reader import read
from peakmark.errors import MachineError
from peakmark.events import Event, Notice, Observer
from peakmark.files import durable
from peakmark.nouns.run import History, Position
from peakmark.record.folder import RunFolder
from peakmark.run.disk import checkpointer as keeper
from peakmark.selection.decide import decide
from peakmark.selection.rules import rules_of
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import recipe
from peakmark.state.capture import RunFacts
from peakmark.state.state import RunState

FITNESSES = (0.3, 0.1, 0.2, 0.4, 0.1, 0.35, 0.5)
KEEP = 2
Keep = Callable[[Path, Checkpoint], None]


def after(checkpoint: Checkpoint, epoch: int) -> Checkpoint:
    """The run's state once so many epochs are done."""
    record = checkpoint.history.records[1]
    records = tuple(
        dataclasses.replace(record, epoch=number, step=number + 1, fitness=fitness)
        for number, fitness in enumerate(FITNESSES[: epoch + 1])
    )
    return dataclasses.replace(
        checkpoint,
        position=Position(epoch + 1, 0, "train", epoch + 1),
        history=History(records, checkpoint.history.segments),
        weights_epoch=epoch,
        fitness=FITNESSES[epoch],
        best_fitness=max(FITNESSES[: epoch + 1]),
    )


def keep_all(folder: Path, checkpoint: Checkpoint, observe: Observer = lambda event: None) -> None:
    """What a run does about its files, epoch by epoch."""
    run = RunFolder(folder)
    writer = BackgroundWriter(run.last, run.best)
    facts = cast(RunFacts, None)
    keeping = keeper.Checkpointer(run, facts, writer, observe, keep=KEEP, save_interval_s=0, clock=time.monotonic)
    settings = Settings(data="-")
    rules = rules_of(settings, recipe(settings, classes=2, images=8))
    for epoch in range(len(FITNESSES)):
        state: Any = after(checkpoint, epoch)
        keeping.keep_epoch(cast(RunState, state), decide(state.history, rules))
        writer.flush()
    keeping.close()


def keep_all_where_nothing_can_be_removed(folder: Path, checkpoint: Checkpoint) -> None:
    def refuse(path: Path) -> None:
        raise MachineError(f"Can't write {path}: Operation not permitted.")

    told: list[Event] = []
    durable.remove = refuse
    keep_all(folder, checkpoint, told.append)
    (folder / "told").write_text("\n".join(event.text for event in told if isinstance(event, Notice)))


def in_child(folder: Path, checkpoint: Checkpoint, calls: Calls, keep: Keep = keep_all) -> int:
    folder.mkdir()
    if os.fork() == 0:
        code = BROKE
        try:
            calls.install()
            keep(folder, checkpoint)
            (folder / "calls").write_text("\n".join(calls.log))
            code = 0
        finally:
            if code == BROKE:
                traceback.print_exc()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.wait()[1])


def main(folder: Path, checkpoint: Checkpoint) -> None:
    # The state stands for its own picture: there is no network here, and none is needed.
    keeper.capture = lambda state, facts: state  # type: ignore[attr-defined, assignment, return-value]
    assert in_child(folder / "whole", checkpoint, Calls(-1, kill)) == 0
    assert in_child(folder / "refused", checkpoint, Calls(-1, kill), keep_all_where_nothing_can_be_removed) == 0
    log = (folder / "whole" / "calls").read_text().splitlines()
    killed_at = {}
    for number, call in enumerate(log):
        if call != "write":  # the file that is being written has no name yet
            code = in_child(folder / str(number), checkpoint, Calls(number, kill))
            assert code == KILLED, (number, call, code)
            killed_at[number] = call
    print(json.dumps(killed_at))


if __name__ == "__main__":
    main(Path(sys.argv[1]), read(Path(sys.argv[2])))
