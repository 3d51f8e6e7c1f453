"""How does a training go from wishes to a run folder? What surrounds the loop: the folder, the lock, signals, the end.

It knows no picture and no terminal; whoever watches is handed in.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from peakmark.checkpoint.catalogue import newest_good
from peakmark.checkpoint.digest import digests
from peakmark.checkpoint.format import Checkpoint
from peakmark.checkpoint.reader import read, read_position
from peakmark.data.dataset import DatasetSpec, read_dataset
from peakmark.errors import DataError, MachineError, ModelFileError, TrainingError
from peakmark.evaluate.fitness import describe as describe_fitness
from peakmark.events import Event, Notice, Observer, Outcome, RunEnded, RunStarted
from peakmark.machine.devices import Arithmetic, settle
from peakmark.machine.durable import clean_leftovers, write_text
from peakmark.machine.lock import RunLock
from peakmark.machine.memory import available_bytes, is_out_of_memory
from peakmark.machine.stopping import StopRequest
from peakmark.model.scales import SCALES
from peakmark.nouns import PROTOCOL, Evaluation, History
from peakmark.record.folder import RunFolder, create_run_folder
from peakmark.record.journal import Journal
from peakmark.record.settings_yaml import read as read_settings
from peakmark.record.settings_yaml import render as render_settings
from peakmark.record.summary import Summary, summarise
from peakmark.record.summary import render as render_summary
from peakmark.resume.capture import capture, restore
from peakmark.selection.best import best_record
from peakmark.selection.decide import decide
from peakmark.settings.fields import Settings
from peakmark.settings.parse import Parsed, parse
from peakmark.settings.plain import from_plain, to_plain
from peakmark.train.build import PreparedRun, assemble, facts_of, prepare
from peakmark.train.footprint import training_bytes
from peakmark.train.start import ModelSource, find_model, trained_model
from peakmark.train.validation import ValidationSet, validate_weights

_SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run that came to an end, and what a picture of it needs."""

    folder: RunFolder
    outcome: Outcome
    run: PreparedRun
    best: Checkpoint | None
    evaluation: Evaluation | None
    """Of best.pt, read back from the disk; None where no epoch was validated, or the run was stopped to go on later."""
    summary: Summary

    @property
    def history(self) -> History:
        return self.run.state.history


@dataclass(frozen=True, slots=True)
class Artist:
    """Who draws a run; asked only where plots=True, at the start and at a resume alike."""

    watch: Observer
    """Draws while it goes."""
    draw: Callable[[EndedRun], None]
    """Draws an ended run into its folder."""


def start_run(
    parsed: Parsed[Settings], source: ModelSource, spec: DatasetSpec, observe: Observer, artist: Artist
) -> EndedRun:
    """Trains from the beginning, in a new folder."""
    settings = parsed.settings
    run = prepare(settings, source, spec)
    _check_memory(run)
    folder, said = create_run_folder(Path(settings.project), settings.name, exist_ok=settings.exist_ok)
    with RunLock(folder.path):
        write_text(folder.settings_yaml, render_settings(to_plain(settings), parsed.origins))
        return _go(run, folder, observe, artist, (*parsed.notes, *run.notes, *said))


def resume_run(folder: RunFolder, asked: Path | None, observe: Observer, artist: Artist) -> EndedRun:
    """Goes on with a run where it stopped, in place and with its own settings.

    `asked` is the checkpoint that the user named, if any. Raises ModelFileError where there is nothing to go on with or
    the run is further than that file, and MachineError where the data are not the ones that the run was on, since the
    result would then be another one.
    """
    with RunLock(folder.path):
        if not folder.weights.is_dir():
            return _from_the_beginning(folder, observe, artist)
        clean_leftovers(folder.weights)  # of a save that a crash cut off
        found = newest_good(folder.weights)
        checkpoint = found.checkpoint
        if asked is not None and read_position(asked) != checkpoint.position:
            raise ModelFileError(
                f"{asked} is of an earlier place in the run than {found.path}, and a run is never rewound in place. Go"
                f" on with its newest state: peakmark resume {folder.path}; or start a new run from these weights:"
                f" peakmark train model={asked} data=..."
            )
        settings = from_plain(Settings, checkpoint.settings)
        spec = read_dataset(checkpoint.provenance["data"]["yaml"])
        arithmetic = Arithmetic.from_plain(checkpoint.arithmetic)
        settle(device=arithmetic.device, amp=settings.amp, deterministic=settings.deterministic)  # refuses if it's gone
        run = prepare(settings, ModelSource(settings.model, SCALES[checkpoint.architecture]), spec, arithmetic)
        _check_same_data(checkpoint, run)
        restore(checkpoint, run.state)
        if digests(capture(run.state, facts_of(run))) != digests(checkpoint):
            raise ModelFileError(f"{found.path}: the state could not be restored exactly; nothing was changed.")
        return _go(run, folder, observe, artist, found.refused)


def _from_the_beginning(folder: RunFolder, observe: Observer, artist: Artist) -> EndedRun:
    """Starts a run again, in its folder, that was ended before its first save."""
    settings = parse(Settings, read_settings(folder.settings_yaml)).settings
    run = prepare(settings, find_model(settings.model), read_dataset(settings.data))
    said = "This run was ended before anything was saved: it starts from its settings.yaml."
    return _go(run, folder, observe, artist, (said, *run.notes))


def _check_same_data(checkpoint: Checkpoint, run: PreparedRun) -> None:
    for split in ("train", "val"):
        before, now = checkpoint.provenance["data"][split], run.provenance["data"][split]
        if before != now:
            raise MachineError(
                f"The {split} images or labels are not the ones that this run was trained with (fingerprint"
                f" {str(now)[:12]} instead of {str(before)[:12]}). Put the data back as it was, or fine-tune:"
                " a new run with model=.../weights/last.pt."
            )


def _check_memory(run: PreparedRun) -> None:
    """Refuses what can't fit, before anything is written."""
    settings = run.settings
    if run.arithmetic.on_gpu:
        return
    needed = training_bytes(
        SCALES[run.architecture],
        len(run.names),
        side_px=settings.imgsz,
        batch=min(settings.batch, len(run.train_index)),
        arithmetic=run.arithmetic,
    )
    if needed > (free := available_bytes()):
        raise MachineError(
            f"batch={settings.batch} at imgsz={settings.imgsz} with {run.architecture} needs about"
            f" {needed / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} GiB are free; take a smaller batch (gradients"
            " still gather up to nbs), a smaller imgsz or a smaller model."
        )


def _go(run: PreparedRun, folder: RunFolder, observe: Observer, artist: Artist, notes: tuple[str, ...]) -> EndedRun:
    """Runs the loop and brings its end into order."""
    journal = Journal(folder.journal)

    def tell(event: Event) -> None:
        journal(event)
        if run.settings.plots:
            artist.watch(event)
        observe(event)

    limit_h = run.settings.time
    with StopRequest(None if limit_h is None else limit_h * _SECONDS_PER_HOUR) as stop:
        tell(_started(run, folder, notes))
        loop, keeper = assemble(run, folder, stop, tell)
        try:
            # Closed before anything is told of the end: what the words say is saved is on the disk by then.
            with closing(keeper):
                outcome = loop.run()
        except TrainingError as error:
            write_text(folder.summary, render_summary(_summary(run, "not_finite", str(error))))
            tell(_ended(run, folder, "not_finite", str(error)))
            raise
        except DataError:
            text = "All that was trained is saved. With the data as it was, go on with: peakmark resume"
            tell(Notice(f"{text} {folder.path}", serious=True))
            raise
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise MachineError(
                f"The memory is used up at batch={run.settings.batch}, imgsz={run.settings.imgsz}: take a smaller"
                f" batch, imgsz or model. What was saved in {folder.weights} stands."
            ) from error
        return _bring_to_an_end(run, folder, outcome, tell, artist)


def _bring_to_an_end(run: PreparedRun, folder: RunFolder, outcome: Outcome, tell: Observer, artist: Artist) -> EndedRun:
    """Reads best.pt back and validates it, writes summary.json and has the pictures drawn."""
    over = _is_over(outcome)
    best = _read_best(run, folder, tell) if over else None
    evaluation = _proof(run, best, run.validation, tell) if best and run.validation else None
    text = _last_words(run, folder, outcome)
    summary = _summary(run, outcome, text)
    write_text(folder.summary, render_summary(summary))
    ended = EndedRun(folder, outcome, run, best, evaluation, summary)
    if over and run.settings.plots:
        artist.draw(ended)
    tell(_ended(run, folder, outcome, text))
    return ended


def _is_over(outcome: Outcome) -> bool:
    return outcome in ("finished", "early_stopped")


def _read_best(run: PreparedRun, folder: RunFolder, tell: Observer) -> Checkpoint | None:
    """Reads best.pt where an epoch was best; a file that somebody took away meanwhile must not cost the run's end."""
    if best_record(run.state.history) is None:
        return None
    try:
        return read(folder.best)
    except ModelFileError as error:
        tell(Notice(f"The best epoch's weights can't be read back. {error}", serious=True))
        return None


def _proof(run: PreparedRun, best: Checkpoint, data: ValidationSet, tell: Observer) -> Evaluation:
    """Validates what is on the disk: the file must give the numbers that the log gave, to the last digit."""
    settings = run.settings
    gains = (settings.box, settings.cls, settings.dfl)
    evaluation = validate_weights(trained_model(best), data, run.arithmetic, gains)
    # Compared as text: NaN, for a size of object that does not occur, equals itself there.
    differing = [name for name, value in (best.metrics or {}).items() if repr(evaluation.metrics[name]) != repr(value)]
    if differing:
        tell(
            Notice(
                f"best.pt, validated again, differs from its log in {', '.join(differing)}: this machine did not"
                " compute the same twice. Please report it.",
                serious=True,
            )
        )
    return evaluation


def _started(run: PreparedRun, folder: RunFolder, notes: tuple[str, ...]) -> RunStarted:
    chosen = run.recipe
    return RunStarted(
        folder=folder.path,
        model=run.architecture,
        parameters=sum(parameter.numel() for parameter in run.state.model.parameters()),
        classes=run.names,
        train_images=len(run.train_index),
        val_images=len(run.val_index) if run.val_index else 0,
        epochs=run.settings.epochs,
        image_size_px=run.settings.imgsz,
        position=run.state.position,
        device=f"{run.arithmetic.device} ({run.arithmetic.device_name})",
        precision=run.arithmetic.precision,
        threads=run.arithmetic.threads,
        optimizer=f"{chosen.optimizer}, lr0 {chosen.lr0:g}, momentum {chosen.momentum:g} ({chosen.why})",
        provenance=run.provenance,
        notes=notes,
    )


def _ended(run: PreparedRun, folder: RunFolder, outcome: Outcome, text: str) -> RunEnded:
    best = best_record(run.state.history)
    return RunEnded(
        folder=folder.path,
        outcome=outcome,
        position=run.state.position,
        best_epoch=best.epoch if best else None,
        best_fitness=best.fitness if best else None,
        text=text,
        pictures=_is_over(outcome) and run.settings.plots,
    )


def _last_words(run: PreparedRun, folder: RunFolder, outcome: Outcome) -> str:
    go_on = f"Go on with: peakmark resume {folder.path}"
    match outcome:
        case "interrupted":
            return f"Stopped as asked, and saved. {go_on}"
        case "out_of_time":
            return f"The time set with time={run.settings.time:g} hours is over; saved. {go_on}"
        case "early_stopped":
            return f"No better epoch came within patience={run.settings.patience} epochs."
        case _ if run.val_index is None:
            return (
                "Nothing was validated (val=False), so no epoch is best. Validate last.pt with: peakmark val model="
                + str(folder.last)
            )
        case _:
            return f"All {run.settings.epochs} epochs are done."


def _summary(run: PreparedRun, outcome: Outcome, text: str) -> Summary:
    settings, history = run.settings, run.state.history
    best = best_record(history)
    return summarise(
        history,
        best_epoch=best.epoch if best else None,
        best_reason=_reason(run, best.epoch) if best else "",
        outcome=outcome,
        text=text,
        fitness=f"{settings.fitness}: {describe_fitness(settings.fitness)}",
        protocol=PROTOCOL,
        names=run.names,
        settings=to_plain(settings),
        data=run.provenance["data"],
        versions=run.provenance["versions"],
        digests=digests(capture(run.state, facts_of(run))),
    )


def _reason(run: PreparedRun, epoch: int) -> str:
    """Why an epoch became best, as it was said then: decisions are functions of the history, so it is said again."""
    settings, history = run.settings, run.state.history
    until_then = History(tuple(record for record in history.records if record.epoch <= epoch), history.segments)
    decision = decide(until_then, epochs=settings.epochs, patience=settings.patience, save_period=settings.save_period)
    return decision.reason
