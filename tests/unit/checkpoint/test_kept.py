"""Which epochs are there with their weights: of the same run, whole, and complete."""

from __future__ import annotations

from dataclasses import replace

import pytest

from peakmark.checkpoint.kept import is_whole, kept_epoch, kept_epochs
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


def test_an_epoch_s_file_is_one_that_is_whole(best, tiny_checkpoint, tmp_path):
    """Listing reads no weights; whoever takes a file gets the next one where the first is damaged in them."""
    content = bytearray(best.read_bytes())
    damaged = tmp_path / "a_first.pt"
    content[content.index(b"archive/data/0") + 200] ^= 1
    damaged.write_bytes(content)
    assert kept_epochs(tmp_path, tiny_checkpoint.history) == {1: damaged}
    assert kept_epoch(tmp_path, tiny_checkpoint.history, 1) == best
    assert not is_whole(damaged)
    best.unlink()
    assert kept_epoch(tmp_path, tiny_checkpoint.history, 1) is None
    assert kept_epoch(tmp_path, tiny_checkpoint.history, 0) is None


def test_listing_reads_no_weights(best, tiny_checkpoint, tmp_path, monkeypatch):
    """Two hundred kept epochs took 18 s: each was read in full, its history by an unpickler in Python."""
    monkeypatch.setattr("peakmark.files.torch_file.TorchFile.plain", lambda _: pytest.fail("read in full"))
    monkeypatch.setattr("peakmark.checkpoint.reader.digest_of_file", lambda *_: pytest.fail("read in full"))
    assert kept_epochs(tmp_path, tiny_checkpoint.history) == {1: best}
