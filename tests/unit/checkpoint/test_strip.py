"""A stripped checkpoint: small, used like any other, and no run goes on from it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from peakmark.checkpoint.digest import digest, digests
from peakmark.checkpoint.reader import describe, read
from peakmark.checkpoint.strip import strip_file, stripped
from peakmark.checkpoint.writer import save
from peakmark.errors import ModelFileError


@pytest.fixture
def best(tiny_checkpoint, tmp_path):
    path = tmp_path / "best.pt"
    save(tiny_checkpoint, path)
    return path


def test_what_is_used_stays_and_what_a_run_goes_on_from_goes(tiny_checkpoint):
    small = stripped(tiny_checkpoint)
    assert (tiny_checkpoint.complete, small.complete) == (True, False)
    assert digest(small.model) == digest(tiny_checkpoint.model)
    kept = ("settings", "names", "architecture", "arithmetic", "provenance", "fitness", "metrics", "position")
    assert all(repr(getattr(small, name)) == repr(getattr(tiny_checkpoint, name)) for name in kept)
    assert (small.training_weights, small.optimizer, small.scaler) == ({}, {}, None)
    assert small.history.records == tiny_checkpoint.history.records[1:], "the record of these very weights"


def test_weights_from_within_an_epoch_have_no_record(tiny_checkpoint):
    within = replace(tiny_checkpoint, weights_epoch=None, validated=False, fitness=None, metrics=None)
    assert stripped(within).history.records == ()


def test_a_copy_is_written_beside_it_and_the_file_stays(best, tmp_path):
    before = best.read_bytes()
    target, bytes_before, bytes_after = strip_file(best)
    assert target == tmp_path / "best-stripped.pt"
    assert (bytes_before, bytes_after) == (len(before), target.stat().st_size)
    assert bytes_after < bytes_before
    assert best.read_bytes() == before
    assert digest(torch.load(target, weights_only=True)["model"]) == digests(read(best))["model"]
    described = describe(target, read(target))
    assert described["complete"] is False
    assert described["weights"] == "after epoch 2, validated; stripped for shipping: no run can go on from this file"
    assert strip_file(best, tmp_path / "out" / "mine.pt")[0].is_file()


def test_nothing_is_written_over(best, tmp_path):
    small, _, _ = strip_file(best)
    taken = {path: path.read_bytes() for path in (best, small)}
    for target in (None, best, small):
        with pytest.raises(ModelFileError, match="is there already"):
            strip_file(best, target)
    with pytest.raises(ModelFileError, match="stripped already"):
        strip_file(small, tmp_path / "again.pt")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == taken
