"""Which functions of the user's own are called while a model is trained or validated? A part of the facade.

They are registered by the names of the field (`on_train_epoch_end`) or by an event's class (`EpochEnded`). They watch:
nothing that they are given changes the run, and none that fails ends it. It computes nothing itself.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

from peakmark.api.model.hooks import Hooks
from peakmark.errors import DataError, SettingsError
from peakmark.events import (
    CheckpointSaved,
    EpochEnded,
    EpochStarted,
    Event,
    MicrobatchDone,
    Observer,
    RunEnded,
    RunStarted,
    ValidationProgress,
)
from peakmark.nouns.losses import Losses
from peakmark.record.folder import RunFolder
from peakmark.record.results_csv import FAMILIAR_METRICS, loss_columns
from peakmark.record.settings_yaml import read

NAMES = (
    "on_pretrain_routine_end",
    "on_train_start",
    "on_train_epoch_start",
    "on_train_batch_end",
    "on_train_epoch_end",
    "on_val_start",
    "on_val_batch_end",
    "on_val_end",
    "on_fit_epoch_end",
    "on_model_save",
    "on_train_end",
    "teardown",
)
"""Of the field, in the order in which a run calls them; each is called with a `RunView`."""

_LACKING = {
    "on_predict": "loop over predict(..., stream=True), which gives each picture's results as they come",
    "on_export": "export() gives back what it has written",
    "on_pretrain_routine_start": "on_pretrain_routine_end is called once all is ready",
    "on_train_batch_start": "on_train_batch_end is called after each microbatch",
    "on_val_batch_start": "on_val_batch_end is called after each batch",
    "on_before_zero_grad": "on_train_batch_end is called after each microbatch",
    "optimizer_step": "on_train_batch_end is called after each microbatch",
    "on_params_update": "nothing sends parameters while a run goes on",
}
"""Other names of the field, and what to do instead."""

Callback = Callable[[Any], object]


class Callbacks:
    """The functions that were registered, by name or event."""

    def __init__(self) -> None:
        self._functions: dict[str | type, list[Callback]] = {}

    def add(self, event: str | type, function: Callback) -> None:
        """Registers a function; several of one event are called in their order.

        Raises SettingsError for a name that no run calls, and where `function` is none.
        """
        if not callable(function):
            raise SettingsError([f"add_callback({event!r}, ...): {function!r:.80} is no function."])
        self._functions.setdefault(_checked(event), []).append(function)

    def clear(self, event: str | type) -> None:
        """Takes the functions of one event away. Raises as `add` does."""
        self._functions.pop(_checked(event), None)

    @property
    def are_any(self) -> bool:
        return any(self._functions.values())

    def watching(self, observe: Observer) -> Watch:
        """Gives an observer that passes events on and then calls the functions."""
        return Watch(observe, self._functions)


class WithCallbacks:
    """A model that functions can be registered with."""

    _callbacks: Callbacks

    def add_callback(self, event: str | type, function: Callback) -> None:
        """Has a function called when something happens in a training or validation of this model.

        `event`: a name of the field, such as on_train_epoch_end (see `peakmark.api.model.callbacks.NAMES`), whose
        functions get a `RunView`; or the class of an event, such as `peakmark.events.EpochEnded`, whose functions get
        the event. Raises SettingsError for a name that no run calls. An error in a function is told once, and the run
        goes on.
        """
        self._callbacks.add(event, function)

    def clear_callback(self, event: str | type) -> None:
        """Takes the functions of one event away. Raises SettingsError for a name that no run calls."""
        self._callbacks.clear(event)


class Watch:
    """Passes events on, and calls functions with them or with what a run has come to.

    What is to be told of functions that failed is told by its `hooks`.
    """

    def __init__(self, observe: Observer, functions: Mapping[str | type, list[Callback]]) -> None:
        self.hooks = Hooks()
        self._observe = self.hooks.guarded(observe)
        self._functions = functions
        self._view = RunView()

    def __call__(self, event: Event) -> None:
        self._observe(event)
        for function in self._functions.get(type(event), ()):
            self.hooks.call(_named(type(event), function), function, event)
        self._call(self._view._take(event))

    def validated(self, figures: Mapping[str, float | None], save_dir: Path) -> None:
        """Tells that a validation by itself is over, and what it came to."""
        self._call(self._view._take_figures(figures, save_dir))

    def _call(self, names: Iterator[str]) -> None:
        for name in names:
            for function in self._functions.get(name, ()):
                self.hooks.call(_named(name, function), function, self._view)


def _named(event: str | type, function: Callback) -> str:
    of = event if isinstance(event, str) else event.__name__
    return f"The callback {getattr(function, '__name__', repr(function))} of {of}"


def _checked(event: str | type) -> str | type:
    if event in NAMES or event in get_args(Event):
        return event
    lacking = next((answer for name, answer in _LACKING.items() if str(event).startswith(name)), None)
    if lacking is not None:
        raise SettingsError([f"add_callback({event!r}, ...): no run calls it; {lacking}."])
    near = difflib.get_close_matches(str(event), NAMES, n=1, cutoff=0.8)
    meant = f" Did you mean {near[0]}?" if near else ""
    there = f"Names: {', '.join(NAMES)}; or the class of an event in peakmark.events."
    raise SettingsError([f"add_callback({event!r}, ...): there is no such event.{meant} {there}"])


class RunView:
    """A run as a callback sees it, by the names that people read off a trainer. It can be read only."""

    def __init__(self) -> None:
        self.__dict__["_facts"] = {"metrics": {}}
        self.__dict__["_phase"] = "validate"

    def __getattr__(self, name: str) -> Any:
        facts: dict[str, Any] = self.__dict__["_facts"]
        if name in facts:
            return facts[name]
        there = ", ".join(sorted(facts))
        raise AttributeError(f"A callback can't read {name!r} here. What there is: {there}.")

    def __setattr__(self, name: str, value: object) -> None:
        stop = (
            " To end a run early: patience=, time=, or signal.raise_signal(signal.SIGINT), which saves and stops."
            if name == "stop"
            else ""
        )
        raise AttributeError(f"{name!r} can't be set: callbacks watch a run and don't change it.{stop}")

    def __repr__(self) -> str:
        return f"RunView({', '.join(sorted(self._facts))})"

    def _take(self, event: Event) -> Iterator[str]:
        """Takes over what an event tells, and gives the names of the field that it is told under."""
        facts = self.__dict__["_facts"]
        match event:
            case RunStarted():
                facts |= _start(event)
                yield from self._goes_on("train", "on_pretrain_routine_end", "on_train_start")
            case EpochStarted():
                facts |= {"epoch": event.epoch, "epochs": event.epochs}
                yield from self._goes_on("train", "on_train_epoch_start")
            case MicrobatchDone():
                facts |= dict.fromkeys(("tloss", "loss_items"), tuple(event.losses.values()))
                yield "on_train_batch_end"
            case ValidationProgress() if self._phase != "ended":
                yield from self._validates()
                yield "on_val_batch_end"
            case EpochEnded():
                if self._phase == "train":  # nothing was validated
                    yield "on_train_epoch_end"
                facts |= _epoch(event)
                if self._phase == "validating":
                    yield "on_val_end"
                # What is validated after the last epoch is no epoch's: a start sets it back.
                yield from self._goes_on("ended", "on_fit_epoch_end")
            case CheckpointSaved():
                yield "on_model_save"
            case RunEnded():
                facts |= {"outcome": event.outcome, "best_fitness": event.best_fitness}
                yield from ("on_train_end", "teardown")

    def _take_figures(self, figures: Mapping[str, float | None], save_dir: Path) -> Iterator[str]:
        self._facts.update(metrics=dict(figures), fitness=figures["fitness"], save_dir=save_dir)
        yield "on_val_end"

    def _validates(self) -> Iterator[str]:
        """The first batch of a validation ends the epoch's training."""
        if self._phase == "train":
            yield "on_train_epoch_end"
        if self._phase != "validating":
            yield from self._goes_on("validating", "on_val_start")

    def _goes_on(self, phase: str, *names: str) -> Iterator[str]:
        self.__dict__["_phase"] = phase
        yield from names


def _start(event: RunStarted) -> dict[str, Any]:
    folder = RunFolder(event.folder)
    try:
        args = SimpleNamespace(**read(folder.settings_yaml))
    except DataError:
        args = SimpleNamespace()  # somebody took the file away; a run doesn't end over it
    return {
        "epoch": event.position.epoch,
        "start_epoch": event.position.epoch,
        "epochs": event.epochs,
        "save_dir": Path(event.folder),
        "wdir": folder.weights,
        "best": folder.best,
        "last": folder.last,
        "csv": folder.results_csv,
        "args": args,
        "names": dict(enumerate(event.classes)),
        "device": event.device,
        "batch_size": getattr(args, "batch", None),
        "metrics": {},
        "lr": {},
        "fitness": None,
        "best_fitness": None,
        "tloss": None,
        "loss_items": None,
        "stop": False,
        "label_loss_items": _label_loss_items,
    }


def _epoch(event: EpochEnded) -> dict[str, Any]:
    record, decision = event.record, event.decision
    found = record.metrics or {}
    losses = _named_losses("val", record.validation) if record.validation else {}
    return {
        "epoch": record.epoch,
        "epochs": event.epochs,
        "tloss": tuple(record.train.values()),
        "metrics": {**{key: found[name] for key, name in FAMILIAR_METRICS.items() if name in found}, **losses},
        "lr": {f"lr/pg{group}": rate for group, rate in enumerate(record.lr)},
        "fitness": record.fitness,
        "best_fitness": decision.best_fitness,
        "stop": decision.stop,
    }


def _named_losses(prefix: str, losses: Losses) -> dict[str, float]:
    return {column: losses[term] for column, term in loss_columns(prefix).items()}


def _label_loss_items(loss_items: tuple[float, ...], prefix: str = "train") -> Mapping[str, float]:
    """The losses by the names of results.csv."""
    return _named_losses(prefix, Losses(*loss_items))
