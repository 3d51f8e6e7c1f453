"""How do several processes carry out one run? Process 0 leads: it prepares the run, alone, as if there were no others,
and sends its state; the others restore it, go through the same loop with their share of every window and validation,
and keep nothing: whatever is told, decided by a person and written is process 0's.

So a run that begins, one that is resumed and one that branches look the same to those that follow. The state is sent as
a checkpoint: data, never code.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from peakmark.checkpoint.digest import everything
from peakmark.checkpoint.format import to_plain as checkpoint_to_plain
from peakmark.checkpoint.reader import read_sent
from peakmark.checkpoint.writer import write
from peakmark.data.dataset import read_dataset
from peakmark.distributed.launched import local_rank_here
from peakmark.distributed.packing import pack, unpack
from peakmark.distributed.process_group import ProcessGroup
from peakmark.distributed.processes import Processes
from peakmark.errors import MachineError, TrainingError
from peakmark.evaluate.evidence import Evidence
from peakmark.events import Event
from peakmark.formula.terms import DEFAULT
from peakmark.machine.devices import Arithmetic, settle
from peakmark.machine.numerics import undisturbed
from peakmark.machine.stopping import StopRequest
from peakmark.nouns.run import Decision
from peakmark.run.build import PreparedRun, fold, put_together
from peakmark.run.open_data import open_data
from peakmark.run.restored import restored_state
from peakmark.settings.fields import Settings
from peakmark.settings.plain import from_plain, to_plain
from peakmark.settings.processes import own_device
from peakmark.settings.recipe import recipe_of
from peakmark.state.capture import capture
from peakmark.state.state import RunState


def lead(run: PreparedRun, processes: Processes) -> tuple[str, ...]:
    """Sends a run that is ready to the processes that compute it along; gives what is to be said of that.

    Raises LostProcessError, and MachineError where this run's batch-norm statistics are those of one process.
    """
    if not isinstance(processes, ProcessGroup):
        return ()
    if run.facts.arithmetic.statistics == "in place":
        raise MachineError(
            "This run began with an earlier Peakmark, in which batch-norm statistics were moved by one process alone;"
            " to keep its bits it goes on with one: processes=1, and one device."
        )
    if run.data.spec.yaml is None:
        raise MachineError("Data that were put together in Python can't be read by other processes; write a data.yaml.")
    stream = io.BytesIO()
    checkpoint = capture(run.state, run.facts)
    write(checkpoint_to_plain(checkpoint), stream)
    about = {
        "settings": to_plain(run.settings),
        "data": str(run.data.spec.yaml),
        "fingerprints": _fingerprints(run),
        "digest": everything(checkpoint),
    }
    processes.lead(pack(about), "the run to be ready")
    processes.lead(stream.getvalue(), "the state of the run")
    _begin(run, processes)
    return (_in_words(run, processes),)


@undisturbed()
def follow(processes: ProcessGroup) -> None:
    """Computes this process's share of the run that process 0 leads, to its end.

    Raises LostProcessError, and MachineError where the data here are not those of process 0.
    """
    # Signals are heeded from here on, by a stop in the first window; until then process 0 alone decides what comes.
    with StopRequest(None) as stop:
        about, _ = unpack(processes.lead(b"", "process 0 to prepare the run"))
        run = _run_of(about, processes.lead(b"", "the state of the run"))
        _begin(run, processes)
        loop = fold(run, _KeepsNothing(), stop, _tells_nobody, _keeps_no_evidence)
        try:
            loop.run()
        except TrainingError:
            return  # it is the run's end, at the same place in every process: process 0 says so


def _run_of(about: Mapping[str, Any], sent: bytes) -> PreparedRun:
    checkpoint = read_sent(sent)
    settings = from_plain(Settings, about["settings"])
    spec = read_dataset(about["data"], equal_names=True)
    version = recipe_of(checkpoint.history.segments[-1]).version
    # A fitness in Python can't be sent, and only process 0 judges.
    data = open_data(settings.model_copy(update={"fitness": DEFAULT}), spec, None, version)
    arithmetic = _arithmetic_here(Arithmetic.from_plain(checkpoint.arithmetic), settings)
    state = restored_state(checkpoint, settings, arithmetic)
    run = put_together(settings, data, arithmetic, state, checkpoint.architecture, ())
    if _fingerprints(run) != about["fingerprints"]:
        raise MachineError(
            f"The images or labels of {about['data']} are not the same on this machine as on that of process 0: every"
            " process reads them by itself, so they have to lie at the same path everywhere."
        )
    facts = dataclasses.replace(run.facts, provenance=checkpoint.provenance)
    if everything(capture(state, dataclasses.replace(facts, names=checkpoint.names))) != about["digest"]:
        raise MachineError("The state that process 0 sent could not be restored exactly. Please report it.")
    return run


def _arithmetic_here(sent: Arithmetic, settings: Settings) -> Arithmetic:
    """The run's own arithmetic, on the device of this process."""
    here = settle(device=own_device(settings, local_rank_here()), amp=False, deterministic=sent.deterministic)
    if here.on_gpu != sent.on_gpu:
        raise MachineError(f"Process 0 computes on {sent.device}, this one would on {here.device}: name the devices.")
    return dataclasses.replace(sent, device=here.device, device_name=here.device_name)


def _fingerprints(run: PreparedRun) -> list[str | None]:
    return [run.data.train_index.fingerprint, run.data.val_fingerprint]


def _begin(run: PreparedRun, processes: ProcessGroup) -> None:
    processes.begin(run.settings.process_timeout, run.facts.arithmetic.device)


def _in_words(run: PreparedRun, processes: Processes) -> str:
    size, parts, batch = processes.size, run.recipe.parts, run.settings.batch
    threads = run.facts.arithmetic.threads
    said = f"{size} processes compute it together; their number changes no bit."
    if parts > 1:
        said += (
            f" A batch of {batch} is {parts} microbatches of about {-(-batch // parts)}, each with batch statistics of"
            f" its own: one process with parts={parts} gives the same run."
        )
    if not run.facts.arithmetic.on_gpu:
        each = "1 thread" if threads == 1 else f"{threads} threads"
        said += f" Each has {each}, which is part of the run's arithmetic: on another machine it keeps that number."
    return said


@dataclass(frozen=True, slots=True)
class _KeepsNothing:
    """What process 0 keeps is enough: the others have the same."""

    def keep_epoch(self, state: RunState, decision: Decision) -> None:
        pass

    def keep_position(self, state: RunState) -> None:
        pass

    def due(self) -> bool:
        return False

    def report(self) -> None:
        pass


def _tells_nobody(event: Event) -> None:
    pass


def _keeps_no_evidence(epoch: int, evidence: Evidence) -> None:
    pass
