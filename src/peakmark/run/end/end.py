"""How does a run come to its end? best.pt is read back and validated, the summary written, the pictures drawn.

It must not know how the run went, only its state and its outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from peakmark.checkpoint.digest import digests
from peakmark.checkpoint.format import Checkpoint, protocol_in
from peakmark.checkpoint.reader import read
from peakmark.errors import DataError, MachineError, ModelFileError
from peakmark.evaluate.fitness import Fitness
from peakmark.evaluate.validator import Validated
from peakmark.events import Notice, Observer, RunEnded, ValidationProgress
from peakmark.files.disk import bytes_in
from peakmark.files.durable import write_text
from peakmark.formula.text import read_formula
from peakmark.machine.stopping import StopRequest
from peakmark.nouns.evaluation import Evaluation
from peakmark.nouns.images import Detections
from peakmark.nouns.outcome import OVER, Outcome
from peakmark.nouns.run import History
from peakmark.record.folder import RunFolder
from peakmark.record.results_csv import render as render_results
from peakmark.record.summary import Averaging, Certainty, Summary, summarise
from peakmark.record.summary import render as render_summary
from peakmark.run.build import PreparedRun
from peakmark.run.disk.disk_needed import weights_bytes
from peakmark.run.end.average_trial import try_averages
from peakmark.run.end.how_sure import how_sure
from peakmark.run.end.pictures import drawn
from peakmark.run.time_limit import larger
from peakmark.run.weights import trained_model
from peakmark.selection.best import best_record
from peakmark.selection.decide import decide, until_then
from peakmark.selection.rules import rules_of
from peakmark.settings.plain import to_plain
from peakmark.state.capture import capture
from peakmark.validation.validation import Speed, ValidationSet, ValidationStopped, validate_weights


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run that came to an end, and what a picture of it needs."""

    folder: RunFolder
    outcome: Outcome
    run: PreparedRun
    best: Checkpoint | None
    proof: Validated | None
    """Of best.pt, read back from the disk; None where no epoch was validated, or the run was stopped to go on later."""
    found: Sequence[Detections]
    """What was found in each image of that validation, in px of the original; empty without one, and without plots."""
    summary: Summary
    speed: Mapping[str, float]
    """Of that evaluation, in ms an image; empty without one."""

    @property
    def evaluation(self) -> Evaluation | None:
        return self.proof.evaluation if self.proof else None

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


def bring_to_an_end(
    run: PreparedRun, folder: RunFolder, outcome: Outcome, tell: Observer, artist: Artist, stop: StopRequest
) -> EndedRun:
    """Reads best.pt back and validates it, writes summary.json and has the pictures drawn.

    Whoever is asked to stop here may not have the time for it: the run ends as interrupted, and a resume completes it.
    """
    best = _read_best(run, folder, tell) if outcome in OVER else None
    proof, certainty, averaging, speed = None, None, None, Speed()
    found: list[Detections] = []
    try:
        if best and run.validation:
            keep = (lambda number, detections: found.append(detections)) if run.settings.plots else None
            proof = _proof(run, best, run.validation, tell, stop, speed, keep)
        if outcome in OVER and run.data.fitness:
            certainty = how_sure(run.state.history, folder, run.data.fitness, tell, partial(_heed, stop))
        if best and proof and run.data.fitness and run.settings.average:
            averaging = _averaged(run, run.data.fitness, folder, best, proof, tell, stop)
    except ValidationStopped:
        outcome = "interrupted"
    over = outcome in OVER
    text = _last_words(run, folder, outcome)
    coco = proof.evaluation.coco if proof and proof.evidence.cap is None else None
    summary = summary_of(run, folder, outcome, text, certainty, averaging, coco)
    write_text(folder.summary, render_summary(summary))
    if over:
        # Written after each epoch; again for a run whose last one was cut off between its state and its table.
        winner = best_record(run.state.history)
        write_text(folder.results_csv, render_results(run.state.history, winner.epoch if winner else None))
    took = speed.ms_per_image(proof.evaluation.images) if proof else {}
    whole = EndedRun(folder, outcome, run, best, proof, found, summary, took)
    pictures = over and run.settings.plots and drawn("The pictures and the page", lambda: artist.draw(whole), tell)
    tell(ended(run, folder, outcome, text, summary, pictures=pictures))
    return whole


def _read_best(run: PreparedRun, folder: RunFolder, tell: Observer) -> Checkpoint | None:
    """Reads best.pt where an epoch was best; a file that somebody took away meanwhile must not cost the run's end."""
    if best_record(run.state.history) is None:
        return None
    try:
        return read(folder.best)
    except ModelFileError as error:
        tell(Notice(f"The best epoch's weights can't be read back. {error}", serious=True))
        return None


def _proof(
    run: PreparedRun,
    best: Checkpoint,
    data: ValidationSet,
    tell: Observer,
    stop: StopRequest,
    speed: Speed,
    found: Callable[[int, Detections], None] | None,
) -> Validated:
    """Validates what is on the disk: the file must give the numbers that the log gave, to the last digit.

    Raises ValidationStopped where a signal asks for it.
    """
    validated = validate_weights(
        trained_model(best),
        data,
        run.facts.arithmetic,
        run.objective,
        progress=lambda images_done: _heed(stop),
        speed=speed,
        found=found,
    )
    metrics = validated.evaluation.metrics
    # Compared as text: NaN, for a size of object that does not occur, equals itself there.
    differing = [name for name, value in (best.metrics or {}).items() if repr(metrics[name]) != repr(value)]
    if differing:
        tell(
            Notice(
                f"best.pt, validated again, differs from its log in {', '.join(differing)}: this machine did not"
                " compute the same twice. Please report it.",
                serious=True,
            )
        )
    return validated


def _averaged(
    run: PreparedRun,
    fitness: Fitness,
    folder: RunFolder,
    best: Checkpoint,
    proof: Validated,
    tell: Observer,
    stop: StopRequest,
) -> Averaging | None:
    """Tries averages of the best epochs; what stands in their way must not cost the run's end."""
    last = run.state.history.records[-1].epoch

    def go_on(images_done: int) -> None:
        _heed(stop)
        tell(ValidationProgress(last, images_done, proof.evidence.images))

    try:
        return try_averages(run, fitness, folder, best, proof, go_on)
    except (DataError, MachineError) as error:
        tell(Notice(f"Averaging the best epochs' weights was given up. {error}"))
        return None


def _heed(stop: StopRequest) -> None:
    """Raises ValidationStopped where a signal asks for it; a time limit that is over lets the end finish."""
    if stop.reason == "interrupted":
        raise ValidationStopped


def ended(
    run: PreparedRun,
    folder: RunFolder,
    outcome: Outcome,
    text: str,
    summary: Summary | None = None,
    *,
    pictures: bool = False,
) -> RunEnded:
    best = best_record(run.state.history)
    certainty = summary["certainty"] if summary else None
    averaging = summary["averaging"] if summary else None
    return RunEnded(
        folder=folder.path,
        outcome=outcome,
        position=run.state.position,
        best_epoch=best.epoch if best else None,
        best_fitness=best.fitness if best else None,
        best_metrics=best.metrics if best else None,
        text=text,
        pictures=pictures,
        how_sure=certainty["text"] if certainty else "",
        averaging=averaging["text"] if averaging else "",
        weights_bytes=bytes_in(folder.weights),
        best_is_gone=best is not None and not folder.best.is_file(),
        shipping=_shipping(run, folder) if best and outcome in OVER else "",
        recommended=_recommended(folder, averaging) if best and outcome in OVER else None,
    )


def _recommended(folder: RunFolder, averaging: Averaging | None) -> Path | None:
    if averaging and averaging["file"]:
        return folder.path / averaging["file"]
    return folder.best if folder.best.is_file() else None


def _shipping(run: PreparedRun, folder: RunFolder) -> str:
    """How best.pt becomes small: it holds the whole state, so that a run can go on from it."""
    if not folder.best.is_file():
        return ""
    whole, small = folder.best.stat().st_size, weights_bytes(run.state)
    sizes = f"about {small / 1e6:.0f} MB; best.pt, with all that a resume needs, has {whole / 1e6:.0f} MB"
    return f"peakmark strip {folder.best}   ({sizes})"


def _last_words(run: PreparedRun, folder: RunFolder, outcome: Outcome) -> str:
    go_on = f"Resume with: peakmark resume {folder.path}"
    match outcome:
        case "interrupted":
            return f"Stopped as asked, and saved. {go_on}"
        case "out_of_time":
            return f"The time set with time={run.settings.time:g} hours is over; saved. {larger(folder, run.settings)}"
        case "paused":
            return (
                f"Paused, because the epochs after the resume don't follow from those before (on_break=pause). {go_on}"
            )
        case "broken":
            return (
                f"Stopped, because the epochs after the resume don't follow from those before (on_break=stop). {go_on}"
            )
        case "early_stopped":
            closed = run.state.history.segments[-1].until is not None
            then = "; the closing epochs, without mosaic, are done as well (stop_phase=close)" if closed else ""
            return f"No better epoch came within patience={run.settings.patience} epochs{then}."
        case _ if run.data.val_index is None:
            return (
                "Nothing was validated (val=False), so no epoch is best. Validate last.pt with: peakmark val model="
                + str(folder.last)
            )
        case _:
            return f"All {run.settings.epochs} epochs are done."


def summary_of(
    run: PreparedRun,
    folder: RunFolder,
    outcome: Outcome,
    text: str,
    certainty: Certainty | None = None,
    averaging: Averaging | None = None,
    coco: Mapping[str, float] | None = None,
) -> Summary:
    settings, history = run.settings, run.state.history
    best = best_record(history)
    return summarise(
        history,
        best_epoch=best.epoch if best else None,
        best_reason=_reason(run, best.epoch) if best else "",
        certainty=certainty,
        averaging=averaging,
        outcome=outcome,
        text=text,
        fitness=f"{read_formula(settings.fitness).words} (COCO protocol)",
        protocol=protocol_in(history.segments[-1].comparable),
        coco=coco,
        names=run.facts.names,
        settings=to_plain(settings),
        weights_bytes=bytes_in(folder.weights),
        data=run.facts.provenance["data"],
        versions=run.facts.provenance["versions"],
        digests=digests(capture(run.state, run.facts)),
    )


def _reason(run: PreparedRun, epoch: int) -> str:
    """Why an epoch became best, as it was said then: decisions are functions of the history, so it is said again."""
    return decide(until_then(run.state.history, epoch), rules_of(run.settings, run.recipe)).reason
