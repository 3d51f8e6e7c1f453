"""What stands out gets a sentence with a setting in it that would help, and only that."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest

from peakmark.machine.devices import Arithmetic, Augmentation, Precision
from peakmark.nouns.timings import Stage, Timings
from peakmark.settings.fields import Settings
from peakmark.train.advice import Facts, advise

NETWORK: dict[Stage, float] = {"forward": 40.0, "loss": 3.0, "backward": 50.0, "update": 3.0}


def facts(
    *,
    device: str = "cpu",
    threads: int = 2,
    workers: int = 0,
    kept: bool = True,
    precision: Precision = "bfloat16",
    augmentation: Augmentation = "opencv",
    nbs: int = 64,
    **settings: Any,
) -> Facts:
    return Facts(
        Settings.model_validate({"data": "x.yaml", **settings}),
        nbs,
        Arithmetic(device, "test", precision, threads, True, True, augmentation),
        workers,
        kept,
        "bfloat16",
    )


def timings(*, images: int = 640, updates: int = 10, **seconds: float) -> Timings:
    return Timings({**NETWORK, **cast(dict[Stage, float], seconds)}, images, 40, updates)


GPU: Any = {"device": "cuda:0", "threads": 16}

CASES: dict[str, tuple[Timings, Facts, str]] = {
    "nothing": (timings(loading=2.0), facts(), "Nothing stands out: the network itself takes 98% of the time."),
    "decoded anew": (timings(loading=40.0), facts(kept=False), "Loading takes 29% .* cache=ram .* cache=disk"),
    "a busy GPU's loader": (
        timings(loading=40.0),
        facts(workers=8, **GPU),
        "cache=device lets the GPU augment .*not measured",
    ),
    "a GPU that augments": (timings(loading=40.0), facts(augmentation="torch", **GPU), "the GPU augments .* only less"),
    "no GPU to augment on": (timings(loading=40.0), facts(augmentation="torch"), "with cache=ram OpenCV augments"),
    "an idle core": (timings(loading=40.0), facts(workers=2, **GPU), "workers=4 prepares more"),
    "a few cores": (timings(loading=40.0), facts(), "no core is free for it; only less augmentation"),
    "a worker too many": (timings(loading=40.0), facts(workers=2), "on 2 cores a worker .* workers=0 is usually"),
    "many cores": (timings(loading=40.0), facts(threads=16), "workers=4 prepares more"),
    "float32": (timings(), facts(precision="float32"), "with amp=True .* in bfloat16"),
    "frequent updates": (timings(update=20.0, updates=40), facts(nbs=16), "Updates take 18% .* every 16 images"),
    "a small batch": (timings(), facts(batch=4, **GPU), "batch=4 is small for a GPU"),
    "long validations": (timings(validation=60.0), facts(), "Validation takes 38% .* val_period=4 it would be 14%"),
    "rare validations": (timings(validation=200.0), facts(val_period=2), "Validation takes 51% .* val_period=10"),
    "a slow disk": (timings(saving=10.0), facts(project="/far"), "Saving takes 9% .* /far: a project= on a faster"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_stands_out_gets_one_sentence(case):
    measured, place, said = CASES[case]
    (sentence,) = advise(measured, place, first_epoch=False)
    assert re.search(said, sentence), sentence


def test_a_first_epoch_still_reads_the_images_that_are_kept():
    slow = timings(loading=40.0)
    assert "later epochs load faster" in advise(slow, facts(), first_epoch=True)[0]
    assert "cache=disk" in advise(slow, facts(kept=False), first_epoch=True)[0]
    assert "Nothing stands out" in advise(timings(loading=2.0), facts(), first_epoch=True)[0]


def test_updates_of_the_warm_up_are_no_reason_for_a_larger_batch():
    often = timings(update=40.0, updates=40)
    assert "Nothing stands out" in advise(often, facts(batch=16, nbs=64), first_epoch=False)[0]


def test_validations_that_are_rare_enough_are_left_alone():
    long = timings(validation=60.0)
    assert "Nothing stands out" in advise(long, facts(val_period=5), first_epoch=False)[0]


def test_all_that_stands_out_is_said():
    bad = timings(loading=40.0, validation=90.0)
    assert len(advise(bad, facts(kept=False, precision="float32"), first_epoch=False)) == 3
