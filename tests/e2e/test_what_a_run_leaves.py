"""What lies in the folder of a finished run? Every picture, table and summary, as promised, and they agree."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import cv2
import pytest
import yaml

from peakmark import inspect
from peakmark.nouns.evaluation import PROTOCOL
from peakmark.settings.description import describe
from peakmark.settings.fields import Settings

PICTURES = {
    "results.png", "labels.jpg", "train_batch0.jpg", "train_batch1.jpg", "train_batch2.jpg", "PR_curve.png",
    "F1_curve.png", "P_curve.png", "R_curve.png", "confusion_matrix.png", "confusion_matrix_normalized.png",
    "val_batch0.jpg", "val_batch0_labels.jpg", "val_batch0_pred.jpg",
}  # fmt: skip
# The first batches after mosaic was closed.
LATE_PICTURES = {"train_batch3.jpg", "train_batch4.jpg", "train_batch5.jpg"}
TABLES = {
    "results.csv",
    "settings.yaml",
    "summary.json",
    "journal.jsonl",
    "report.html",
    "data-files.txt.gz",
    "gallery.json",
}
FAMILIAR_COLUMNS = [
    "epoch", "time", "train/box_loss", "train/cls_loss", "train/dfl_loss", "metrics/precision(B)",
    "metrics/recall(B)", "metrics/mAP50(B)", "metrics/mAP50-95(B)", "val/box_loss", "val/cls_loss", "val/dfl_loss",
    "lr/pg0", "lr/pg1", "lr/pg2",
]  # fmt: skip


@pytest.fixture
def folder(trained) -> Path:
    return Path(trained[0].save_dir)


def test_everything_is_there_and_nothing_is_left_over(folder):
    found = {path.name for path in folder.iterdir() if path.name[0] != "."}
    assert found == PICTURES | LATE_PICTURES | TABLES | {"weights", "evidence"}
    assert {path.name for path in (folder / "evidence").iterdir()} == {"epoch5.npz", "epoch10.npz", "epoch14.npz"}
    by_period, best = {"epoch5.pt", "epoch10.pt"}, {"best_epoch5.pt", "best_epoch10.pt", "best_epoch14.pt"}
    assert {path.name for path in (folder / "weights").iterdir()} == {"best.pt", "last.pt"} | by_period | best


@pytest.mark.parametrize("name", sorted(PICTURES | LATE_PICTURES))
def test_a_picture_is_one_that_a_person_can_look_at(folder, name):
    image = cv2.imread(str(folder / name))
    assert image is not None
    height, width = image.shape[:2]
    # The samples are as large as their images, which are tiny here.
    least = 100 if name.startswith(("train_batch", "val_batch")) else 600
    assert min(height, width) >= least, (height, width)
    assert max(height, width) <= 4000, (height, width)
    assert image.std() > 5, "it is all of one colour"


def test_predictions_are_drawn_beside_their_truths(folder):
    truths, predictions = (cv2.imread(str(folder / f"val_batch0_{name}.jpg")) for name in ("labels", "pred"))
    assert truths is not None
    assert predictions is not None
    assert truths.shape == predictions.shape
    assert (truths != predictions).any()


def test_results_csv_has_the_columns_that_users_know(folder):
    with open(folder / "results.csv", newline="") as table:
        header, *rows = csv.reader(table)
    assert header[: len(FAMILIAR_COLUMNS)] == FAMILIAR_COLUMNS
    assert [row[0] for row in rows] == [str(number) for number in range(1, 15)]
    validated = [row[header.index("metrics/mAP50(B)")] != "" for row in rows]
    assert [number for number, yes in enumerate(validated, start=1) if yes] == [5, 10, 14]
    assert [row[header.index("best")] for row in rows].count("1") == 1
    times = [float(row[1]) for row in rows]
    assert times == sorted(times)


def test_summary_json_is_what_a_pipeline_needs(trained, folder):
    results = trained[0]
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["format"], summary["format_version"]) == ("peakmark-summary", 1)
    assert summary["outcome"] == results.outcome == "finished"
    assert summary["epochs"] == summary["settings"]["epochs"] == 14
    assert set(summary["settings"]) == set(describe(Settings))
    best, last = inspect(results.best), inspect(results.last)
    assert summary["best"]["epoch"] == best["epoch"]
    assert summary["best"]["fitness"] == best["fitness"] == results.fitness
    assert summary["best"]["file"] == "weights/best.pt"
    assert "fitness" in summary["best"]["reason"]
    assert summary["digests"] == last["digests"]
    assert summary["protocol"] == PROTOCOL
    assert summary["fitness"].startswith("map50_95 (COCO protocol)")
    assert summary["names"] == ["light", "red"]
    assert {"peakmark", "torch", "numpy"} <= set(summary["versions"])
    assert len(summary["data"]["train"]) == len(summary["data"]["val"]) == 64


def test_how_sure_the_best_is_stands_in_summary_journal_and_page(trained, folder):
    summary = json.loads((folder / "summary.json").read_text())
    certainty = summary["certainty"]
    assert certainty["images"] == summary["data"]["val_images"]
    assert {each["epoch"] for each in certainty["epochs"]} <= {5, 10, 14}
    assert certainty["fitness"]["value"] == summary["best"]["fitness"]
    assert 0 < certainty["fitness"]["standard_error"] < 0.5
    ended = json.loads((folder / "journal.jsonl").read_text().splitlines()[-1])
    assert ended["how_sure"] == certainty["text"]
    assert certainty["text"].partition(" ± ")[0] in (folder / "report.html").read_text()


def test_settings_yaml_says_every_value_and_where_it_came_from(folder):
    text = (folder / "settings.yaml").read_text()
    assert set(yaml.safe_load(text)) == set(describe(Settings))
    assert yaml.safe_load(text)["epochs"] == 14
    (given,) = (line for line in text.splitlines() if line.startswith("lr0:"))
    (default,) = (line for line in text.splitlines() if line.startswith("momentum:"))
    assert "given" in given
    assert "default" in default


def test_the_journal_tells_the_run(folder):
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    kinds = [line["event"] for line in lines]
    assert kinds[0] == "RunStarted"
    assert kinds[-1] == "RunEnded"
    assert kinds.count("EpochEnded") == 14
    assert all(line["reason"] for line in lines if line["event"] == "EpochEnded")


def test_the_page_shows_the_run_by_itself(folder):
    page = (folder / "report.html").read_text()
    assert "data:image/" in page
    assert "COCO" in page
    bare = page.replace("/*! https://github.com/leeoniya/uPlot", "")
    assert "http://" not in bare
    assert "https://" not in bare


def test_every_logged_number_can_be_computed_again_from_the_evidence(trained, folder):
    from peakmark.checkpoint.reader import read as read_checkpoint
    from peakmark.evaluate.evidence_file import read as read_evidence
    from peakmark.evaluate.metrics import evaluation_from

    records = [record for record in read_checkpoint(trained[0].last).history.records if record.metrics]
    assert [record.epoch + 1 for record in records] == [5, 10, 14]
    for record in records:
        evidence = read_evidence(folder / f"evidence/epoch{record.epoch + 1}.npz")
        assert evidence is not None
        again = evaluation_from(evidence, ("light", "red"))
        assert again.metrics == pytest.approx(record.metrics, rel=0, abs=1e-9, nan_ok=True)
        assert record.per_class is not None
        assert again.per_class.keys() == record.per_class.keys()
        for name, values in record.per_class.items():
            assert again.per_class[name] == pytest.approx(values, rel=0, abs=1e-9, nan_ok=True)


def test_kept_epochs_are_the_weights_of_their_epoch(folder):
    for epoch in (5, 10):
        kept = inspect(folder / f"weights/epoch{epoch}.pt")
        assert kept["epoch"] == epoch
        assert kept["validated"]


def test_the_page_holds_what_its_scripts_draw_and_is_made_anew_the_same(folder, tmp_path, peakmark):
    page = (folder / "report.html").read_text()
    data = json.loads(re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)[0])
    summary = json.loads((folder / "summary.json").read_text())
    assert data["names"] == ["light", "red"]
    assert data["curves"]["epochs"] == list(range(1, 15))
    assert data["curves"]["best"] == summary["best"]["epoch"] == data["gallery"]["epoch"]
    assert len(data["gallery"]["images"]) == 19, "all images of a small set"
    assert data["gallery"]["ap50"] == pytest.approx(summary["best"]["metrics"]["map50"])
    assert sum(data["at"]["truths"]) == sum(len(image["truths"]) for image in data["gallery"]["images"])
    copy = shutil.copytree(folder, tmp_path / "train", ignore=shutil.ignore_patterns("*.pt", "report.html"))
    done = peakmark("report", str(copy), cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, str(copy / "report.html"))
    again = (copy / "report.html").read_text()
    assert again.replace(str(copy), str(folder)) == page


def test_a_report_needs_a_run_and_one_run_has_no_settings(peakmark, tmp_path):
    for words, says in ((), "Name a run"), (("gone",), "this is no run"), ((".", "name=x"), "has no settings"):
        done = peakmark("report", *words, cwd=tmp_path)
        assert done.returncode != 0
        assert says in done.stderr
