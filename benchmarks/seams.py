"""How often is a healthy seam taken for a broken one, and how often is a broken one found? On histories of real runs.

Run: python benchmarks/seams.py RUN [RUN ...]. An unchanged resume is bit for bit the run without the stop, so the false
alarms of one are those of the run's own history, judged at every epoch. What is found is counted on the same histories,
with all values of a kind moved from an epoch on. Last, every file of the runs is searched for contradictions.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from peakmark.checkpoint.reader import read
from peakmark.nouns.losses import Losses
from peakmark.nouns.run import EpochRecord, History
from peakmark.resume.health.belonging import measure
from peakmark.resume.health.continuity import LEAST_VALIDATED_EPOCHS, continuity_of
from peakmark.resume.health.contradictions import contradictions

WATCHED = 3
SHIFTS = {
    "all losses +0.3": (0.3, 0.3, 0.0),
    "train losses +0.3": (0.3, 0.0, 0.0),
    "train losses +0.15": (0.15, 0.0, 0.0),
    "val losses +0.3": (0.0, 0.3, 0.0),
    "val losses +0.6": (0.0, 0.6, 0.0),
    "val losses +0.3, mAP50-95 -0.1": (0.0, 0.3, -0.1),
    "mAP50-95 -0.1": (0.0, 0.0, -0.1),
    "mAP50-95 -0.2": (0.0, 0.0, -0.2),
}
"""By how much training losses, validation losses and mAP50-95 are moved."""


def seams(history: History) -> Iterator[int]:
    """The epochs before which a run of this history could have been stopped."""
    return iter(range(1, len(history.records)))


def shifted(history: History, first_epoch: int, train: float, val: float, score: float) -> History:
    """The history with its numbers moved from an epoch on."""

    def move(record: EpochRecord) -> EpochRecord:
        if record.epoch < first_epoch or record.metrics is None or record.validation is None:
            return record
        metrics = {**record.metrics, "map50_95": max(0.0, record.metrics["map50_95"] + score)}
        return dataclasses.replace(
            record, train=_plus(record.train, train), validation=_plus(record.validation, val), metrics=metrics
        )

    return dataclasses.replace(history, records=tuple(map(move, history.records)))


def _plus(losses: Losses, by: float) -> Losses:
    return Losses(**{term: value + by for term, value in losses.items()})


def false_alarms(histories: dict[str, History]) -> None:
    """Prints the verdicts of unchanged resumes, a run a line."""
    print("| run | seams | too early | continuous | drifting | broken |\n|---|---|---|---|---|---|")
    total: Counter[str] = Counter()
    for name, history in histories.items():
        kinds: Counter[str] = Counter(
            continuity_of(history, first_epoch=epoch, watch=WATCHED).kind for epoch in seams(history)
        )
        total.update(kinds)
        print(_row(name, kinds))
    print(_row("all", total))
    print(f"\nFalse alarms: {100 * total['broken'] / total.total():.2g} % of {total.total()} seams.\n")


def _row(name: str, kinds: Counter[str]) -> str:
    counts = " | ".join(str(kinds[kind]) for kind in ("too early", "continuous", "drifting", "broken"))
    return f"| {name} | {kinds.total()} | {counts} |"


def found(histories: dict[str, History]) -> None:
    """Prints the share of planted shifts that is found, by when in the run they come."""
    print("| shift | found in the middle third | found in the last third |\n|---|---|---|")
    for name, shift in SHIFTS.items():
        shares = [_share(histories, third, shift) for third in (1, 2)]
        print(f"| {name} | {shares[0]:.0%} | {shares[1]:.0%} |")
    print()


def _share(histories: dict[str, History], third: int, shift: tuple[float, float, float]) -> float:
    kinds: Counter[str] = Counter()
    for history in histories.values():
        epochs = len(history.records)
        # The last ones are watched whole.
        for first in range(third * epochs // 3 + 1, min((third + 1) * epochs // 3, epochs - WATCHED) + 1):
            kinds[continuity_of(shifted(history, first, *shift), first_epoch=first, watch=WATCHED).kind] += 1
    return kinds["broken"] / kinds.total()


def contradictions_in(runs: list[Path]) -> None:
    """Prints what is found in files that nothing is wrong with, and how well their parts fit."""
    files = sorted(file for run in runs for file in (run / "weights").glob("*.pt"))
    checkpoints = [read(file) for file in files]
    named = [cause.name for checkpoint in checkpoints for cause in contradictions(checkpoint)]
    print(f"{len(files)} files, {len(named)} findings {named or ''}")
    fits = [fit for fit in map(measure, checkpoints) if fit is not None]
    for label, values in (
        ("distance of the average over what is foretold", [fit.distance for fit in fits]),
        ("agreement with the moments", [fit.agreement for fit in fits]),
        ("distance of the statistics", [fit.statistics_distance for fit in fits]),
    ):
        print(f"{label}: {min(values):.3g} to {max(values):.3g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of finished runs")
    runs = parser.parse_args().runs
    histories = {run.name: read(run / "weights/last.pt").history for run in runs}
    if all(len(history.records) <= LEAST_VALIDATED_EPOCHS for history in histories.values()):
        parser.error("these runs are too short to be judged anywhere")
    false_alarms(histories)
    found(histories)
    contradictions_in(runs)


if __name__ == "__main__":
    main()
