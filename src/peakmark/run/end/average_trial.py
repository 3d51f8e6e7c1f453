"""Is an average of the best epochs' weights better than the best? Tried at a run's end, and written where it is.

Two ways: all kept epochs together, and greedily: from the best on, in the order of their fitness, the next joins where
that lowers nothing ("model soups", Wortsman et al. 2022, arXiv 2203.05482, algorithm 1). best.pt is never replaced.
It must not know how weights are averaged, nor where the answer is shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Final

from peakmark.checkpoint.format import Checkpoint, Weights
from peakmark.checkpoint.kept import read_kept
from peakmark.checkpoint.strip import stripped
from peakmark.checkpoint.writer import save
from peakmark.data.loader import TrainLoader
from peakmark.evaluate.fitness import Fitness
from peakmark.evaluate.resampling import draw_resamples
from peakmark.evaluate.uncertainty import CONFIDENCE, RESAMPLES, RESAMPLING_SEED, Estimate, estimate
from peakmark.evaluate.validator import Validated
from peakmark.files import durable
from peakmark.model.detector import detector_from_weights
from peakmark.model.scales import SCALES
from peakmark.nouns.batch import Batch
from peakmark.nouns.run import Position
from peakmark.record.folder import RunFolder
from peakmark.record.summary import Averaging
from peakmark.run.build import PreparedRun
from peakmark.run.end.averaging import average, measure_statistics, microbatches_for_statistics
from peakmark.run.open_data import open_images, workers_of
from peakmark.selection.retention import kept_best
from peakmark.settings.recipe import mosaic_is_open_in
from peakmark.validation.validation import validate_weights

Epochs = tuple[int, ...]
"""0-based, the best first."""
_FEWEST_IMAGES: Final = 6
"""Of the validation set; with fewer no interval can be widened for having tried several."""


@dataclass(frozen=True, slots=True)
class Average:
    """The average of some epochs' weights, validated."""

    weights: Weights
    validated: Validated
    fitness: float | None


class Averages:
    """Makes averages of a run's kept epochs, each once."""

    def __init__(
        self, run: PreparedRun, fitness: Fitness, kept: Mapping[int, Weights], go_on: Callable[[int], None]
    ) -> None:
        assert run.validation is not None
        settings = run.settings
        self._run = run
        self._fitness = fitness
        self._kept = kept
        self._go_on = go_on
        self._validation = run.validation
        self._loader = TrainLoader(
            run.data.train_index,
            open_images(run.data.train_index, settings, run.facts.arithmetic),
            settings,
            workers_of(settings, run.facts.arithmetic),
            run.recipe.version,
        )
        self.made: dict[Epochs, Average] = {}

    def of(self, epochs: Epochs) -> Average:
        if epochs not in self.made:
            self.made[epochs] = self._make(epochs)
        return self.made[epochs]

    def _make(self, epochs: Epochs) -> Average:
        run = self._run
        averaged = average([self._kept[epoch] for epoch in epochs])
        model = detector_from_weights(SCALES[run.facts.architecture], averaged)
        weights = measure_statistics(model, self._train_batches(), run.facts.arithmetic, frozen=run.settings.freeze)
        model.load_state_dict(weights)
        validated = validate_weights(
            model.eval(), self._validation, run.facts.arithmetic, run.objective, progress=self._go_on
        )
        return Average(weights, validated, self._fitness.of_evaluation(validated.evaluation))

    def _train_batches(self) -> Iterator[Batch]:
        """Images as the run's last epoch had them: the same ones, drawn alike, for every average."""
        history = self._run.state.history
        last = history.records[-1]
        segment = history.segments[last.segment]
        mosaic = mosaic_is_open_in(segment, last.epoch)
        groups = microbatches_for_statistics(len(self._loader))
        for batch in self._loader.batches(last.epoch, groups, mosaic_open=mosaic):
            self._go_on(0)
            yield batch


def try_averages(
    run: PreparedRun,
    fitness: Fitness,
    folder: RunFolder,
    best: Checkpoint,
    proof: Validated,
    go_on: Callable[[int], None],
) -> Averaging | None:
    """Tries averages of the kept epochs, and writes the best of them as averaged.pt where it beats best.pt for sure.

    `best` is best.pt and `proof` its validation. None where fewer than two epochs are kept or six images validated, or
    no average has a fitness. `go_on` is told how many validation images are done, and may raise. Deterministic.
    """
    kept = kept_weights(run, folder, best)
    if len(kept) < 2 or proof.evidence.images < _FEWEST_IMAGES or best.fitness is None:
        return None
    averages = Averages(run, fitness, kept, go_on)
    together = tuple(kept)
    greedy = greedily(averages, together, best.fitness)
    candidates = [averages.of(epochs) for epochs in (greedy, together) if len(epochs) > 1]
    chosen = max(candidates, key=lambda each: -math.inf if each.fitness is None else each.fitness)
    if chosen.fitness is None:
        return None
    epochs = next(epochs for epochs, each in averages.made.items() if each is chosen)
    gain = gain_of(fitness, proof, chosen, chosen.fitness - best.fitness, tried=len(averages.made))
    if gain.is_above_zero:
        save(_checkpoint(best, epochs, chosen), folder.averaged)
    else:
        durable.remove(folder.averaged)  # of an earlier end of this run, when the best was another
    return {
        "tried": tuple({"epochs": _as_counted(made), "fitness": each.fitness} for made, each in averages.made.items()),
        "epochs": _as_counted(epochs),
        "fitness": chosen.fitness,
        "gain": asdict(gain),
        "file": f"{folder.weights.name}/{folder.averaged.name}" if gain.is_above_zero else None,
        "text": _in_words(_as_counted(epochs), chosen.fitness, best.fitness, gain),
    }


def kept_weights(run: PreparedRun, folder: RunFolder, best: Checkpoint) -> dict[int, Weights]:
    """The weights of the epochs that are kept, the best first; what was taken away or damaged meanwhile is left out."""
    history = run.state.history
    records = {record.epoch: record for record in history.records}
    kept: dict[int, Weights] = {}
    for epoch in kept_best(history, run.settings.keep):
        if epoch == best.weights_epoch:
            kept[epoch] = best.model
        elif (checkpoint := read_kept(folder.best_epoch_file(epoch), records[epoch])) is not None:
            kept[epoch] = checkpoint.model
    return kept if best.weights_epoch in kept else {}


def greedily(averages: Averages, epochs: Epochs, fitness_of_best: float) -> Epochs:
    """Takes in what lowers nothing; the best alone where every other one would."""
    members, reached = epochs[:1], fitness_of_best
    for epoch in epochs[1:]:
        value = averages.of((*members, epoch)).fitness
        if value is not None and value >= reached:
            members, reached = (*members, epoch), value
    return members


def gain_of(fitness: Fitness, proof: Validated, chosen: Average, difference: float, *, tried: int) -> Estimate:
    """How much more than the best an average reaches, both on the same resamples of the images."""
    images = proof.evidence.images
    weights_BI = draw_resamples(images, RESAMPLES, RESAMPLING_SEED)
    average_B, best_B = (fitness.resampled(each.evidence, weights_BI) for each in (chosen.validated, proof))
    # It is the highest of those that were tried: the interval must hold for each of them (Bonferroni).
    return estimate(difference, average_B - best_B, images, confidence=1 - (1 - CONFIDENCE) / tried)


def _checkpoint(best: Checkpoint, epochs: Epochs, average: Average) -> Checkpoint:
    """As a stripped one: to be used, validated and fine-tuned from; no run goes on from it."""
    bare = stripped(best)
    last = max(epochs)
    return replace(
        bare,
        model=average.weights,
        # Not an epoch's own weights: nothing may take them for these.
        weights_epoch=None,
        position=Position(last, 0, "train", best.position.step),
        history=replace(bare.history, records=()),
        fitness=average.fitness,
        metrics=dict(average.validated.evaluation.metrics),
        provenance={**best.provenance, "averaged_epochs": list(epochs)},
    )


def _in_words(epochs: tuple[int, ...], fitness: float, fitness_of_best: float, gain: Estimate) -> str:
    named = f"epochs {', '.join(map(str, epochs[:-1]))} and {epochs[-1]}"
    measured = f"fitness {fitness:.4f} against {fitness_of_best:.4f} of best.pt ({gain.low:+.4f} to {gain.high:+.4f})"
    if gain.is_above_zero:
        return (
            f"The average of the weights of {named} is better than the best epoch beyond the noise: {measured}. It is"
            " weights/averaged.pt, and recommended; best.pt stays as it is."
        )
    return f"Averaging weights gains nothing that can be told from chance: {named} come to {measured}."


def _as_counted(epochs: Epochs) -> tuple[int, ...]:
    """As people count, in the order in which they were trained."""
    return tuple(epoch + 1 for epoch in sorted(epochs))
