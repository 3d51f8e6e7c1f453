"""Does averaging the weights of the best epochs gain anything, and what does it cost?

Run: python benchmarks/averaging.py RUN ... [--keep 3 10]. Each RUN is the folder of a finished run that was trained
with a `keep` of at least the largest one given. Prints the table of docs/averaging.md, a row for each run and number of
kept epochs: what best.pt reaches, what the better average does, and by how much it leads; the same two on the test
images, by which nothing was chosen; and, as a control, best.pt with its batch-norm statistics measured anew. Nothing is
written.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

from peakmark.checkpoint.format import Checkpoint, Weights
from peakmark.checkpoint.reader import read
from peakmark.evaluate.validator import Validated
from peakmark.record.folder import RunFolder
from peakmark.resume.compare import Wishes, compare
from peakmark.resume.restore import run_as_it_was
from peakmark.resume.stopped import read_stopped
from peakmark.run.build import PreparedRun
from peakmark.run.end.average_trial import Averages, gain_of, greedily, kept_weights
from peakmark.run.open_data import open_index, open_validation_set
from peakmark.run.weights import trained_model
from peakmark.settings.fields import ResumeSettings
from peakmark.validation.validation import ValidationSet, validate_weights


def open_run(folder: RunFolder) -> PreparedRun:
    """Builds a finished run as it was at its end, beside it."""
    stopped = read_stopped(folder, None)
    assert stopped is not None
    return run_as_it_was(compare(stopped, Wishes(ResumeSettings(), {}, lambda plan: False)))


def on(run: PreparedRun, best: Checkpoint, weights: Weights, data: ValidationSet) -> Validated:
    return validate_weights(trained_model(replace(best, model=weights)), data, run.facts.arithmetic, run.objective)


def measure(folder: RunFolder, keep: int) -> str:
    """Gives a row of the table."""
    run = open_run(folder)
    run = replace(run, facts=replace(run.facts, settings=run.settings.model_copy(update={"keep": keep})))
    best = read(folder.best)
    assert run.validation is not None
    assert best.fitness is not None
    assert run.data.fitness is not None
    settings = run.settings
    index = open_index(
        settings,
        run.data.spec,
        "test",
        bad_labels=settings.bad_labels,
        max_image_pixels=settings.max_image_pixels,
        single_class=settings.single_cls,
        classes=run.data.classes,
    )
    test = open_validation_set(settings, index, run.facts.names, run.facts.arithmetic)
    proof = on(run, best, best.model, run.validation)
    kept = kept_weights(run, folder, best)
    started_s = time.monotonic()
    averages = Averages(run, run.data.fitness, kept, lambda images_done: None)
    together = tuple(kept)
    greedy = greedily(averages, together, best.fitness)
    uniform = averages.of(together)
    took_s, tried = time.monotonic() - started_s, len(averages.made)
    chosen = max(together, greedy, key=lambda epochs: averages.of(epochs).fitness or 0.0) if greedy[1:] else together
    average = averages.of(chosen)
    gain = gain_of(run.data.fitness, proof, average, (average.fitness or 0.0) - best.fitness, tried=tried)
    alone = averages.of(together[:1])
    on_test = [on(run, best, weights, test).evaluation.metrics["map50_95"] for weights in (best.model, average.weights)]
    epoch_s = sum(record.train_s + record.validation_s for record in run.state.history.records)
    return " | ".join(
        (
            f"| {folder.path.name}",
            f"{len(kept)}",
            f"{best.fitness:.4f}",
            f"{uniform.fitness:.4f}",
            f"{average.fitness:.4f} of {len(chosen)}",
            f"{gain.value:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})",
            f"{on_test[0]:.4f}",
            f"{on_test[1]:.4f} ({on_test[1] - on_test[0]:+.4f})",
            f"{alone.fitness:.4f}",
            f"{took_s:.1f} s, {100 * took_s / epoch_s:.1f} % |",
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--keep", nargs="+", type=int, default=[3])
    wishes = parser.parse_args()
    columns = ("run", "kept", "best", "all kept", "better average", "gain", "best, test", "average, test", "control")
    print(f"| {' | '.join(columns)} | cost |\n|{'---|' * (len(columns) + 1)}")
    for keep in wishes.keep:
        for path in wishes.runs:
            print(measure(RunFolder(path), keep), flush=True)


if __name__ == "__main__":
    main()
