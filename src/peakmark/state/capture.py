"""How does a run's state become a checkpoint, and a checkpoint a state again? Part by part, nothing left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from peakmark.checkpoint.format import Checkpoint, snapshot
from peakmark.machine.devices import Arithmetic
from peakmark.nouns.run import EpochRecord, Position
from peakmark.selection.best import best_record
from peakmark.settings.description import added_settings, describe
from peakmark.settings.fields import Settings
from peakmark.settings.plain import to_plain
from peakmark.state.state import OpenEpoch, RunState


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a checkpoint says of its run besides the state."""

    settings: Settings
    names: tuple[str, ...]
    architecture: str
    arithmetic: Arithmetic
    provenance: Mapping[str, Any]


def result_settings(settings: Settings) -> tuple[str, ...]:
    """The names of the settings that bear on the result: the part of them that a digest covers.

    One that was added when there were runs already is named only where it is in use: a run without it keeps the digest
    that it had, and one that began before it was there is restored to just what its file holds.
    """
    unused = [name for name, default in added_settings(Settings).items() if getattr(settings, name) == default]
    bearing = (name for name, setting in describe(Settings).items() if setting.bears_on == "result")
    return tuple(name for name in bearing if name not in unused)


def capture(state: RunState, facts: RunFacts) -> Checkpoint:
    """Takes a picture of the state that shares no storage with it."""
    record, best = _record_of_weights(state), best_record(state.history)
    return Checkpoint(
        model=snapshot(state.ema.state_dict()),
        training_weights=snapshot(state.model.state_dict()),
        optimizer=snapshot(state.optimizer.state_dict()),
        scaler=snapshot(state.scaler.state_dict()) if state.scaler else None,
        ema_updates=state.ema_updates,
        position=state.position,
        open_epoch=state.open_epoch.to_plain(),
        counters={"skipped_in_a_row": state.skipped_in_a_row, "skipped_steps": state.skipped_steps},
        history=state.history,
        settings=to_plain(facts.settings),
        result_settings=result_settings(facts.settings),
        names=facts.names,
        architecture=facts.architecture,
        arithmetic=facts.arithmetic.to_plain(),
        provenance=dict(facts.provenance),
        weights_epoch=_weights_epoch(state),
        validated=record is not None and record.metrics is not None,
        fitness=record.fitness if record else None,
        best_fitness=best.fitness if best else None,
        metrics=dict(record.metrics) if record and record.metrics is not None else None,
    )


def restore(checkpoint: Checkpoint, state: RunState) -> None:
    """Puts a checkpoint's state into live objects that were built from its settings."""
    state.model.load_state_dict(checkpoint.training_weights)
    state.ema.load_state_dict(checkpoint.model)
    # A copy: on a processor the optimizer would take the checkpoint's own tensors and go on writing into them.
    state.optimizer.load_state_dict(snapshot(checkpoint.optimizer))
    if state.scaler and checkpoint.scaler is not None:
        state.scaler.load_state_dict(checkpoint.scaler)
    state.ema_updates = checkpoint.ema_updates
    state.position = checkpoint.position
    state.open_epoch = OpenEpoch.from_plain(checkpoint.open_epoch)
    state.skipped_in_a_row = checkpoint.counters["skipped_in_a_row"]
    state.skipped_steps = checkpoint.counters["skipped_steps"]
    state.history = checkpoint.history


def _weights_epoch(state: RunState) -> int | None:
    """The epoch whose training ended in the present weights; None inside an epoch and before the first."""
    position: Position = state.position
    if position.phase == "validate":
        return position.epoch
    return position.epoch - 1 if position.images == 0 and position.epoch > 0 else None


def _record_of_weights(state: RunState) -> EpochRecord | None:
    """The record of just these weights: metrics of an earlier epoch say nothing about weights that moved on."""
    epoch = _weights_epoch(state)
    records = state.history.records
    return records[-1] if records and epoch is not None and records[-1].epoch == epoch else None
