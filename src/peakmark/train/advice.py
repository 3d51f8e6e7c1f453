"""What would make this training faster? Sentences, from where its time went and what it runs with.

Pure: timings and facts in, advice out. It must not know how the time was taken, nor who reads the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from peakmark.machine.devices import Arithmetic, Precision
from peakmark.nouns.timings import Timings
from peakmark.settings.fields import Settings

_STANDS_OUT = 0.10
"""Share of the time from which a stage that isn't the network's own is worth a word."""
_SAVING_STANDS_OUT = 0.05
_VALIDATION_STANDS_OUT = 0.25
_VALIDATION_GOAL = 0.15
_LONGEST_PERIOD = 10
_CORES_TO_SPARE = 4
"""With fewer, a thread that prepares images makes the network wait for the core it took."""
MOST_WORKERS = 8
"""Threads that prepare images; also what a run takes by itself at the most."""
_NEARLY = 0.75
"""Of an update's nominal batch; the last window of an epoch is short."""
_SMALL_BATCH = 16
"""Images; a GPU computes more of them in nearly the same time."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a training runs with, beyond its settings."""

    settings: Settings
    nbs: int
    """The nominal batch, whoever chose it."""
    arithmetic: Arithmetic
    workers: int
    images_kept: bool
    """Whether a decoded image is kept for the next epoch."""
    mixed: Precision
    """What amp=True computes in on this machine."""


def advise(timings: Timings, facts: Facts, *, first_epoch: bool) -> tuple[str, ...]:
    """Gives a sentence for whatever stands out; one that says so where nothing does.

    `first_epoch`: images that are kept were still read for the first time.
    """
    loading = _first_reading if first_epoch and facts.images_kept else _loading
    rules: tuple[Callable[[Timings, Facts], str], ...] = (loading, _precision, _updates, _validation, _saving)
    found = tuple(text for rule in rules if (text := rule(timings, facts)))
    if found:
        return found
    network = timings.share("forward", "loss", "backward", "update")
    return (
        f"Nothing stands out: the network itself takes {network:.0%} of the time. A smaller model or imgsz would help,"
        " or a faster machine.",
    )


def _first_reading(timings: Timings, facts: Facts) -> str:
    share = timings.share("loading")
    if share < _STANDS_OUT:
        return ""
    return f"Loading takes {share:.0%} of the time, but images are kept once they were read: later epochs load faster."


def _loading(timings: Timings, facts: Facts) -> str:
    share = timings.share("loading")
    if share < _STANDS_OUT:
        return ""
    takes = f"Loading takes {share:.0%} of the time"
    threads, workers = facts.arithmetic.threads, facts.workers
    if facts.arithmetic.augmentation == "torch":
        return f"{takes}: {_of_the_device(facts)}"
    if not facts.images_kept:
        return (
            f"{takes}, and each image is decoded anew in every epoch: cache=ram keeps as many as the memory holds,"
            " cache=disk keeps them in a scratch file."
        )
    if facts.arithmetic.on_gpu or threads >= _CORES_TO_SPARE:
        more = min(threads, max(2 * workers, 1), MOST_WORKERS) if facts.arithmetic.on_gpu else max(1, threads // 4)
        if more > workers:
            return f"{takes}: workers={more} prepares more images beside the network."
    if workers and threads < _CORES_TO_SPARE and not facts.arithmetic.on_gpu:
        return f"{takes}: on {threads} cores a worker takes time from the network; workers=0 is usually faster."
    if facts.arithmetic.on_gpu:
        return (
            f"{takes}, and no core is free for it: cache=device lets the GPU augment the images (not measured on a GPU"
            " yet, and pixels are rounded differently, so the result changes), or take less augmentation (mosaic=0,"
            " mixup=0)."
        )
    return f"{takes}, and no core is free for it; only less augmentation (mosaic=0, mixup=0) or more cores would help."


def _of_the_device(facts: Facts) -> str:
    if not facts.arithmetic.on_gpu:
        return "with cache=ram OpenCV augments the images, several times faster than torch does on a processor."
    return (
        "the GPU augments the images itself, so only less augmentation (mosaic=0, mixup=0) would help; or cache=ram, if"
        " its cores would be faster (that changes the result)."
    )


def _precision(timings: Timings, facts: Facts) -> str:
    if facts.arithmetic.precision != "float32" or facts.mixed == "float32":
        return ""
    return f"Everything is computed in float32: with amp=True the network's part would be computed in {facts.mixed}."


def _updates(timings: Timings, facts: Facts) -> str:
    batch = facts.settings.batch
    images = timings.images / max(1, timings.updates)
    # The warm-up makes more updates than the rest of the run: what they take then says nothing of later.
    windows_are_full = images >= _NEARLY * max(batch, facts.nbs)
    if timings.share("update") >= _STANDS_OUT and windows_are_full:
        return (
            f"Updates take {timings.share('update'):.0%} of the time, since one follows every {images:.0f} images: a"
            " larger batch or nbs makes fewer of them, and changes the result."
        )
    if facts.arithmetic.on_gpu and batch < _SMALL_BATCH:
        return f"batch={batch} is small for a GPU: a larger one computes more images in nearly the same time."
    return ""


def _validation(timings: Timings, facts: Facts) -> str:
    period = facts.settings.val_period
    validation_s = timings.seconds.get("validation", 0.0)
    rest_s = timings.total_s - validation_s

    def share(every: int) -> float:
        return validation_s / every / (validation_s / every + rest_s) if validation_s else 0.0

    if share(period) < _VALIDATION_STANDS_OUT:
        return ""
    longer = range(period + 1, max(_LONGEST_PERIOD, period + 1) + 1)
    found = next((every for every in longer if share(every) < _VALIDATION_GOAL), longer[-1])
    return (
        f"Validation takes {share(period):.0%} of the time: with val_period={found} it would be {share(found):.0%},"
        " and only the validated epochs could be best."
    )


def _saving(timings: Timings, facts: Facts) -> str:
    share = timings.share("saving")
    if share < _SAVING_STANDS_OUT:
        return ""
    return (
        f"Saving takes {share:.0%} of the time, waiting for {facts.settings.project}: a project= on a faster disk would"
        " help."
    )
