"""Which epoch of a run is best by another fitness? Chosen again from what the run remembers, without training.

The run goes on with what was chosen: its newest state gets a segment with the other fitness, as a resume with
`fitness=` would give it, so that a later resume doesn't swing back. What best.pt was stays, under its epoch's number,
and no file is taken away: who chooses again may want to choose once more.
It must not know how the choice is shown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from peakmark.checkpoint.catalogue import newest_good
from peakmark.checkpoint.digest import digests
from peakmark.checkpoint.format import Checkpoint, protocol_in
from peakmark.checkpoint.kept import kept_epoch, kept_epochs
from peakmark.checkpoint.writer import save
from peakmark.errors import MachineError
from peakmark.evaluate.fitness import Fitness, FitnessFunction, fitness_by
from peakmark.evaluate.metrics import evaluation_from
from peakmark.events import Notice, Observer, ResumePlanned
from peakmark.files.disk import bytes_in
from peakmark.files.durable import clean_leftovers, write_text
from peakmark.files.lock import RunLock
from peakmark.nouns.outcome import OVER
from peakmark.nouns.resume import ChangePlan, PlannedPart
from peakmark.nouns.run import EpochRecord, History
from peakmark.record.folder import RunFolder
from peakmark.record.journal import Journal
from peakmark.record.results_csv import render as render_results
from peakmark.record.settings_yaml import read_origins, with_changes
from peakmark.record.settings_yaml import render as render_settings
from peakmark.record.summary import render as render_summary
from peakmark.record.summary import summarise
from peakmark.run.build import bearing_on_result
from peakmark.run.disk.kept_weights import repair_best
from peakmark.run.end.how_sure import how_sure
from peakmark.run.fitness import evidence_of, value_again
from peakmark.selection.best import best_record, by_fitness, fitness_of
from peakmark.settings.fields import Settings
from peakmark.settings.parse import parse
from peakmark.settings.plain import to_plain
from peakmark.state.segments import judged_again, segment_begins


@dataclass(frozen=True, slots=True)
class RatedEpoch:
    """An epoch that can be chosen, or could if its weights were there."""

    epoch: int
    """0-based."""
    fitness: float
    """By the other fitness."""
    before: float | None
    """By the fitness that the run had."""
    file: Path | None
    """Where its weights are; None where they weren't kept."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What comes of choosing again; nothing is done yet."""

    folder: RunFolder
    checkpoint: Checkpoint
    """The newest state of the run."""
    settings: Settings
    """With the other fitness."""
    fitness: Fitness
    judged: History
    """With every epoch's fitness by it."""
    epochs: tuple[RatedEpoch, ...]
    """The best first."""
    was_best: int | None
    """The best epoch (0-based) by the fitness that the run had."""

    @property
    def best(self) -> RatedEpoch | None:
        return self.epochs[0] if self.epochs else None

    @property
    def best_kept(self) -> RatedEpoch | None:
        """The best among those whose weights are there."""
        return next((rated for rated in self.epochs if rated.file is not None), None)


def choose(folder: RunFolder, fitness: Any, function: FitnessFunction | None) -> Choice:
    """Rates the epochs of a run by another fitness; `function` is it, where it is one in Python.

    Raises SettingsError for one that is none, or that the run has already, and ModelFileError.
    """
    checkpoint = newest_good(folder.weights).checkpoint
    old = parse(Settings, checkpoint.settings).settings
    settings = parse(Settings, {"fitness": fitness}, base=old).settings
    history = checkpoint.history
    kept = kept_epochs(folder.weights, history)
    by = fitness_by(settings.fitness, checkpoint.names, function)
    judged = judged_again(history, lambda record: value_again(by, folder, record), {r.epoch for r in history.records})
    before = {record.epoch: record.fitness for record in history.records}
    was_best = best_record(history)
    ranked = by_fitness(judged)
    for record in ranked:
        # Read in full down to the first that is whole: what would be best must be, and the others are listed only.
        if record.epoch in kept and kept_epoch(folder.weights, history, record.epoch) is not None:
            break
        kept.pop(record.epoch, None)
    return Choice(
        folder=folder,
        checkpoint=checkpoint,
        settings=settings,
        fitness=by,
        judged=judged,
        epochs=tuple(
            RatedEpoch(record.epoch, fitness_of(record), before[record.epoch], kept.get(record.epoch))
            for record in ranked
        ),
        was_best=was_best.epoch if was_best else None,
    )


def choose_again(
    folder: RunFolder,
    fitness: Any,
    function: FitnessFunction | None,
    *,
    even_if_not_the_best: bool,
    tell: Observer,
) -> tuple[Choice, bool]:
    """Makes best.pt of the best epoch by another fitness, and says whether it was done.

    Only where that epoch's weights are there; with `even_if_not_the_best` of the best among those that are. Raises as
    `choose` does, and MachineError where the run is being trained or the disk says no.
    """
    with RunLock(folder.path):
        for place in (folder.path, folder.weights):
            clean_leftovers(place)
        choice = choose(folder, fitness, function)
        kept = choice.best_kept
        if kept is None or (kept is not choice.best and not even_if_not_the_best):
            return choice, False
        if choice.was_best is not None and choice.was_best != kept.epoch:
            tell(Notice(f"best.pt is epoch {choice.was_best + 1} until now; it becomes epoch {kept.epoch + 1}."))
        _carry_out(choice, tell)
        return choice, True


def _carry_out(choice: Choice, tell: Observer) -> None:
    folder, old, settings = choice.folder, choice.checkpoint, choice.settings
    summary_before = _read_summary(folder)
    changed = _with_other_fitness(choice)
    repair_best(folder, changed.history)
    # Killed before this, the run is as it was, and its next resume repairs best.pt again.
    save(changed, folder.last)
    changes = f"fitness: {old.settings['fitness']} -> {settings.fitness}"
    why = "chosen again by another fitness; nothing was trained"
    plan = ChangePlan((changes,), (PlannedPart("best epoch", "changed", why),), ())
    Journal(folder.journal)(ResumePlanned(folder.path, plan, changed.position))
    origins = dict.fromkeys(changed.settings, "as in the checkpoint")
    origins |= read_origins(folder.settings_yaml) if folder.settings_yaml.is_file() else {}
    before = {"fitness": old.settings["fitness"]}
    write_text(
        folder.settings_yaml, render_settings(to_plain(settings), with_changes(origins, before, changed.position.epoch))
    )
    best = best_record(changed.history)
    write_text(folder.results_csv, render_results(changed.history, best.epoch if best else None))
    if summary_before is not None:
        _write_summary(choice, changed, best, summary_before, tell)


def _with_other_fitness(choice: Choice) -> Checkpoint:
    """The same state, in a new segment in which another fitness says what is best."""
    checkpoint, settings = choice.checkpoint, choice.settings
    segments = choice.judged.segments
    from_epoch, from_images = segment_begins(checkpoint.position)
    kept = {rated.epoch for rated in choice.epochs if rated.file is not None}
    judged = [record.epoch for record in choice.judged.records if record.fitness is not None]
    segment = replace(
        segments[-1],
        from_epoch=from_epoch,
        from_images=from_images,
        settings=bearing_on_result(settings),
        reason=f"fitness: {checkpoint.settings['fitness']} -> {settings.fitness}",
        rewarm_epochs=0.0,
        gone=tuple(epoch for epoch in judged if epoch not in kept),
    )
    before = replace(segments[-1], gone=checkpoint.history.segments[-1].gone)
    history = History(choice.judged.records, (*segments[:-1], before, segment))
    best = best_record(history)
    own = [record for record in history.records if record.epoch == checkpoint.weights_epoch]
    return replace(
        checkpoint,
        history=history,
        settings=to_plain(settings),
        fitness=own[0].fitness if own and checkpoint.validated else None,
        best_fitness=best.fitness if best else None,
    )


def _figures_of_coco(folder: RunFolder, best: EpochRecord | None, names: tuple[str, ...]) -> Mapping[str, float] | None:
    """COCO's twelve of the best epoch, where the metrics are without its cap and so are others."""
    evidence = evidence_of(folder, best.epoch) if best is not None else None
    return evaluation_from(evidence, names).coco if evidence is not None and evidence.cap is None else None


def _read_summary(folder: RunFolder) -> Mapping[str, Any] | None:
    """Reads what the run's end said; None for a run that was killed before it could say it."""
    if not folder.summary.is_file():
        return None
    try:
        said: Mapping[str, Any] = json.loads(folder.summary.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MachineError(f"{folder.summary} is damaged ({error}); remove it, then choose again.") from error
    return said


def _write_summary(
    choice: Choice, changed: Checkpoint, best: EpochRecord | None, before: Mapping[str, Any], tell: Observer
) -> None:
    """Writes summary.json again, with what the run's end said of all but the choice."""
    folder, settings = choice.folder, choice.settings
    is_over = before["outcome"] in OVER
    summary = summarise(
        changed.history,
        best_epoch=best.epoch if best else None,
        best_reason=f"chosen again by {settings.fitness}",
        certainty=how_sure(changed.history, folder, choice.fitness, tell, lambda: None) if is_over else None,
        averaging=None,
        outcome=before["outcome"],
        text=before["text"],
        fitness=f"{choice.fitness.formula.words} (COCO protocol)",
        protocol=protocol_in(changed.history.segments[-1].comparable),
        coco=_figures_of_coco(folder, best, changed.names) if is_over else None,
        names=changed.names,
        settings=to_plain(settings),
        weights_bytes=bytes_in(folder.weights),
        data=before["data"],
        versions=before["versions"],
        digests=digests(changed),
    )
    write_text(folder.summary, render_summary(summary))
