"""How good is an epoch of a run? Its averaged weights on the validation set, and the fitness of that.

Several processes look at a share of the images each, and process 0 judges them all: detections of an image are the
same whoever looked at it, losses are added exactly, so no number depends on how many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from peakmark.distributed.packing import pack, unpack
from peakmark.distributed.processes import ALONE, Processes
from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.fitness import Fitness
from peakmark.evaluate.validator import LossValues, Seen, Validated, judge
from peakmark.events import Observer, ValidationProgress
from peakmark.loss.detection import Objective
from peakmark.machine.devices import Arithmetic
from peakmark.nouns.evaluation import Evaluation
from peakmark.nouns.images import Detections
from peakmark.nouns.losses import Losses
from peakmark.state.state import RunState
from peakmark.validation.validation import ValidationSet, ValidationStopped, predict_with, validate_weights

_CHUNKS_A_ROUND = 8
"""That each process looks at before they tell one another, so that a stop is heeded and memory stays bounded."""


@dataclass(frozen=True, slots=True)
class EpochFigures:
    """What a run remembers of an epoch's validation."""

    metrics: Mapping[str, float]
    per_class: Mapping[str, tuple[float, ...]]
    losses: Losses | None
    fitness: float | None

    @staticmethod
    def of(evaluation: Evaluation, fitness: float | None) -> EpochFigures:
        return EpochFigures(evaluation.metrics, evaluation.per_class, evaluation.losses, fitness)

    def to_plain(self) -> dict[str, Any]:
        losses = dict(self.losses) if self.losses is not None else None
        return {
            "metrics": dict(self.metrics),
            "per_class": dict(self.per_class),
            "losses": losses,
            "fitness": self.fitness,
        }

    @staticmethod
    def from_plain(plain: Mapping[str, Any]) -> EpochFigures:
        per_class = {name: tuple(values) for name, values in plain["per_class"].items()}
        losses = Losses(**plain["losses"]) if plain["losses"] is not None else None
        return EpochFigures(plain["metrics"], per_class, losses, plain["fitness"])


@dataclass(frozen=True, slots=True)
class EpochValidator:
    """Validates the averaged weights of a run, as the loop asks for it."""

    data: ValidationSet
    arithmetic: Arithmetic
    objective: Objective
    fitness: Fitness
    keep_evidence: Callable[[int, Evidence], None]
    """Told of the epoch (0-based) and what its numbers are made of; by process 0."""
    observe: Observer
    stop_requested: Callable[[], bool]
    processes: Processes = ALONE

    def __call__(self, state: RunState) -> EpochFigures:
        """Gives the figures, once their evidence is kept. Raises ValidationStopped where asked to."""
        if self.processes.size == 1:
            validated = validate_weights(
                state.ema,
                self.data,
                self.arithmetic,
                self.objective,
                progress=lambda images_done: self._progress(state, images_done),
            )
            return self._figures(state, validated)
        seen = self._looked_at_together(state)
        first = b""
        if self.processes.rank == 0:
            validated = judge(seen, self.data.names, gains=self.objective.gains, otherwise=self.data.otherwise)
            first = pack(self._figures(state, validated).to_plain())
        return EpochFigures.from_plain(unpack(self.processes.lead(first, "the figures of a validation"))[0])

    def _figures(self, state: RunState, validated: Validated) -> EpochFigures:
        self.keep_evidence(state.position.epoch, validated.evidence)
        return EpochFigures.of(validated.evaluation, self.fitness.of_evaluation(validated.evaluation))

    def _progress(self, state: RunState, images_done: int) -> None:
        if self.stop_requested():
            raise ValidationStopped
        self.observe(ValidationProgress(state.position.epoch, images_done, len(self.data.index)))

    def _looked_at_together(self, state: RunState) -> Seen:
        """Looks at this process's share, chunk by chunk, and gives what all have seen. Raises ValidationStopped."""
        chunks, everything = self.data.chunks(), Seen()
        rank, size = self.processes.rank, self.processes.size
        predict = predict_with(state.ema, self.data, self.arithmetic, self.objective)
        batches = self.data.batches_of(chunks[rank::size])
        # As many rounds on every process, also on one that has a chunk less.
        for _ in range(0, len(chunks), _CHUNKS_A_ROUND * size):
            own = Seen()
            for batch in islice(batches, _CHUNKS_A_ROUND):
                if self.stop_requested():
                    break
                own.add(batch, predict(batch))
            shares = self.processes.gather(_packed(own, self.stop_requested()), "a share of the validation")
            stopped = [_add_packed(everything, self.data, share) for share in shares]
            if any(stopped):
                raise ValidationStopped
            self.observe(ValidationProgress(state.position.epoch, len(everything.detections), len(self.data.index)))
        return everything


def _packed(own: Seen, stopped: bool) -> bytes:
    arrays = [
        array for found in own.detections.values() for array in (found.boxes_xyxy_px, found.scores, found.classes)
    ]
    losses = [own.losses.terms, own.losses.target_scores, own.losses.complete]
    return pack({"numbers": list(own.detections), "losses": losses, "stopped": stopped}, arrays)


def _add_packed(everything: Seen, data: ValidationSet, packed: bytes) -> bool:
    """Adds what a process has seen; gives whether it was asked to stop."""
    plain, arrays = unpack(packed)
    for place, number in enumerate(plain["numbers"]):
        everything.detections[number] = Detections(*arrays[3 * place : 3 * place + 3])
        everything.truths[number] = data.index.truths_px(number)
    everything.losses.extend(LossValues(*plain["losses"]))
    return bool(plain["stopped"])
