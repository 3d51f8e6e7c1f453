"""How does a person read where the time of a training went? One line a stage, in its order, and the advice below.

It must not know how the time was taken, nor what to advise.
"""

from __future__ import annotations

from collections.abc import Iterator

from peakmark.events import TimeMeasured

_BAR_CHARACTERS = 20


def time_table(event: TimeMeasured) -> Iterator[str]:
    """Yields the lines: milliseconds an image and the share of the whole, for each stage."""
    timings = event.timings
    pace = timings.images / timings.total_s if timings.total_s else 0.0
    yield f"Where the time went ({event.over}, {timings.images:,} images, {pace:.1f} images/s):"
    for stage, seconds in timings.seconds.items():
        share = timings.share(stage)
        an_image_ms = 1000 * seconds / max(1, timings.images)
        bar = "#" * round(share * _BAR_CHARACTERS)
        yield f"  {stage:<11}{an_image_ms:>8.2f} ms an image {share:>5.0%} {bar}".rstrip()
