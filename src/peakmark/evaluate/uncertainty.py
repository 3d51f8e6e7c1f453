"""How sure is the best epoch? Standard errors, paired differences, ties, and what being chosen added to its number.

Everything is said of the fitness as an average over images like those of the validation set: were other images of the
kind taken, by how much would it move? All epochs are judged on the same resamples of the images, so what is hard in an
image is hard for all of them and drops out of their differences. It must not know any file, nor what fitness is.

Shape letters: E epochs, R runs, B resamples.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np

from peakmark.evaluate.tables import DoubleArray
from peakmark.nouns.images import IntArray

RESAMPLES: Final = 500
"""A standard error from so many is right to 3 %."""
RESAMPLING_SEED: Final = 0
"""The same for all, so that whatever was validated on the same images is resampled alike and compared in pairs."""
FEWEST_RESAMPLES: Final = 100
"""Of those that have a fitness; with fewer nothing is said."""

CONFIDENCE: Final = 0.95
_SECOND_LOOK: Final = 0.75
"""How much noise, in units of the noise that is there, is added before the choice is made again."""
_SERIES_FROM: Final = 5
_STUDENT_95_OF_FEW: Final = (12.706, 4.303, 3.182, 2.776)
"""Student's t for 1 to 4 degrees of freedom, where the series is not good enough."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number that was measured on a sample of images."""

    value: float
    standard_error: float
    low: float
    """Of the interval that holds the true number in 95 of 100 such cases."""
    high: float

    @property
    def is_above_zero(self) -> bool:
        return self.low > 0


@dataclass(frozen=True, slots=True)
class BestOfSeveral:
    """What can be said of a choice among epochs; places are those of the epochs that were given."""

    best: int
    fitness: tuple[Estimate, ...]
    """Of each epoch by itself, as if it had not been chosen among others."""
    corrected: Estimate
    """Of the best: without what it owes to having been chosen for its number."""
    ahead: tuple[Estimate, ...]
    """How far the best is ahead of each epoch, corrected in the same way; 0 for itself."""
    tied: tuple[int, ...]
    """Epochs of which, with 95 % certainty, one is the truly best, that with the highest number among them."""


def estimate(value: float, resampled_B: DoubleArray, images: int, *, confidence: float = CONFIDENCE) -> Estimate:
    """Makes an estimate of a number and what it is in resamples of `images` images (2 or more), where it is any.

    `confidence` is how surely its interval holds the true number; another than 95 % takes 6 images or more.
    """
    # Resamples of a sample spread a little less than samples of the world do.
    standard_error = float(np.nanstd(resampled_B)) * math.sqrt(images / (images - 1))
    t = student_95(images - 1) if confidence == CONFIDENCE else _student(images - 1, confidence)
    half = t * standard_error
    return Estimate(float(value), standard_error, float(value - half), float(value + half))


def student_95(freedom: float) -> float:
    """Gives Student's t that 95 % lie within, to 1 %.

    A standard error that is itself taken from few images is often too small; t makes up for it. Between two whole
    degrees below 5 it is that of the lower one, so that no interval comes out too narrow.
    """
    if freedom < _SERIES_FROM:
        return _STUDENT_95_OF_FEW[min(max(int(freedom), 1), _SERIES_FROM - 1) - 1]
    return _student(freedom, CONFIDENCE)


def _student(freedom: float, confidence: float) -> float:
    """Gives Student's t that such a share lies within, to 1 % from 5 degrees of freedom on (Cornish-Fisher)."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    return z + first / freedom + second / freedom**2


def leads(values_R: Sequence[float], resampled_RB: DoubleArray, images: int, best: int) -> tuple[Estimate, ...] | None:
    """Estimates how far one of several, whichever was picked as `best`, lies ahead of each; 0 for itself.

    The differences are those that were measured. With 95 % certainty all intervals between any two of them hold at
    once, so one may be picked for its number; for two they are those of `estimate`. None where too few resamples have
    a value for each. Source: Tukey's comparison of all pairs, its quantile taken from the resamples.
    """
    resampled_RB = resampled_RB[:, np.isfinite(resampled_RB).all(axis=0)]
    if resampled_RB.shape[1] < FEWEST_RESAMPLES:
        return None
    noise_RB = resampled_RB - resampled_RB.mean(axis=1, keepdims=True)
    wider = _wider_for_all_pairs(noise_RB)
    found = []
    for value, noise_B in zip(values_R, noise_RB, strict=True):
        alone = estimate(values_R[best] - value, noise_RB[best] - noise_B, images)
        half = wider * (alone.high - alone.value)
        found.append(Estimate(alone.value, alone.standard_error, alone.value - half, alone.value + half))
    return tuple(found)


def _wider_for_all_pairs(noise_RB: DoubleArray) -> float:
    """By how much intervals must be wider to hold for all pairs at once than for one."""
    farthest_B = np.zeros(noise_RB.shape[1])
    pairs = list(itertools.combinations(noise_RB, 2))
    if len(pairs) < 2:
        return 1.0
    for one_B, other_B in pairs:
        apart_B = one_B - other_B
        # Two that are the same in every resample can't lie apart.
        farthest_B = np.maximum(farthest_B, np.abs(apart_B) / max(float(np.std(apart_B)), 1e-12))
    return max(1.0, float(np.quantile(farthest_B, CONFIDENCE)) / NormalDist().inv_cdf((1 + CONFIDENCE) / 2))


def best_of_several(values_E: Sequence[float], resampled_EB: DoubleArray, images: int) -> BestOfSeveral | None:
    """Judges the choice of the highest of `values_E`, of equals the first; `images` were validated. Deterministic.

    None where too few resamples have a fitness for every epoch.
    """
    resampled_EB = resampled_EB[:, np.isfinite(resampled_EB).all(axis=0)]
    if resampled_EB.shape[1] < FEWEST_RESAMPLES:
        return None
    measured_E = np.asarray(values_E)
    noise_EB = resampled_EB - resampled_EB.mean(axis=1, keepdims=True)
    best = int(np.argmax(measured_E))
    corrected = _without_what_choosing_added(measured_E, noise_EB)
    leads_E = np.where(np.arange(len(measured_E)) == best, 0.0, corrected - measured_E)
    return BestOfSeveral(
        best=best,
        fitness=tuple(estimate(value, noise_EB[e], images) for e, value in enumerate(measured_E)),
        corrected=estimate(corrected, noise_EB[best], images),
        ahead=tuple(estimate(lead, noise_EB[best] - noise_EB[e], images) for e, lead in enumerate(leads_E)),
        tied=_tied(measured_E, noise_EB),
    )


def _without_what_choosing_added(measured_E: DoubleArray, noise_EB: DoubleArray) -> float:
    """Estimates the best epoch's true fitness.

    The highest of several noisy numbers is too high on average. So the choice is made again and again with noise of the
    same kind added (a share s of it), and each time the chosen epoch's fitness is read from a second look in which that
    noise, divided by s, is taken off: choice and second look are then independent, so the second look is not too high.
    The bootstrap's deviations are the noise. Source: data fission (Leiner et al., arXiv 2112.11079), averaged over
    draws.
    """
    both_ways_EB = np.concatenate([noise_EB, -noise_EB], axis=1)
    chosen_B: IntArray = np.argmax(measured_E[:, None] + _SECOND_LOOK * both_ways_EB, axis=0)
    noise_B = both_ways_EB[chosen_B, np.arange(both_ways_EB.shape[1])]
    return float(np.mean(measured_E[chosen_B] - noise_B / _SECOND_LOOK))


def _tied(measured_E: DoubleArray, noise_EB: DoubleArray) -> tuple[int, ...]:
    """Gives the epochs that may be the truly best one.

    Were an epoch the best, the others could lie above it by noise alone; it is out where the highest lies further above
    it than the highest of all does by noise in 95 % of the resamples. Source: Hsu, multiple comparisons with the best
    (Annals of Statistics 12, 1984).
    """
    tied = []
    for epoch, behind in enumerate(measured_E.max() - measured_E):
        by_noise_B = (noise_EB - noise_EB[epoch]).max(axis=0)
        if behind <= np.quantile(by_noise_B, CONFIDENCE):
            tied.append(epoch)
    return tuple(tied)
