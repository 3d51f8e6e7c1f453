"""How does an interrupted run of another program go on here? As a run of ours, from what its file still holds.

Its format has lost the raw weights, full precision and the open epoch, so it can't go on as if it had never stopped:
the table of changes says so, part by part. What is left (the average, the optimizer's moments, counts, settings, the
table of its epochs) becomes a state of ours at the start of the next epoch, in a new folder. Its epochs stay in the
history with its own figures, which aren't compared with ours: another evaluation made them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from peakmark.checkpoint.format import IMPORTED
from peakmark.checkpoint.reader import ForeignFileError, read_position
from peakmark.checkpoint.writer import save
from peakmark.data.dataset import read_dataset
from peakmark.errors import ModelFileError, SettingsError
from peakmark.events import ResumePlanned
from peakmark.files.durable import write_text
from peakmark.files.lock import RunLock
from peakmark.formula.terms import METRIC_NAMES
from peakmark.model.detector import detector_from_weights
from peakmark.model.foreign.training import ForeignTraining, read_foreign_training
from peakmark.nouns.losses import TERMS, Losses
from peakmark.nouns.resume import ChangePlan, PlannedPart
from peakmark.nouns.run import EpochRecord, History, Position, Segment
from peakmark.record.folder import create_run_folder
from peakmark.record.journal import Journal
from peakmark.record.settings_yaml import render as render_settings
from peakmark.resume.compare import Wishes
from peakmark.resume.health.continuity import continuity_of
from peakmark.resume.watch import SeamWatch
from peakmark.run.begin import Audience, carry_out, check_memory
from peakmark.run.build import PreparedRun, arithmetic_for, first_segment, new_state, put_together
from peakmark.run.disk.data_files import write_data_files
from peakmark.run.end.end import EndedRun
from peakmark.run.imported import origin_of_file
from peakmark.run.open_data import OpenData, by_number, open_data
from peakmark.settings.fields import ResumeSettings, Settings
from peakmark.settings.parse import Parsed, parse
from peakmark.settings.plain import to_plain
from peakmark.settings.recipe import VERSION, recipe
from peakmark.settings.settings_file import as_far_as_known
from peakmark.state.capture import capture
from peakmark.state.state import RunState

_REWARM_EPOCHS = 1.0
"""Over which the rate rises anew where the optimizer's moments are lost."""
_COUNTER = ".num_batches_tracked"
_METRICS = {"precision": "precision(B)", "recall": "recall(B)", "map50": "mAP50(B)", "map50_95": "mAP50-95(B)"}


def is_foreign(file: Path | None) -> bool:
    """Whether a named file was written by another program."""
    if file is None or not file.is_file():
        return False
    try:
        read_position(file)
    except ForeignFileError:
        return True
    except ModelFileError:
        return False  # whoever reads it on says what is wrong with it
    return False


@dataclass(frozen=True, slots=True)
class _Planned:
    training: ForeignTraining
    file: Path
    parsed: Parsed[Settings]
    settings: Settings
    data: OpenData
    plan: ChangePlan

    @property
    def told(self) -> ResumePlanned:
        position = Position(self.training.epochs_done, step=self.training.updates)
        return ResumePlanned(self.file.parent, self.plan, position)


def plan_foreign(file: Path, wishes: Wishes) -> ResumePlanned:
    """Says what `resume_foreign` would do, and does nothing. Raises as it does."""
    return _planned(file, wishes).told


def resume_foreign(file: Path, wishes: Wishes, audience: Audience) -> EndedRun:
    """Goes on with an interrupted run of another program, in a new folder.

    Raises ModelFileError where the file holds none, SettingsError and DataError where settings or data can't be used.
    """
    planned = _planned(file, wishes)
    audience.observe(planned.told)
    settings = planned.settings
    run = _run_of(planned)
    check_memory(run)
    folder, said = create_run_folder(Path(settings.project), settings.name, exist_ok=settings.exist_ok)
    with RunLock(folder.path):
        write_text(folder.settings_yaml, render_settings(to_plain(settings), planned.parsed.origins))
        write_data_files(folder, run.data)
        # From here on it is a run like any other: killed before its first epoch ends, it goes on from this.
        save(capture(run.state, run.facts), folder.last)
        Journal(folder.journal)(planned.told)
        watches = (*audience.watches, *_watch(planned, wishes.settings))
        notes = (*planned.parsed.notes, *run.notes, *said)
        return carry_out(run, folder, replace(audience, watches=watches), notes)


def _watch(planned: _Planned, wishes: ResumeSettings) -> Iterator[SeamWatch]:
    """Who holds its first epochs against the last ones there: losses alone, since figures are of another evaluation."""
    if wishes.watch:
        first = planned.training.epochs_done
        look = partial(continuity_of, first_epoch=first, watch=wishes.watch)
        yield SeamWatch(first, wishes.watch, wishes.on_break, look)


def _planned(file: Path, wishes: Wishes) -> _Planned:
    training = read_foreign_training(file)
    parsed = parse(Settings, {**_settings_of(training), **wishes.changes})
    where = parsed.settings.data
    if "data" not in wishes.changes and where != "shapes" and not Path(where).exists():
        raise SettingsError(
            [f"data is missing: the file says that it was trained on {where}, which isn't here; write data=data.yaml."]
        )
    spec = read_dataset(where, equal_names=True)
    settings = by_number(parsed.settings, spec.names)
    data = open_data(settings, spec, wishes.fitness, VERSION)
    if data.names != training.model.names:
        raise ModelFileError(
            f"{file}: its classes ({', '.join(training.model.names)}) are not those of data={where}"
            f" ({', '.join(data.names)}); a run goes on with the same classes in the same order."
        )
    return _Planned(training, file, parsed, settings, data, _plan(training, settings, wishes.changes))


def _settings_of(training: ForeignTraining) -> dict[str, Any]:
    """Its settings under our names; of the optimizer what it really had."""
    said = dict(training.model.train_args)
    # Written out there, so chosen there: the rest of the run goes on with them.
    said.pop("task", None)
    known = {
        name: value
        for name, value in as_far_as_known(said, as_it_ran=True).items()
        if (Settings.model_fields[name].json_schema_extra or {}).get("bears_on") == "result"  # type: ignore[union-attr]
    }
    if training.lr0 is not None and 0 < training.lr0 <= 1:
        known["lr0"] = training.lr0
    if training.momentum is not None and 0 <= training.momentum < 1:
        known["momentum"] = training.momentum
    return {**known, "model": f"{training.model.scale.name}.yaml", "data": training.model.origin.data or "data.yaml"}


def _plan(training: ForeignTraining, settings: Settings, changes: Mapping[str, Any]) -> ChangePlan:
    origin, done = training.model.origin, training.epochs_done
    moments = (
        PlannedPart("optimizer", "re-initialised", f"{training.lost}; the rate rises anew over an epoch", "up to 20 %")
        if training.lost
        else PlannedPart(
            "optimizer",
            "carried over",
            f"moments of all parameters after {training.updates} updates, rounded there",
        )
    )
    rows = len(training.history.get("epoch", ()))
    parts = (
        PlannedPart("averaged weights", "carried over", f"{origin.weights}, rounded to float16 by its format"),
        PlannedPart(
            "raw weights", "re-initialised", "its format doesn't keep them: training goes on from the average", "some"
        ),
        moments,
        PlannedPart(
            "open epoch", "re-initialised", f"its format keeps whole epochs: goes on at the start of epoch {done + 1}"
        ),
        PlannedPart(
            "data", "carried over", f"{settings.data}; whether images and labels are those of before can't be checked"
        ),
        PlannedPart("random draws", "re-initialised", "they are ours from here on, keyed by the same seed"),
        PlannedPart("learning rate", "carried over", f"lr0 {settings.lr0} and where it fell to by epoch {done + 1}"),
        PlannedPart("history", "carried over", f"{rows} epochs with its own figures, which ours aren't compared with")
        if rows
        else PlannedPart("history", "re-initialised", "the file holds no table of its epochs"),
        PlannedPart("best epoch", "re-initialised", "chosen anew from here on: another evaluation made its figures"),
    )
    said = tuple(f"{name}: {value}" for name, value in changes.items() if name != "data")
    why = f"another program trained it ({origin.words}), and its format has lost what stands above"
    return ChangePlan(said, parts, (why,))


# --- the state ------------------------------------------------------------------------------------------------------


def _run_of(planned: _Planned) -> PreparedRun:
    training, settings, data = planned.training, planned.settings, planned.data
    arithmetic = arithmetic_for(settings)
    chosen = recipe(
        settings, classes=len(data.names), images=len(data.train_index), objects=data.train_objects_per_class
    )
    ours = first_segment(settings, chosen, data.val_fingerprint, data.protocol)
    seen = max(training.updates, training.epochs_done * -(-len(data.train_index) // settings.batch))
    model = detector_from_weights(training.model.scale, _counted(training.model.weights, seen))
    state = new_state(settings, model, arithmetic, ours)
    kept = training.moments if training.optimizer == chosen.optimizer else {}
    if kept:
        _put_moments(state, kept)
    state.ema_updates = training.updates
    state.position = Position(training.epochs_done, step=training.updates)
    state.history = _history(planned, ours, rewarm=not kept)
    origin = origin_of_file(planned.file, training.model)
    return put_together(settings, data, arithmetic, state, training.model.scale.name, (), {IMPORTED: origin})


def _counted(weights: Mapping[str, torch.Tensor], seen: int) -> dict[str, torch.Tensor]:
    """The weights with the microbatches that their norms have seen: an average there counts none.

    With 0 a norm would be taken for a new one, and its statistics for the first microbatch's.
    """
    return {name: tensor.clamp(min=seen) if name.endswith(_COUNTER) else tensor for name, tensor in weights.items()}


def _put_moments(state: RunState, moments: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
    names = {id(parameter): name for name, parameter in state.model.named_parameters()}
    for group in state.optimizer.param_groups:
        for parameter in group["params"]:
            # In the memory layout of the parameter: what updates both in one pass asks for that.
            state.optimizer.state[parameter] = {
                key: tensor.clone() if key == "step" else torch.empty_like(parameter).copy_(tensor)
                for key, tensor in moments[names[id(parameter)]].items()
            }


def _history(planned: _Planned, ours: Segment, *, rewarm: bool) -> History:
    training, origin = planned.training, planned.training.model.origin
    theirs = Segment(
        from_epoch=0,
        from_images=0,
        settings=ours.settings,
        reason="start",
        recipe=ours.recipe,
        horizon=ours.horizon,
        comparable=f"validation data unknown, {planned.settings.imgsz} px, the evaluation of {origin.words}",
    )
    here = Segment(
        from_epoch=training.epochs_done,
        from_images=0,
        settings=ours.settings,
        reason=f"went on from {planned.file.name}, which {origin.words} left after epoch {training.epochs_done}",
        recipe=ours.recipe,
        horizon=ours.horizon,
        comparable=ours.comparable,
        rewarm_epochs=_REWARM_EPOCHS if rewarm else 0.0,
    )
    return History(tuple(_records(training, len(planned.data.train_index))), (theirs, here))


def _records(training: ForeignTraining, images: int) -> Iterator[EpochRecord]:
    """The epochs of its table, where it has all the columns of losses."""
    table, done = training.history, training.epochs_done
    if not all(f"train/{term}_loss" in table for term in TERMS):
        return
    validated = all(f"val/{term}_loss" in table for term in TERMS)
    for epoch in range(done):
        known = {name: table[f"metrics/{column}"][epoch] for name, column in _METRICS.items() if _has(table, column)}
        metrics = {**dict.fromkeys(METRIC_NAMES, float("nan")), **known} if known else None
        times = table.get("time")
        yield EpochRecord(
            epoch=epoch,
            segment=0,
            # Its table doesn't count updates: in proportion.
            step=training.updates * (epoch + 1) // done,
            images=images,
            train=Losses(**{term: table[f"train/{term}_loss"][epoch] for term in TERMS}),
            lr=tuple(table[name][epoch] for name in ("lr/pg0", "lr/pg1", "lr/pg2") if name in table),
            metrics=metrics,
            validation=Losses(**{term: table[f"val/{term}_loss"][epoch] for term in TERMS}) if validated else None,
            fitness=known.get("map50_95"),
            train_s=0.0 if times is None else times[epoch] - (times[epoch - 1] if epoch else 0.0),
        )


def _has(table: Mapping[str, Any], column: str) -> bool:
    return f"metrics/{column}" in table
