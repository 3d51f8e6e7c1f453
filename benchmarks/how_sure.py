"""Do standard errors, intervals and corrections hold what they promise, and what do they cost?

Run: python benchmarks/how_sure.py [--only speed] [--runs 200] [--world "slow rise"]. Makes worlds in which the truth is
known: runs of 20 epochs whose detections have a known quality, validated on 100 images of the world. What an epoch
would reach on all images is measured on 160,000 of them. Prints the table of docs/how-sure.md and the seconds that
resampling takes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from coco_metrics import CLASSES, make_set

from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.matching import match, place_in_group
from peakmark.evaluate.protocol import AREA_NAMES, IOU_THRESHOLDS
from peakmark.evaluate.resampling import ResampledMetrics, draw_resamples
from peakmark.evaluate.uncertainty import RESAMPLES, BestOfSeveral, best_of_several
from peakmark.machine.streams import stream
from peakmark.nouns.evaluation import MAX_DETECTIONS

EPOCHS, IMAGES = 20, 100
TRUTHS_PER_IMAGE = (3.0, 1.0, 0.5)
"""A class each. Images differ in how much is in them, by a factor of about 2."""
FALSE_ALARMS_PER_IMAGE = 2.0
OWN_NOISE = 0.5
"""How much an epoch's detections move by themselves, beside what is hard for all epochs alike (1)."""

QUALITIES: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "all alike": lambda rng: np.full(EPOCHS, 1.0),
    "slow rise": lambda rng: 1.1 - 0.5 * np.exp(-3 * np.linspace(0, 1, EPOCHS)),
    "rise and fall": lambda rng: 1.0 - 0.25 * np.abs(np.linspace(0, 1, EPOCHS) - 0.6),
    "up and down": lambda rng: 1.0 + 0.04 * rng.normal(size=EPOCHS),
}


class Images:
    """Images of the world, with what is in them and how hard it is to find."""

    def __init__(self, rng: np.random.Generator, images: int, truths_per_image: tuple[float, ...] = TRUTHS_PER_IMAGE):
        self.rng, self.images, self.classes = rng, images, len(truths_per_image)
        self.rates_C = np.array(truths_per_image)
        self.crowdedness_I = rng.gamma(2.0, 0.5, images)
        self.hardness_I = rng.normal(size=images)
        counts_IC = rng.poisson(self.crowdedness_I[:, None] * self.rates_C)
        self.image_G = np.repeat(np.arange(images), counts_IC.sum(axis=1))
        self.class_G = np.repeat(np.tile(np.arange(self.classes), images), counts_IC.ravel())
        self.hardness_G = 0.6 * self.hardness_I[self.image_G] + 0.8 * rng.normal(size=len(self.image_G))

    def validate(self, quality: float, false_alarms_per_image: float = FALSE_ALARMS_PER_IMAGE) -> Evidence:
        """Gives the evidence of an epoch: a detection for each truth, more or less fitting, and false alarms."""
        rng, truths = self.rng, len(self.image_G)
        ease_G = quality - self.hardness_G + OWN_NOISE * rng.normal(size=truths)
        iou_G = 0.35 + 0.62 * _sigmoid(ease_G)
        found_G = (1 << np.searchsorted(IOU_THRESHOLDS, iou_G, side="right")) - 1
        false_I = rng.poisson(false_alarms_per_image * self.crowdedness_I * np.exp(0.3 * (self.hardness_I - quality)))
        false_alarms = int(false_I.sum())
        image_D = np.concatenate([self.image_G, np.repeat(np.arange(self.images), false_I)])
        false_class = rng.choice(self.classes, size=false_alarms, p=self.rates_C / self.rates_C.sum())
        class_D = np.concatenate([self.class_G, false_class])
        scores_G = _sigmoid(ease_G - 0.5 + 0.7 * rng.normal(size=truths))
        scores_D = np.concatenate([scores_G, _sigmoid(rng.normal(size=false_alarms) - 1.2)]).astype(np.float32)
        matched_D = np.concatenate([found_G, np.zeros(false_alarms, dtype=np.int64)]).astype(np.uint16)
        order = np.lexsort((-scores_D, class_D, image_D))
        image_D, class_D, matched_D = image_D[order], class_D[order], matched_D[order]
        is_first_D = (np.diff(image_D, prepend=-1) != 0) | (np.diff(class_D, prepend=-1) != 0)
        areas = len(AREA_NAMES)
        return Evidence(
            images=self.images,
            classes=self.classes,
            scores_D=scores_D[order],
            image_D=image_D.astype(np.int32),
            class_D=class_D.astype(np.int32),
            rank_D=place_in_group(np.cumsum(is_first_D) - 1).astype(np.int32),
            matched_DA=np.repeat(matched_D[:, None], areas, axis=1),
            ignored_DA=np.zeros((len(image_D), areas), dtype=np.uint16),
            truth_of_D=np.full(len(image_D), -1, dtype=np.int32),
            class_G=self.class_G.astype(np.int32),
            image_G=self.image_G.astype(np.int32),
            crowd_G=np.zeros(truths, dtype=np.bool_),
            ignored_GA=np.zeros((truths, areas), dtype=np.bool_),
            cap=MAX_DETECTIONS,
        )


def _sigmoid(values: np.ndarray) -> np.ndarray:
    shares: np.ndarray = 1 / (1 + np.exp(-values))
    return shares


# --- the truth -----------------------------------------------------------------------------------------------------


def true_map(qualities: np.ndarray, sets: int = 8, images: int = 20_000) -> np.ndarray:
    """Measures mAP50-95 on very many images; the same ones at each quality, so that the curve is smooth."""
    grid = np.linspace(0.3, 1.7, 15)
    measured = [
        [_map(Images(stream(0, "the world", number), images).validate(quality)) for quality in grid]
        for number in range(sets)
    ]
    return np.polyval(np.polyfit(grid, np.mean(measured, axis=0), 5), qualities)


def _map(evidence: Evidence) -> float:
    return float(ResampledMetrics(evidence, np.ones((1, evidence.images), dtype=np.uint8))["map50_95"][0])


# --- runs in a world -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Judged:
    """A run that was judged, and what is true of it."""

    values_E: np.ndarray
    truth_E: np.ndarray
    several: BestOfSeveral


def judged_run(world: str, number: int, truth: Callable[[np.ndarray], np.ndarray], images: int = IMAGES) -> Judged:
    """Makes a run of a world, validates its epochs on the same images, and judges the choice of the best."""
    rng = stream(number, f"a run: {world}", images)
    sample, qualities_E = Images(rng, images), QUALITIES[world](rng)
    itself_and_others = np.concatenate(
        [np.ones((1, images), dtype=np.uint8), draw_resamples(images, RESAMPLES, number)]
    )
    found_EB = np.stack(
        [ResampledMetrics(sample.validate(quality), itself_and_others)["map50_95"] for quality in qualities_E]
    )
    several = best_of_several(found_EB[:, 0].tolist(), found_EB[:, 1:], images)
    assert several is not None
    return Judged(found_EB[:, 0], truth(qualities_E), several)


def figures(runs: list[Judged]) -> dict[str, float]:
    """Gives what docs/how-sure.md promises, as it was found."""
    one, best, naive_best, lead_last, naive_lead, leads, tied, ties, naive_bias, bias = ([] for _ in range(10))
    for run in runs:
        several, values, truth = run.several, run.values_E, run.truth_E
        chosen, last = several.best, len(values) - 1
        one.append(np.mean([each.low <= t <= each.high for each, t in zip(several.fitness, truth, strict=True)]))
        naive_best.append(several.fitness[chosen].low <= truth[chosen] <= several.fitness[chosen].high)
        best.append(several.corrected.low <= truth[chosen] <= several.corrected.high)
        held = [each.low <= truth[chosen] - t <= each.high for each, t in zip(several.ahead, truth, strict=True)]
        leads.append(np.mean([each for e, each in enumerate(held) if e != chosen]))
        if chosen != last:
            lead_last.append(held[last])
            half = several.ahead[last].high - several.ahead[last].value
            naive_lead.append(abs(values[chosen] - values[last] - truth[chosen] + truth[last]) <= half)
        tied.append(bool(set(np.flatnonzero(truth == truth.max())) & set(several.tied)))
        ties.append(len(several.tied))
        # What all epochs of a run have in common is luck with the images, not with the choice; it only blurs the bias.
        common = np.mean(values - truth)
        naive_bias.append(values[chosen] - truth[chosen] - common)
        bias.append(several.corrected.value - truth[chosen] - common)
    return {
        "one epoch": np.mean(one),
        "best, naive": np.mean(naive_best),
        "best": np.mean(best),
        "lead over last, naive": np.mean(naive_lead),
        "lead over last": np.mean(lead_last),
        "lead over any": np.mean(leads),
        "truly best tied": np.mean(tied),
        "ties": np.mean(ties),
        "naive bias": np.mean(naive_bias),
        "bias": np.mean(bias),
        "bias error": np.std(bias) / np.sqrt(len(bias)),
    }


def print_row(world: str, runs: int, found: dict[str, float]) -> None:
    """Prints a row of the table in docs/how-sure.md."""
    shares = ("one epoch", "best, naive", "best", "lead over last, naive", "lead over last", "lead over any")
    cells = [world, str(runs), *(f"{100 * found[name]:.1f}" for name in shares)]
    cells += [f"{100 * found['truly best tied']:.1f} ({found['ties']:.1f})", f"{found['naive bias']:.4f}"]
    cells += [f"{found['bias']:.4f} ± {found['bias error']:.4f}", f"{found['bias'] / found['naive bias']:.2f}"]
    print(f"| {' | '.join(cells)} |", flush=True)


# --- speed ---------------------------------------------------------------------------------------------------------


def print_speed(resamples: int = 1000) -> None:
    """Prints the seconds for sets of the size of BCCD's validation split and of COCO val2017."""
    blood = Images(stream(0, "blood cells"), 87, (10.6, 1.3, 1.2)).validate(1.0, false_alarms_per_image=130.0)
    truths, detections = make_set(5_000)
    coco = match(truths, detections, images=5_000, classes=CLASSES)
    for name, evidence in (("BCCD's size", blood), ("COCO val2017's size", coco)):
        size = f"{evidence.images:,} images, {len(evidence.class_G):,} truths, {len(evidence.scores_D):,} detections"
        print(f"{name} ({size}), {resamples:,} resamples:")
        metrics = ResampledMetrics(evidence, draw_resamples(evidence.images, resamples, 0))
        for metric in ("map50_95", "f1"):
            went_by_s, of_core_s = time.perf_counter(), time.process_time()
            spread = metrics[metric].std()
            went_by_s, of_core_s = time.perf_counter() - went_by_s, time.process_time() - of_core_s
            print(f"  {metric:<9} ± {spread:.4f}  {of_core_s:6.2f} s on a core, {went_by_s:6.2f} s went by", flush=True)


def print_table(worlds: list[str], runs: int) -> None:
    """Prints the table of docs/how-sure.md, a row a world."""
    grid = np.linspace(0.3, 1.7, 200)
    curve = true_map(grid)
    print("| world | runs | one epoch | best, naive | best | lead over last, naive | lead over last |", end="")
    print(" lead over any | truly best among the tied (how many) | naive bias | bias | ratio |")
    for world in worlds:
        judged = [
            judged_run(world, number, lambda qualities: np.interp(qualities, grid, curve)) for number in range(runs)
        ]
        print_row(world, runs, figures(judged))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", choices=("speed", "table"))
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--world", choices=QUALITIES, action="append")
    asked = parser.parse_args()
    if asked.only != "table":
        print_speed()
    if asked.only != "speed":
        print_table(asked.world or list(QUALITIES), asked.runs)


if __name__ == "__main__":
    main()
