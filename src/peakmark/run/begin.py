"""How does a training go from wishes to a run folder? What surrounds the loop: the folder, the lock, signals, errors.

It knows no picture and no terminal; whoever watches is handed in.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from peakmark.data.augment.plan import greatest_side
from peakmark.data.dataset import DatasetSpec
from peakmark.distributed.launched import processes_here
from peakmark.errors import MachineError, TrainingError
from peakmark.evaluate.fitness import FitnessFunction
from peakmark.events import Event, Observer, RunStarted
from peakmark.files.durable import write_text
from peakmark.files.lock import RunLock
from peakmark.machine.memory import available_bytes, is_out_of_memory
from peakmark.machine.numerics import undisturbed
from peakmark.machine.stopping import EndNow, StopRequest
from peakmark.nouns.run import History
from peakmark.record.folder import RunFolder, create_run_folder
from peakmark.record.journal import Journal
from peakmark.record.settings_yaml import render as render_settings
from peakmark.record.summary import render as render_summary
from peakmark.run.build import PreparedRun, assemble, prepare
from peakmark.run.disk.checkpointer import Checkpointer
from peakmark.run.disk.data_files import write_data_files
from peakmark.run.disk.disk_needed import expected_use, room_notes
from peakmark.run.end.end import Artist, EndedRun, bring_to_an_end, ended, summary_of
from peakmark.run.end.pictures import WhileItGoes
from peakmark.run.failing import out_of_memory, save_what_stands, tell_what_stands
from peakmark.run.memory_needed import training_bytes
from peakmark.run.time_limit import left_s, time_notes
from peakmark.run.together import lead
from peakmark.run.weights import ModelSource
from peakmark.settings.fields import Settings
from peakmark.settings.parse import Parsed
from peakmark.settings.plain import to_plain
from peakmark.settings.recipe import largest_microbatch, window_images


class Watch(Protocol):
    """Looks at what happens, and may tell of it or ask for a stop."""

    def __call__(self, event: Event, history: History, tell: Observer, stop: StopRequest) -> None: ...


@dataclass(frozen=True, slots=True)
class Audience:
    """Who is told what happens in a run."""

    observe: Observer
    artist: Artist
    watches: tuple[Watch, ...] = ()


@undisturbed()
def start_run(
    parsed: Parsed[Settings],
    source: ModelSource,
    spec: DatasetSpec,
    audience: Audience,
    function: FitnessFunction | None = None,
) -> EndedRun:
    """Trains from the beginning, in a new folder; `function` is its fitness, where that is one in Python."""
    settings = parsed.settings
    run = prepare(settings, source, spec, function)
    check_memory(run)
    folder, said = create_run_folder(Path(settings.project), settings.name, exist_ok=settings.exist_ok)
    with RunLock(folder.path):
        write_text(folder.settings_yaml, render_settings(to_plain(run.settings), parsed.origins))
        write_data_files(folder, run.data)
        return carry_out(run, folder, audience, (*parsed.notes, *run.notes, *said))


def check_memory(run: PreparedRun) -> None:
    """Refuses what can't fit, before anything is written."""
    settings = run.settings
    if run.facts.arithmetic.on_gpu:
        return
    side_px = greatest_side(settings)
    together = processes_here().on_this_machine
    needed = together * training_bytes(
        run.state.ema,
        side_px=side_px,
        batch=largest_microbatch(settings, run.recipe, len(run.data.train_index)),
        arithmetic=run.facts.arithmetic,
    )
    if needed > (free := available_bytes()):
        at = f"imgsz={settings.imgsz}"
        among = f", for {together} processes," if together > 1 else ""
        at += f" and multi_scale={settings.multi_scale:g}, so up to {side_px} px," if side_px > settings.imgsz else ""
        raise MachineError(
            f"batch={settings.batch} at {at} with {run.facts.architecture} needs about{among}"
            f" {needed / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} GiB are free; take a smaller batch (gradients"
            " still gather up to nbs), a smaller imgsz or a smaller model."
        )


def carry_out(run: PreparedRun, folder: RunFolder, audience: Audience, notes: tuple[str, ...]) -> EndedRun:
    """Runs the loop and brings its end into order; notes are told at its start."""
    journal = Journal(folder.journal)

    def tell(event: Event) -> None:
        journal(event)
        if run.settings.plots:
            paint(event)
        audience.observe(event)
        for watch in audience.watches:
            watch(event, run.state.history, tell, stop)

    paint = WhileItGoes(audience.artist.watch, tell)
    with StopRequest(left_s(run.settings, run.state)) as stop:
        notes = (*notes, *lead(run, processes_here()), *time_notes(folder, run.settings, run.state))
        tell(_started(run, folder, (*notes, *room_notes(folder, run.settings, run.state, run.recipe))))
        loop, checkpointer = assemble(run, folder, stop, tell)
        try:
            outcome = loop.run()
            # Before anything is told of the end: what the words say is saved is on the disk by then.
            checkpointer.close()
            return bring_to_an_end(run, folder, outcome, tell, audience.artist, stop)
        except EndNow:
            checkpointer.give_up()
            raise
        except BaseException as error:
            _end_by(error, run, folder, checkpointer, tell)
            if is_out_of_memory(error):
                raise out_of_memory(run.settings, run.facts.arithmetic, folder) from error
            raise


def _end_by(
    error: BaseException, run: PreparedRun, folder: RunFolder, checkpointer: Checkpointer, tell: Observer
) -> None:
    """Saves what an error leaves whole, and says so; a second Ctrl-C doesn't wait for that either."""
    try:
        not_saved = save_what_stands(run.state, checkpointer)
    except EndNow:
        checkpointer.give_up()
        raise
    tell_what_stands(error, not_saved, folder, tell)
    if isinstance(error, TrainingError):
        with contextlib.suppress(MachineError):  # a full disk would take the place of the error that ended the run
            write_text(folder.summary, render_summary(summary_of(run, folder, "not_finite", str(error))))
            tell(ended(run, folder, "not_finite", str(error)))


def _started(run: PreparedRun, folder: RunFolder, notes: tuple[str, ...]) -> RunStarted:
    chosen = run.recipe
    return RunStarted(
        folder=folder.path,
        model=run.facts.architecture,
        parameters=sum(parameter.numel() for parameter in run.state.model.parameters()),
        classes=run.facts.names,
        train_images=len(run.data.train_index),
        val_images=len(run.data.val_index) if run.data.val_index else 0,
        epochs=run.settings.epochs,
        image_size_px=run.settings.imgsz,
        position=run.state.position,
        device=f"{run.facts.arithmetic.device} ({run.facts.arithmetic.device_name})",
        precision=run.facts.arithmetic.precision,
        threads=run.facts.arithmetic.threads,
        optimizer=f"{chosen.optimizer}, lr0 {chosen.lr0:g}, momentum {chosen.momentum:g}, an update every"
        f" {window_images(run.settings.batch, chosen.nbs)} images ({chosen.why})",
        kept=expected_use(run.settings, run.state, chosen),
        provenance=run.facts.provenance,
        notes=notes,
        train_contents=run.data.train_index.contents,
        val_contents=run.data.val_index.contents if run.data.val_index else None,
    )
