"""Which epochs are there with their weights: of the same run, whole, and complete."""

from __future__ import annotations

from dataclasses import replace

import pytest

from peakmark.checkpoint.kept import kept_epochs
from peakmark.checkpoint.strip import strip_file
from peakmark.checkpoint.writer import save


@pytest.fixture
def best(tiny_checkpoint, tmp_path):
    path = tmp_path / "best.pt"
    save(tiny_checkpoint, path)
    return path


def test_an_epoch_is_found_where_its_weights_are(best, tiny_checkpoint, tmp_path):
    within = replace(tiny_checkpoint, weights_epoch=None, validated=False, fitness=None, metrics=None)
    save(within, tmp_path / "last.pt")
    (tmp_path / "epoch1.pt").write_bytes(best.read_bytes()[:-1])
    assert kept_epochs(tmp_path, tiny_checkpoint.history) == {1: best}


def test_a_stripped_copy_never_stands_for_the_epoch(best, tiny_checkpoint, tmp_path):
    """Its name comes before best.pt, and what is made of it would be a best.pt that no run goes on from."""
    strip_file(best)
    assert kept_epochs(tmp_path, tiny_checkpoint.history) == {1: best}
    best.unlink()
    assert kept_epochs(tmp_path, tiny_checkpoint.history) == {}


def test_another_run_s_file_does_not_count(best, tiny_checkpoint, tmp_path):
    records = tiny_checkpoint.history.records
    judged_anew = replace(tiny_checkpoint.history, records=(records[0], replace(records[1], fitness=0.5, train_s=9.0)))
    assert kept_epochs(tmp_path, judged_anew) == {1: best}
    another = replace(tiny_checkpoint.history, records=(records[0], replace(records[1], step=4)))
    assert kept_epochs(tmp_path, another) == {}
