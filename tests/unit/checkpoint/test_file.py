"""Checkpoint files: what is written is read, and everything else is refused with a sentence."""

from __future__ import annotations

import zipfile
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from peakmark import inspect
from peakmark.checkpoint.catalogue import newest_good
from peakmark.checkpoint.digest import digests
from peakmark.checkpoint.format import FORMAT_VERSION, to_plain
from peakmark.checkpoint.reader import describe, read, read_position, read_weights_epoch
from peakmark.checkpoint.strip import stripped
from peakmark.checkpoint.writer import save, write
from peakmark.errors import MachineError, ModelFileError, TrainingError
from peakmark.nouns.run import Position


@pytest.fixture
def saved(tiny_checkpoint, tmp_path):
    path = tmp_path / "last.pt"
    save(tiny_checkpoint, path)
    return path


class RunsCode:
    def __reduce__(self):
        return (open, ("/nowhere/code-was-run", "w"))


def test_what_is_saved_is_read(tiny_checkpoint, tmp_path):
    last, best = tmp_path / "weights" / "last.pt", tmp_path / "weights" / "best.pt"
    size = save(tiny_checkpoint, best, last)
    assert size == last.stat().st_size
    assert last.read_bytes() == best.read_bytes()
    assert not last.samefile(best)
    assert digests(read(best)) == digests(tiny_checkpoint)
    assert [path.name for path in sorted((tmp_path / "weights").iterdir())] == ["best.pt", "last.pt"]


def test_equal_checkpoints_are_equal_files(tiny_checkpoint, tmp_path):
    save(tiny_checkpoint, tmp_path / "a.pt")
    save(tiny_checkpoint, tmp_path / "b.pt")
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_what_is_read_alone_is_what_the_file_says(saved, tiny_checkpoint, tmp_path):
    assert read_position(saved) == tiny_checkpoint.position
    assert read_weights_epoch(saved) == 1
    save(
        replace(tiny_checkpoint, weights_epoch=None, validated=False, fitness=None, metrics=None),
        tmp_path / "within.pt",
    )
    assert read_weights_epoch(tmp_path / "within.pt") is None


@pytest.mark.parametrize("mmap", [False, True])
def test_torch_reads_it_by_hand(saved, mmap, tiny_checkpoint):
    by_hand = torch.load(saved, weights_only=True, mmap=mmap)
    assert by_hand.keys() == to_plain(tiny_checkpoint).keys()
    assert torch.equal(by_hand["model"]["0.weight"], tiny_checkpoint.model["0.weight"])
    assert torch.serialization.get_unsafe_globals_in_checkpoint(saved) == []


def test_layout_survives(saved, tiny_checkpoint):
    assert read(saved).training_weights["0.weight"].stride() == tiny_checkpoint.training_weights["0.weight"].stride()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["model", "training_weights", "optimizer", "lr", "open_epoch"])
def test_nothing_that_is_not_finite_is_saved(tiny_checkpoint, saved, where, value):
    state = {1: {"exp_avg": torch.tensor([0.0, value])}}
    changes: dict[str, dict[str, Any]] = {
        "model": {"model": {"w": torch.tensor([value])}},
        "training_weights": {"training_weights": {"w": torch.tensor([value])}},
        "optimizer": {"optimizer": {"state": state, "param_groups": []}},
        "lr": {"optimizer": {"state": {}, "param_groups": [{"lr": value}]}},
        "open_epoch": {"open_epoch": {"box": value}},
    }
    broken = changes[where]
    before = saved.read_bytes()
    with pytest.raises(TrainingError, match=f"{next(iter(broken))}.* not finite.*last good one stand"):
        save(replace(tiny_checkpoint, **broken), saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["last.pt"]


def test_a_disk_that_returns_other_bytes_is_noticed(tiny_checkpoint, saved, monkeypatch):
    before = saved.read_bytes()
    monkeypatch.setattr("peakmark.checkpoint.writer.digest_of_file", lambda _: ("0" * 64, b"1" * 64))
    with pytest.raises(MachineError, match="reads back as something else"):
        save(tiny_checkpoint, saved)
    assert saved.read_bytes() == before


def test_missing_folder_empty_and_other_files_are_refused(tmp_path):
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "text.pt").write_bytes(b"hello, this is no model")
    with zipfile.ZipFile(tmp_path / "zip.pt", "w") as archive:
        archive.writestr("a", "b")
    torch.save(OrderedDict(w=torch.ones(1)), tmp_path / "weights.pt")
    torch.save([1], tmp_path / "list.pt")
    sentences = {
        "none.pt": "There is no file .*none.pt.*nothing is downloaded",
        "": "is a folder",
        "empty.pt": "is empty",
        "text.pt": "is not a model file",
        "zip.pt": "of another program",
        "weights.pt": "no checkpoint of Peakmark",
        "list.pt": "no checkpoint of Peakmark",
    }
    for name, sentence in sentences.items():
        for reading in (read, read_position, read_weights_epoch, inspect):
            with pytest.raises(ModelFileError, match=sentence):
                reading(tmp_path / name)


@pytest.mark.parametrize("as_zip", [True, False])
def test_a_foreign_pickle_is_refused_and_runs_nothing(tmp_path, as_zip):
    path = tmp_path / "yolov8n.pt"
    torch.save({"model": RunsCode(), "epoch": 3}, path, _use_new_zipfile_serialization=as_zip)
    # Had the pickle run, `open` on a folder that isn't there would have raised FileNotFoundError: "There is no file".
    with pytest.raises(ModelFileError, match=r"is a pickle of another program.*could run code, so Peakmark doesn't"):
        read(path)
    with pytest.raises(ModelFileError, match="pickle"):
        read(path, verify=False)


def test_another_version_is_refused(tiny_checkpoint, tmp_path):
    path = tmp_path / "new.pt"
    with open(path, "wb") as stream:
        write({**to_plain(tiny_checkpoint), "format_version": FORMAT_VERSION + 1}, stream)
    with pytest.raises(ModelFileError, match=r"format version 8; this Peakmark reads versions 1 to 7.*newer one"):
        read(path)


@pytest.mark.parametrize(
    "wrong", [{"epoch": "2"}, {"epoch": -1}, {"images": 4.0}, {"step": None}, {"phase": "trein"}, {"epok": 1}]
)
def test_a_position_that_is_none_is_refused(tiny_checkpoint, tmp_path, wrong):
    """Files are put in order by it: a text among the numbers would end a resume with a traceback."""
    plain = to_plain(tiny_checkpoint)
    with open(tmp_path / "last.pt", "wb") as stream:
        write({**plain, "position": {**plain["position"], **wrong}}, stream)
    for reading in (read, read_position):
        with pytest.raises(ModelFileError, match=r"last\.pt is no complete checkpoint"):
            reading(tmp_path / "last.pt")


def test_a_missing_key_is_refused(tiny_checkpoint, tmp_path):
    plain = to_plain(tiny_checkpoint)
    del plain["ema_updates"]
    with open(tmp_path / "half.pt", "wb") as stream:
        write(plain, stream)
    with pytest.raises(ModelFileError, match="ema_updates"):
        read(tmp_path / "half.pt")


def test_ours_without_a_digest_is_damaged(tiny_checkpoint, tmp_path):
    torch.save(to_plain(tiny_checkpoint), tmp_path / "bare.pt")
    with pytest.raises(ModelFileError, match="carries no digest"):
        read(tmp_path / "bare.pt")


def test_describe_is_for_people(saved, tiny_checkpoint):
    described = describe(saved, read(saved))
    assert described["epoch"] == 2
    assert described["weights"] == "after epoch 2, validated"
    assert described["next"] == {"epoch": 3, "phase": "train", "images_done": 0}
    assert described["digests"] == digests(tiny_checkpoint)
    assert described["best_fitness"] == described["fitness"] == 0.25
    assert described["parameters"] == 24 + 2 * 2


def test_describe_says_what_was_not_validated(tiny_checkpoint, tmp_path):
    unvalidated = replace(tiny_checkpoint, validated=False, metrics=None, fitness=None)
    save(unvalidated, tmp_path / "a.pt")
    save(replace(unvalidated, weights_epoch=None), tmp_path / "b.pt")
    assert describe(tmp_path / "a.pt", read(tmp_path / "a.pt"))["weights"].startswith("after epoch 2, not validated")
    assert describe(tmp_path / "b.pt", read(tmp_path / "b.pt"))["weights"].startswith(
        "from within epoch 3, not validated"
    )
    assert describe(tmp_path / "b.pt", read(tmp_path / "b.pt"))["metrics"] is None


class TestNewestGood:
    @pytest.fixture
    def put(self, tiny_checkpoint, tmp_path):
        def put(name: str, *position) -> None:
            save(replace(tiny_checkpoint, position=Position(*position)), tmp_path / name)

        return put

    @staticmethod
    def flip(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)

    def test_the_furthest_is_taken(self, put, tmp_path):
        put("last.pt", 3, 0, "train", 9)
        put("best.pt", 3, 4, "train", 10)
        put("epoch1.pt", 1)
        put("epoch10.pt", 2)
        put("mine.pt", 99)
        put("epoch_new.pt", 99)
        found = newest_good(tmp_path)
        assert found.path.name == "best.pt"
        assert found.checkpoint.position.step == 10
        assert found.refused == ()

    @pytest.mark.parametrize(
        ("nearer", "further"),
        [
            ((2, 8, "validate", 9), (3, 0, "train", 9)),
            ((3, 0, "train", 9), (3, 4, "train", 10)),
            ((3, 8, "train", 11), (3, 8, "validate", 11)),
            ((3, 4, "train", 10), (3, 4, "train", 11)),
        ],
    )
    def test_every_part_of_the_place_counts(self, put, tmp_path, nearer, further):
        put("last.pt", *nearer)
        put("best.pt", *further)
        assert newest_good(tmp_path).path.name == "best.pt"

    def test_equally_far_is_last(self, put, tmp_path):
        for name in ("best.pt", "epoch3.pt", "last.pt"):
            put(name, 3)
        assert newest_good(tmp_path).path.name == "last.pt"

    def test_trained_but_not_validated_is_before_the_next_epoch(self, put, tmp_path):
        put("best.pt", 2, 8, "validate", 6)
        put("last.pt", 3, 0, "train", 6)
        assert newest_good(tmp_path).path.name == "last.pt"

    def test_a_damaged_one_is_passed_over_and_told(self, put, tmp_path):
        put("last.pt", 3)
        put("best.pt", 2)
        self.flip(tmp_path / "last.pt")
        (tmp_path / "epoch9.pt").write_bytes(b"PK")
        found = newest_good(tmp_path)
        assert found.path.name == "best.pt"
        assert len(found.refused) == 2
        assert any("last.pt is damaged" in sentence for sentence in found.refused)

    def test_a_damaged_place_is_no_place(self, put, tmp_path):
        """Files are put in order by it before they are read: an old best.pt must not seem newer in silence."""
        put("best.pt", 2)
        put("last.pt", 3)
        last = tmp_path / "last.pt"
        content = last.read_bytes()
        at = content.index(b"K\x03", content.index(b"position"))  # the epoch
        last.write_bytes(content[: at + 1] + b"\0" + content[at + 2 :])
        with pytest.raises(ModelFileError, match=r"last\.pt is damaged: what it says disagrees with its checksum"):
            read_position(last)
        found = newest_good(tmp_path)
        assert found.path.name == "best.pt"
        assert [("last.pt is damaged" in sentence) for sentence in found.refused] == [True]

    def test_a_stripped_one_is_passed_over_and_told(self, put, tiny_checkpoint, tmp_path):
        put("best.pt", 2)
        save(stripped(replace(tiny_checkpoint, position=Position(3))), tmp_path / "last.pt")
        found = newest_good(tmp_path)
        assert found.path.name == "best.pt"
        assert [("last.pt is stripped" in sentence) for sentence in found.refused] == [True]
        (tmp_path / "best.pt").unlink()
        with pytest.raises(ModelFileError, match=r"(?s)can be resumed.*peakmark train model=.*last\.pt"):
            newest_good(tmp_path)

    def test_nothing_good_is_a_sentence(self, put, tmp_path):
        with pytest.raises(ModelFileError, match=r"There is no last\.pt"):
            newest_good(tmp_path)
        put("last.pt", 3)
        self.flip(tmp_path / "last.pt")
        with pytest.raises(ModelFileError, match=r"(?s)can be resumed.*last\.pt is damaged"):
            newest_good(tmp_path)
