"""A name that looks like HTML, like an attribute or like a template is text, wherever on a page it stands."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.unit.evaluate.test_matching import BOX, detections_of, truths_of

from peakmark.api.model.results import ValResults
from peakmark.data.audit.findings import Example, Shown, finding
from peakmark.deploy.boxes import Boxes
from peakmark.deploy.frames import Origin
from peakmark.deploy.results import Results, ResultsList
from peakmark.evaluate.matching import match
from peakmark.evaluate.metrics import evaluation_from
from peakmark.evaluate.validator import Validated
from peakmark.events import ResumePlanned, SeamJudged
from peakmark.nouns.gallery import Gallery, GalleryImage
from peakmark.nouns.resume import Cause, ChangePlan, Continuity, PlannedPart
from peakmark.nouns.run import History, Position
from peakmark.record.comparison import ComparedRun, Comparison, Difference, Measured, SeedGroup
from peakmark.record.journal import Journal
from peakmark.report.pages.audit_page import write_audit_page
from peakmark.report.pages.comparison_curves import RunCurves
from peakmark.report.pages.comparison_page import write_comparison_page
from peakmark.report.pages.page import write_page
from peakmark.report.pages.validation_page import write_validation_page

PLAIN = "plain"
HOSTILE = (
    "</p></title></style><script>alert(1)</script>",
    "\" onload=\"alert(1)\" ' onload='alert(1)' x=`y",
    "&lt;b&gt; &amp; &#60;b> <!-- --> ]]>",
    "{{ 7 * 7 }}{% raw %}{# 3 #}",
    "👩‍🚀 猫 ñ",
)


class Events(HTMLParser):
    """What a browser would make of a page: elements with their attributes, and text."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self._is_json = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._is_json = ("type", "application/json") in attrs
        self.seen.append(f"<{tag}")
        self.seen += [f"{name}={read_back(value) if name == 'data-t-values' else value}" for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        self.seen.append(f"</{tag}")

    def handle_data(self, data: str) -> None:
        self.seen.append(read_back(data) if self._is_json and data.strip() else data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def read_back(text: str | None) -> str:
    """What a script makes of JSON in a page, with its texts as they are."""
    return "\1".join(values_of(json.loads(text or "null")))


def values_of(value: object) -> list[str]:
    if isinstance(value, dict):
        return [each for key, item in value.items() for each in (key, *values_of(item))]
    return [each for item in value for each in values_of(item)] if isinstance(value, list) else [str(value)]


def events(page: str, name: str) -> list[str]:
    """Without the times of resumes, and with `name` as another."""
    parser = Events()
    parser.feed(page)
    parser.close()
    said = "\0".join(each for each in parser.seen if not each.endswith(" UTC"))
    # A verdict's kind is a class, where a space would end it; a file's name has no slash, and a digest 16 digits.
    for form in (name, name.replace(" ", "-"), in_path(name), name[:16]):
        said = said.replace(form, PLAIN)
    return said.split("\0")


def in_path(name: str) -> str:
    return name.replace("/", "")


def run_page(folder: Path, name: str) -> str:
    folder.mkdir(parents=True)
    certain = {"text": name, "resamples": name, "epochs": [{"epoch": name}]}
    best = {"epoch": name, "reason": name, "per_class": {"map50_95": [0.5]}}
    values: Mapping[str, object] = {
        "outcome": name, "epochs": name, "text": name, "protocol": name, "fitness": name, "names": [name],
        "coco": {name: 0.5}, "best": best, "certainty": certain, "averaging": {"text": name},
        "settings": {"data": name, "name": name}, "versions": {name: name},
    }  # fmt: skip
    (folder / "summary.json").write_text(json.dumps(values))
    tell = Journal(folder / "journal.jsonl")
    parts = (PlannedPart(name, "changed", name, name), PlannedPart(name, "changed", name, name, dangerous=True))
    tell(ResumePlanned(folder, ChangePlan((name, name), parts, (name,)), Position(4, 64)))
    tell(SeamJudged(Continuity("broken", name, (), (Cause(name, name, name, 0.9),)), 8))
    judged = {"event": "SeamJudged", "verdict": {"kind": name, "text": name}}
    with (folder / "journal.jsonl").open("a") as journal:
        journal.write(json.dumps({"event": "ResumePlanned"}) + "\n" + json.dumps(judged) + "\n")
    return write_page(folder).read_text().replace(str(folder), "")


def audit_page(folder: Path, name: str) -> str:
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "a.png"), np.full((30, 40, 3), 90, np.uint8))
    found = finding("doubled box", "low", name, name, [Example(name, (Shown("train", folder / "a.png"),))], 9)
    write_audit_page(folder, name, [found], {name: (3, 5)}, (PLAIN,), 120_000)
    return (folder / "audit.html").read_text()


def comparison_page(folder: Path, name: str) -> str:
    folder.mkdir(parents=True)
    lead = Measured(0.021, 0.006, 0.009, 0.033)
    run = ComparedRun(
        name=name, folder=Path(), state=name, epochs=30, best_epoch=29, fitness=0.45, metrics={"map50_95": 0.45},
        per_class=dict.fromkeys(("map50_95", "map50", "precision", "recall"), (0.5,)), classes=(name,),
        measured={"map50_95": lead}, behind={"map50_95": lead}, tied=True, digests={name: name}, notes=(name,),
    )  # fmt: skip
    shown = Comparison(
        text=name, ranked=True, fitness=name, fitness_in_words=name, protocol=name, images=87, runs=(run, run),
        settings=(Difference(name, (name, name), (True, False)),), surroundings=(Difference(name, (name, name)),),
        seeds=(SeedGroup(name, (name, name), 0.45, 0.01, lead),), sameness=(name,), notes=(name,),
    )  # fmt: skip
    write_comparison_page(folder, shown, [RunCurves(name, History(), None)] * 2)
    return (folder / "compare.html").read_text()


def val_page(folder: Path, name: str) -> str:
    folder.mkdir(parents=True)
    evidence = match(truths_of((0, 0, BOX)), detections_of((0, 0, BOX, 0.95)), images=1, classes=1)
    found = dataclasses.replace(evaluation_from(evidence, (name,)), protocol=name, coco={name: 0.5})
    image = GalleryImage(name, 9, 9, b"", {}, [(0, 0, 9, 9)], [0], [], 0)
    gallery = Gallery(None, name, 1, 0, 0.5, None, {}, {}, [image])
    return write_validation_page(
        folder, Validated(found, evidence), gallery, model=name, data=name, split=name
    ).read_text()


@pytest.mark.parametrize("page", [run_page, audit_page, comparison_page, val_page], ids=lambda page: page.__name__)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_page_has_the_same_elements_whatever_things_are_called(page, name, tmp_path):
    said = events(page(tmp_path / "hostile/run", name), name)
    assert said == events(page(tmp_path / "plain/run", PLAIN), PLAIN)


@pytest.mark.parametrize("name", HOSTILE)
def test_so_has_what_a_notebook_shows(name, make_evaluation):
    def shown(name: str) -> list[str]:
        found = dataclasses.replace(make_evaluation((name, name)), protocol=name)
        validated = ValResults(
            save_dir=Path(in_path(name)), names=dict(enumerate(found.names)), metrics=found.metrics,
            per_class=found.per_class, fitness=None, evaluation=found, speed={},
        )  # fmt: skip
        box = Boxes(np.array([[0, 0, 9, 9, 0.9, 0]], np.float32), (10, 10))
        predicted = Results(np.zeros((10, 10, 3), np.uint8), box, {0: PLAIN}, Origin(in_path(name), None, 0, 1), {})
        return events(validated._repr_html_() + ResultsList([predicted])._repr_html_(), name)

    assert shown(name) == shown(PLAIN)
