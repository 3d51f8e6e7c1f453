"""Does a model card say what is known, and nothing that a reader would take for markup?"""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from peakmark.release.card import Subject, card
from peakmark.settings.fields import Settings
from peakmark.settings.parse import parse
from peakmark.settings.plain import to_plain

ESTIMATE = {"value": 0.5, "standard_error": 0.02, "low": 0.46, "high": 0.54}
METRICS = {"map50_95": 0.5, "map50": 0.75, "precision": 0.8, "recall": None}


@pytest.fixture
def subject():
    summary = {
        "best": {
            "epoch": 4, "metrics": METRICS,
            "per_class": {name: [0.25, None] for name in ("map50_95", "map50", "precision", "recall")},
        },
        "certainty": {
            "metrics": dict.fromkeys(METRICS, ESTIMATE), "text": "Epoch 4 is ahead.",
            "corrected": {**ESTIMATE, "value": 0.49},
        },
        "fitness": "map50_95: mAP50-95", "protocol": "COCO", "names": ["cat", "a|b <i>"], "epochs": 9,
        "segments": [{"epoch": 1, "images": 0, "reason": "start"}],
    }  # fmt: skip
    provenance = {
        "versions": {"peakmark": "0.1.0", "torch": "2.13.0"}, "created_at": "2026-01-02T03:04:05+00:00",
        "data": {"train": "aa", "train_images": 80, "val": "bb", "val_images": 20},
        "lineage": [
            {"at": "2026-01-03", "branch": True, "epoch": 2, "changes": ["lr0: 0.01 -> 0.001"], "parent": "cc"}
        ],
    }  # fmt: skip
    settings = to_plain(
        parse(Settings, {"data": "d.yaml", "epochs": 9, "workers": 3, "pretrained": "coco.pt"}).settings
    )
    return Subject("parts", "v2", "Apache-2.0", summary, provenance, "yolov8n", "dd", settings, whole=False)


def test_it_says_what_is_known(subject):
    text = card(subject)
    for line in (
        "# parts v2", "| mAP50-95 | 0.5000 | 0.4600 to 0.5400 |", "| cat | 0.2500 | 0.2500 | 0.2500 | 0.2500 |",
        "| val | 20 | `bb` |", "| epochs | 9 | 100 |", "- 2026-01-03: branched off in epoch 3, with lr0: 0.01 ->"
        " 0.001. State before: `cc`.", "- Begun 2026-01-02T03:04:05+00:00 from coco.pt.", "Epoch 4 is ahead.",
    ):  # fmt: skip
        assert line in text.splitlines(), line
    assert "its fitness is 0.4900" in text
    assert "| recall | - |" in text
    assert "stripped" in text
    assert "workers" not in text, "how fast it went says nothing of the model"


def test_its_head_is_yaml_whatever_the_licence_is_called(subject):
    odd = 'mine: "all" # \\ rights'
    head = card(replace(subject, license=odd)).split("---\n")[1]
    assert yaml.safe_load(head)["license"] == odd
    assert "license" not in yaml.safe_load(card(replace(subject, license=None)).split("---\n")[1])
    assert "None was named" in card(replace(subject, license=None))


def test_a_class_name_breaks_no_table(subject):
    (row,) = (line for line in card(subject).splitlines() if line.startswith("| a"))
    assert row.replace("\\|", "").count("|") == 6
    assert "\\<i>" in row


def test_without_evidence_it_says_so(subject):
    text = card(replace(subject, summary={**subject.summary, "certainty": None}))
    assert "| mAP50-95 | 0.5000 | not known |" in text
    assert "left no evidence" in text
