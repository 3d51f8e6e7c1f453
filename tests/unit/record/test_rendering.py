"""What is rendered into a run's folder: the table, the settings, the summary, the journal."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from peakmark.events import (
    CheckpointSaved,
    EpochEnded,
    EpochStarted,
    MicrobatchDone,
    Notice,
    RunEnded,
    RunStarted,
    StepSkipped,
    ValidationProgress,
)
from peakmark.machine.streams import stream
from peakmark.nouns.losses import Losses
from peakmark.nouns.run import Decision, History, Position
from peakmark.record import results_csv, settings_yaml, summary
from peakmark.record.journal import Journal
from peakmark.record.plain_json import as_json

FAMILIAR = (
    "epoch,time,train/box_loss,train/cls_loss,train/dfl_loss,metrics/precision(B),metrics/recall(B),metrics/mAP50(B),"
    "metrics/mAP50-95(B),val/box_loss,val/cls_loss,val/dfl_loss,lr/pg0,lr/pg1,lr/pg2"
)


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


class TestResults:
    def test_columns_begin_as_users_know_them(self):
        header = results_csv.render(History(), None)
        assert header.startswith(FAMILIAR + ",fitness,best,")
        assert header.count("\n") == 1

    def test_rows(self, tiny_checkpoint):
        first, second = rows_of(results_csv.render(tiny_checkpoint.history, 1))
        assert (first["epoch"], second["epoch"]) == ("1", "2")
        assert (first["time"], second["time"]) == ("1.500", "3.250")
        assert (first["best"], second["best"]) == ("0", "1")
        assert (first["val/box_loss"], second["val/box_loss"]) == ("", "2.25")
        assert (first["metrics/mAP50-95(B)"], second["metrics/mAP50-95(B)"]) == ("", "0.25")
        assert (first["fitness"], second["fitness"]) == ("", "0.25")
        assert (first["lr/pg0"], first["lr/pg2"]) == ("0.1", "0.0")
        assert second["metrics/mAP50-95(small)"] == "nan"
        assert first["skipped_steps"] == "1"

    def test_numbers_read_back_to_the_same_bits(self, tiny_checkpoint):
        record = tiny_checkpoint.history.records[1]
        for number in stream(0, "test numbers").random(50).tolist():
            text = results_csv.render(
                History((replace(record, fitness=number, train=Losses(number, 1e-30, 1e30)),)), None
            )
            (row,) = rows_of(text)
            assert float(row["fitness"]) == float(row["train/box_loss"]) == number
            assert float(row["train/cls_loss"]) == 1e-30


class TestSettings:
    def test_reads_back_and_says_where_from(self):
        settings = {
            "model": "yolov8n.yaml",
            "lr0": 1e-05,
            "freeze": [0, 1],
            "name": None,
            "exist_ok": False,
            "project": "runs/a very long folder name that would be folded over lines/" * 4,
            "odd": "a # b: 'c'\nd",
            "number_like": "1e3",
        }
        origins = dict.fromkeys(settings, "default") | {"lr0": "given"}
        text = settings_yaml.render(settings, origins)
        assert yaml.safe_load(text) == settings
        assert len(text.splitlines()) == 1 + len(settings)
        assert next(line for line in text.splitlines() if line.startswith("lr0")).endswith("# given")


class TestSummary:
    @pytest.fixture
    def told(self):
        return {
            "outcome": "finished",
            "text": "All 3 epochs are done.",
            "certainty": None,
            "averaging": None,
            "coco": None,
            "fitness": "map50_95: mAP50-95",
            "protocol": "COCO",
            "names": ("cat", "dog"),
            "settings": {"lr0": 0.01, "time": None},
            "weights_bytes": 7,
            "data": {"train": "abc"},
            "versions": {"torch": "2.13.0"},
            "digests": {"everything": "123"},
        }

    def test_best_epoch_is_told_as_people_count(self, tiny_checkpoint, told):
        made = summary.summarise(tiny_checkpoint.history, best_epoch=1, best_reason="it is the first", **told)
        read = json.loads(summary.render(made))
        assert list(read) == list(summary.Summary.__annotations__)
        assert read["epochs"] == 2
        assert list(read["best"]) == list(summary.Best.__annotations__)
        assert (read["best"]["epoch"], read["best"]["fitness"]) == (2, 0.25)
        assert read["best"]["metrics"]["map_small"] is None
        assert read["best"]["per_class"]["map50"] == [0.5, None]
        assert (read["train_s"], read["validation_s"]) == (2.75, 0.5)
        assert read["segments"] == [{"epoch": 1, "images": 0, "reason": "start"}]

    def test_without_validation_there_is_no_best(self, tiny_checkpoint, told):
        history = History(tiny_checkpoint.history.records[:1])
        assert summary.summarise(history, best_epoch=None, best_reason="", **told)["best"] is None
        with pytest.raises(ValueError, match="was not validated"):
            summary.summarise(history, best_epoch=0, best_reason="", **told)


class TestJson:
    def test_strict_json_only(self):
        value = {"a": [math.nan, math.inf, (1, None)], "p": Path("x/y"), 3: "ä"}
        assert json.loads(as_json(value)) == {"a": [None, None, [1, None]], "p": "x/y", "3": "ä"}
        with pytest.raises(TypeError):
            as_json({"a": object()})


class TestJournal:
    @pytest.fixture
    def journal(self, tmp_path):
        return Journal(tmp_path / "journal.jsonl", now=lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))

    @staticmethod
    def lines(tmp_path: Path) -> list[dict[str, object]]:
        return [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]

    def test_a_run_is_told(self, journal, tmp_path, tiny_checkpoint):
        position = Position(epoch=1, images=4, step=7)
        record = tiny_checkpoint.history.records[1]
        decision = Decision(1, True, 1, 0.25, False, False, 10, "fitness 0.2500 is the first")
        for event in (
            RunStarted(
                tmp_path,
                "yolov8n",
                9,
                ("cat",),
                8,
                2,
                3,
                32,
                position,
                "cpu",
                "float32",
                1,
                "auto: AdamW",
                notes=("x",),
            ),
            EpochStarted(1, 3, 8, True),
            MicrobatchDone(1, 3, 6, 8, Losses(1, 1, 1), 5, 32, 10),
            Notice("said within an epoch"),
            StepSkipped(1, 8, "loss", ("a.jpg", "b.jpg"), 1),
            CheckpointSaved(("last.pt",), position, 10),
            ValidationProgress(1, 1, 2),
            EpochEnded(record, decision, 3),
            RunEnded(tmp_path, "interrupted", Position(2, 3, "train", 9), 1, 0.25, None, "Stopped.", False),
        ):
            journal(event)
        started, notice, skipped, ended, stopped = self.lines(tmp_path)
        assert started["at"] == "2026-01-02T03:04:05.000+00:00"
        assert (started["event"], started["epoch"], started["images"], started["step"]) == ("RunStarted", 2, 4, 7)
        assert (notice["epoch"], notice["images"], notice["text"]) == (2, 6, "said within an epoch")
        assert (skipped["files"], skipped["images"]) == (["a.jpg", "b.jpg"], 8)
        assert (ended["best_epoch"], ended["reason"]) == (2, "fitness 0.2500 is the first")
        assert (stopped["event"], stopped["outcome"], stopped["epoch"], stopped["images"]) == (
            "RunEnded",
            "interrupted",
            3,
            3,
        )

    def test_a_resumed_run_goes_on_in_the_same_file(self, journal, tmp_path):
        journal(Notice("one"))
        Journal(tmp_path / "journal.jsonl")(Notice("two\nlines", serious=True))
        assert [line["text"] for line in self.lines(tmp_path)] == ["one", "two\nlines"]
        assert self.lines(tmp_path)[1]["serious"] is True
