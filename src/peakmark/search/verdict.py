"""Is the winner of a study better than where it began, or was it lucky? Runs with other seeds, in pairs.

The number that a winner was chosen by is too high, since it was chosen for being high. So its settings and those that
the study began with are trained again with seeds that no trial has seen, and compared seed by seed.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from peakmark.evaluate.uncertainty import Estimate, student_95


def spread(values: Sequence[float]) -> Estimate:
    """The mean of several runs, with its 95 % interval; of one, with none. NaN where a run has no number.

    Raises ValueError for no value.
    """
    if not values:
        raise ValueError("no values")
    if any(math.isnan(value) for value in values):
        return Estimate(math.nan, math.nan, math.nan, math.nan)
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Estimate(mean, math.nan, math.nan, math.nan)
    standard_error = statistics.stdev(values) / math.sqrt(len(values))
    half = student_95(len(values) - 1) * standard_error
    return Estimate(mean, standard_error, mean - half, mean + half)


def paired(ones: Sequence[float], others: Sequence[float]) -> Estimate:
    """How far ones lie above others, pair by pair: what a seed does to both drops out."""
    return spread([one - other for one, other in zip(ones, others, strict=True)])


def in_words(lead: Estimate, seeds: int) -> str:
    """Says what repeating came to."""
    if math.isnan(lead.value):
        return "Trained again with other seeds, a run has no fitness in any epoch: nothing can be said of the gain."
    number = f"{lead.value:+.4f} ({lead.low:+.4f} to {lead.high:+.4f})"
    if not math.isfinite(lead.low):
        return f"With one other seed it is {lead.value:+.4f} from the start's settings; repeat=2 says how sure that is."
    if lead.low > 0:
        meaning = "a real gain"
    elif lead.high < 0:
        meaning = "a real loss: what the search found was luck"
    else:
        meaning = "that may be luck"
    return f"Trained again with {seeds} other seeds each, it is {number} from the start's settings: {meaning}."
