"""The page shows what lies in the folder, escapes what people typed, and asks no other file or host for anything."""

from __future__ import annotations

import json
import re
from html import unescape
from html.parser import HTMLParser
from typing import Any

import cv2
import numpy as np
import pytest

from peakmark.errors import MachineError
from peakmark.events import Notice, ResumePlanned, SeamJudged
from peakmark.nouns.resume import Cause, ChangePlan, Continuity, PlannedPart
from peakmark.nouns.run import Position
from peakmark.record import results_csv, summary
from peakmark.record.journal import Journal, mark_superseded
from peakmark.report.pages.page import write_page

SUMMARY = {
    "settings": {"data": "<shapes>", "epochs": 3, "imgsz": 640},
    "fitness": "map50_95: mAP50-95 (COCO protocol)",
    "protocol": "COCO: 101 recall levels",
    "names": ["<script>alert(1)</script>", "cat", "dog"],
    "epochs": 3,
    "train_s": 4000.0,
    "validation_s": 200.4,
    "text": "No better epoch in 2.",
    "outcome": "early_stopped",
    "best": {
        "epoch": 2,
        "metrics": {"map50_95": 0.41239, "map50": 0.6, "precision": float("nan"), "recall": None},
        "per_class": {"map50_95": [0.2, float("nan"), 0.6], "map50": [0.3, float("nan"), 0.7]},
        "reason": "0.4124 beats 0.4 of epoch 1 & more",
    },
    "digests": {"model": "abc123"},
}
RESULTS = "epoch,time,train/box_loss,metrics/mAP50(B),val/box_loss\n1,2.5,3.0,0.1,\n2,5,2.5,0.6,2.7\n3,7.5,nan,,\n"


class Tags(HTMLParser):
    """Collects the tags and checks that they close."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in ("meta", "img", "br", "link", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def tags(page: str) -> list[str]:
    parser = Tags()
    parser.feed(page)
    assert parser.open == []
    return parser.seen


def text_of(page: str) -> str:
    """What a reader reads, without what scripts make of the data."""
    bare = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", "", bare)).split())


def data_of(page: str) -> Any:
    return json.loads(re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)[0])


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "train <2>"
    folder.mkdir()
    (folder / "summary.json").write_text(json.dumps(SUMMARY))
    (folder / "results.csv").write_text(RESULTS)
    for name in ("results.png", "val_batch0.jpg", "val_batch0_pred.jpg", "labels.jpg"):
        cv2.imwrite(str(folder / name), np.zeros((8, 8, 3), np.uint8))
    return folder


def test_page_shows_numbers_classes_pictures_and_settings(run):
    path = write_page(run)
    page = path.read_text()
    text = text_of(page)
    assert path == run / "report.html"
    assert "0.4124" in text
    assert "COCO: 101 recall levels" in text
    assert "0.4124 beats 0.4 of epoch 1 & more" in text
    assert "early stopped · epochs: 3 · 1 h 10 min" in text
    assert "No better epoch in 2." in text
    assert "abc123" in text
    assert page.index(">dog<") < page.index("&lt;script&gt;") < page.index(">cat<"), "sorted by AP, NaN last"
    assert tags(page).count("img") == 1, "the labels; what curves and matrix show is drawn from data"
    assert re.search(r"<tr>\s*<td><code>epochs</code></td><td>3</td>\s*<td>100</td>", page)
    assert re.search(r'<tr class="as-default">\s*<td><code>imgsz</code>', page)
    assert re.search(r'<tr class="best"><td>2</td>', page)


def test_where_a_setting_came_from_is_what_settings_yaml_says(run):
    (run / "settings.yaml").write_text("epochs: 3  # given\nimgsz: 640  # default\nlr0: 0.1  # from <b>.yaml\n")
    page = write_page(run).read_text()
    assert re.search(r"<td><code>epochs</code></td><td>3</td>\s*<td>100</td>\s*<td>given</td>", page)
    assert re.search(r"<td><code>lr0</code></td><td>0.1</td>\s*<td>None</td>\s*<td>from &lt;b&gt;.yaml</td>", page)
    (run / "settings.yaml").write_text("[")
    assert "<code>epochs</code>" in write_page(run).read_text()


def test_the_data_of_the_curves_are_those_of_the_table(run):
    curves = data_of(write_page(run).read_text())["curves"]
    assert curves["epochs"] == [1, 2, 3]
    assert curves["losses"]["box"] == {"train": [3.0, 2.5, None], "val": [None, 2.7, None]}
    assert curves["metrics"]["map50"] == [0.1, 0.6, None]
    assert (curves["best"], curves["interval"], curves["tied"], curves["seams"]) == (2, None, [], [])


def test_page_asks_nobody_for_anything(run):
    page = write_page(run).read_text()
    assert "default-src 'none'" in page
    bare = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert "http" not in re.sub(r"base64,[^\"]*|http-equiv", "", bare)
    assert not re.search(r'(?:src|href)="(?!data:|#)', bare)
    assert not re.search(r"url\(|@import", bare)


CERTAINTY = {
    "text": "Fitness 0.4124 ± 0.0100 & more.",
    "resamples": 500,
    "fitness": {"value": 0.41239, "standard_error": 0.01, "low": 0.39, "high": 0.43},
    "epochs": [
        {
            "epoch": 2,
            "fitness": {"value": 0.41239, "standard_error": 0.01},
            "ahead": {"value": 0.0, "standard_error": 0.0, "low": 0.0, "high": 0.0},
            "tied": True,
        },
        {
            "epoch": 3,
            "fitness": {"value": 0.40001, "standard_error": 0.011},
            "ahead": {"value": 0.0111, "standard_error": 0.0222, "low": -0.0333, "high": None},
            "tied": True,
        },
    ],
}


def test_how_sure_the_best_is_stands_with_the_epochs_that_compete(run):
    (run / "summary.json").write_text(json.dumps({**SUMMARY, "certainty": CERTAINTY}))
    page = write_page(run).read_text()
    tags(page)
    section = page.partition('<section id="how-sure">')[2].partition("</section>")[0]
    assert "0.4124 ± 0.0100 &amp; more." in section
    curves = data_of(page)["curves"]
    assert (curves["interval"], curves["tied"]) == ([0.39, 0.43], [3])
    best, other = re.findall(r"<tr[^>]*>(.*?)</tr>", section, re.DOTALL)[1:]
    cells = [re.findall(r"<td>(.*?)</td>", unescape(row)) for row in (best, other)]
    assert cells[0] == ["2", "0.4124", "0.0100", "", "", "", "best"]
    assert cells[1] == ["3", "0.4000", "0.0110", "0.0111", "0.0222", "-0.0333 to –", "can't be told from it"]


def test_a_run_that_says_nothing_of_how_sure_it_is_has_no_such_section(run):
    assert "How sure" not in text_of(write_page(run).read_text())


def test_page_of_an_empty_folder(tmp_path):
    page = write_page(tmp_path).read_text()
    tags(page)
    assert "No epoch is best" in text_of(page)
    assert "<table" not in page
    assert data_of(page)["curves"]["epochs"] == []


def test_page_of_a_run_without_validation(run):
    summary = {**SUMMARY, "best": None}
    (run / "summary.json").write_text(json.dumps(summary))
    page = write_page(run).read_text()
    assert "none was validated" in text_of(page)
    assert 'class="best"' not in page


def test_a_damaged_summary_is_named(run):
    (run / "summary.json").write_text("{")
    with pytest.raises(MachineError, match=r"summary\.json is damaged"):
        write_page(run)


def test_page_of_what_the_record_room_writes(tmp_path, make_history):
    run = make_history(4)
    told = summary.summarise(
        run,
        best_epoch=2,
        best_reason="fitness 0.3 beats 0.2 of epoch 2",
        outcome="finished",
        text="All 4 epochs are done.",
        certainty=None,
        coco=None,
        averaging=None,
        fitness="map50_95",
        protocol="COCO",
        names=("a", "b"),
        settings={"data": "shapes", "epochs": 4},
        weights_bytes=7,
        data={"train": "f00d"},
        versions={"torch": "2.13.0"},
        digests={"everything": "beef"},
    )
    (tmp_path / "summary.json").write_text(summary.render(told))
    (tmp_path / "results.csv").write_text(results_csv.render(run, best_epoch=2))
    page = write_page(tmp_path).read_text()
    assert run.records[2].metrics is not None
    assert f"{run.records[2].metrics['map50_95']:.4f}" in page
    assert re.search(r'<tr class="best"><td>3</td>', page)
    for words in ("fitness 0.3 beats", "All 4 epochs", "f00d", "beef", "2.13.0", "shapes"):
        assert words in page


WEIGHTS = PlannedPart("weights", "carried over", "bit for bit")
JUMP = PlannedPart("learning rate", "changed", "0.01 -> 0.1 <b>", "losses up & up", dangerous=True)
FOUND = Continuity("broken", "Broken: <box> of epoch 9.", (), (Cause("rate jump", "it went <up>", "lr0=0.01", 0.9),))


def resumes(page: str) -> str:
    return page.partition('<section id="story">')[2].partition("</section>")[0]


def test_each_resume_is_shown_with_its_changes_and_its_verdict(run):
    tell = Journal(run / "journal.jsonl")
    tell(ResumePlanned(run, ChangePlan((), (WEIGHTS,), ()), Position(4, 64)))
    tell(SeamJudged(Continuity("continuous", "Epochs 5 to 7 follow."), 6))
    tell(Notice("not for the page"))
    tell(ResumePlanned(run, ChangePlan(("lr0: 0.01 -> 0.1",), (WEIGHTS, JUMP), ("lr0 was <set>",)), Position(8)))
    tell(SeamJudged(FOUND, 8))
    tell(ResumePlanned(run, ChangePlan(("workers: 2 -> 4",), (WEIGHTS,), ()), Position(9, 128, "validate")))
    page = write_page(run).read_text()
    tags(page)
    assert "not for the page" not in page
    first, second, third = re.findall(
        r"<tr>.*?</tr>", resumes(page).partition("<tbody>")[2].partition("</tbody>")[0], re.S
    )
    assert "in epoch 5 after 64 images" in first
    assert "nothing" in first
    assert "bit for bit the run without the stop" in first
    assert "Epochs 5 to 7 follow." in first
    assert "after epoch 8" in second
    assert "lr0: 0.01 -&gt; 0.1" in second
    assert "not bit for bit: lr0 was &lt;set&gt;" in second
    assert '<span class="broken">Broken: &lt;box&gt; of epoch 9.</span>' in second
    assert "rate jump: it went <up> Remedy: lr0=0.01" in " ".join(text_of(second.replace("<br>", " ")).split())
    assert "at the validation of epoch 10" in third
    assert "workers: 2 -&gt; 4" in third
    assert "<td>–</td>" in third, "not judged yet"
    assert resumes(page).count("<details>") == 1, "parts are listed where something became of them"
    assert "losses up &amp; up" in resumes(page)
    assert "!&nbsp;learning rate" in resumes(page)
    assert "Grey" not in text_of(page)
    assert data_of(page)["curves"]["seams"] == [5, 9, 10]


def test_a_resume_that_another_went_back_before_is_grey(run):
    tell = Journal(run / "journal.jsonl")
    tell(ResumePlanned(run, ChangePlan((), (WEIGHTS,), ()), Position(4, 64)))
    mark_superseded(run / "journal.jsonl", Position(3))
    tell(ResumePlanned(run, ChangePlan((), (WEIGHTS,), ()), Position(3)))
    page = write_page(run).read_text()
    assert page.count('<tr class="gone">') == 1
    assert page.index("in epoch 5 after 64") < page.index("after epoch 3") < page.index(">Grey:")
    assert data_of(page)["curves"]["seams"] == [4]


def test_a_run_without_a_resume_and_a_journal_of_another_make(run):
    Journal(run / "journal.jsonl")(Notice("only this"))
    assert "Resumes" not in text_of(write_page(run).read_text())
    odd = {"event": "ResumePlanned", "at": 3, "epoch": "x", "plan": {"changes": 4, "parts": [1, {}]}}
    judged = {"event": "SeamJudged", "verdict": {"causes": ["a", {}]}}
    (run / "journal.jsonl").write_text(f'{json.dumps(judged)}\n{json.dumps(odd)}\n{json.dumps(judged)}\n{{"cut')
    tags(write_page(run).read_text())
