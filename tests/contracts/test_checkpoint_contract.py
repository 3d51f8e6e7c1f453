"""The checkpoint format is frozen: a file of any version reads the same for ever, by us and by hand."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
import torch

from peakmark.checkpoint.format import FORMAT_VERSION, to_plain
from peakmark.checkpoint.reader import describe, read
from peakmark.nouns.losses import Losses

FOLDER = Path(__file__).parent / "golden"
GOLDEN = FOLDER / f"checkpoint-{FORMAT_VERSION}.pt"
"""Beside each lies, as .json, what `describe` said of it, with its digests, when its version was the newest. A change
in the newest one is a change of the format: it needs a new version."""
FIRST = FOLDER / "checkpoint-1.pt"
EVERY = [FOLDER / f"checkpoint-{version}.pt" for version in range(1, FORMAT_VERSION + 1)]
ADDED_SETTINGS: dict[int, dict[str, object]] = {
    1: {},
    2: {},
    3: {"min_delta": 0.0, "stop_phase": "now"},
    4: {"compile": False},
    5: {"conf": 0.001, "iou": 0.7, "max_det": 300},
    6: {"cutmix": 0.0},
    7: {},
}
"""Those that a version brought, as every run before was; some runs of version 5 have cutmix already."""
ADDED_ARITHMETIC: dict[int, dict[str, object]] = {
    4: {"compiled": False, "augmentation": "opencv"},
    7: {"statistics": "in place"},
}
"""What a version says of it that none before it did, as every run before was."""
DOCUMENT = Path(__file__).parents[2] / "docs" / "checkpoint-format.md"


def added_since(version: int) -> dict[str, object]:
    return {
        name: value for later in range(version + 1, FORMAT_VERSION + 1) for name, value in ADDED_SETTINGS[later].items()
    }


def arithmetic_since(version: int) -> dict[str, object]:
    return {name: value for later, said in ADDED_ARITHMETIC.items() if later > version for name, value in said.items()}


def test_the_golden_file_reads_as_it_always_did():
    described = json.loads(json.dumps(describe(GOLDEN, read(GOLDEN))))
    assert described.pop("file") == str(GOLDEN)
    # NaN is not equal to itself; as text it is.
    assert json.dumps(described, indent=2) + "\n" == GOLDEN.with_suffix(".json").read_text()


@pytest.mark.parametrize("file", EVERY[:-1], ids=lambda file: file.stem)
def test_a_file_of_an_earlier_version_still_says_what_it_said(file):
    said, now = json.loads(file.with_suffix(".json").read_text()), describe(file, read(file))
    # It covers segments and settings, of which an earlier version says less; the weights' own digests stay.
    del said["digests"]["everything"], now["digests"]["everything"]
    added = added_since(int(file.stem[-1]))
    assert {name: now["settings"].pop(name) for name in added} == added
    arithmetic = arithmetic_since(int(file.stem[-1]))
    assert {name: now["arithmetic"].pop(name) for name in arithmetic} == arithmetic
    assert {name: json.dumps(now[name]) for name in said} == {name: json.dumps(value) for name, value in said.items()}


def test_of_a_file_of_version_1_nothing_is_changed_and_the_segment_is_completed():
    by_hand, checkpoint = torch.load(FIRST, weights_only=True), read(FIRST)
    plain = to_plain(checkpoint)
    (segment,) = plain["history"].pop("segments")
    (as_it_was,) = by_hand["history"].pop("segments")
    changed = {key for key in plain if repr(plain[key]) != repr(by_hand[key])}
    assert changed == {"format_version", "settings", "result_settings", "arithmetic"}
    assert plain["arithmetic"] == {**by_hand["arithmetic"], **arithmetic_since(1)}
    assert plain["settings"] == {**by_hand["settings"], **added_since(1)}
    assert {name: segment["settings"].pop(name) for name in added_since(1)} == added_since(1)
    assert {key: segment.pop(key) for key in as_it_was} == as_it_was
    assert segment == {
        # AdamW's, by the rule for short runs: 0.002 * 5 / (4 + 2 classes).
        "recipe": {
            "optimizer": "AdamW",
            "lr0": 0.01,
            "momentum": 0.9,
            "warmup_bias_lr": 0.0,
            "weight_decay": 0.0005,
            "nbs": 64,
            "close_mosaic": 10,
            "why": "auto: about 3 updates, under 10000",
            "version": 1,
        },
        "horizon": 3,
        "comparable": "no validation data, 32 px, COCO: 10 IoU thresholds 0.50 to 0.95, 101 recall levels, "
        "100 detections per image and class",
        "rewarm_epochs": 0.0,
        "until": None,
        "gone": [],
    }
    assert checkpoint.history.records[1].train == Losses(2.5, 3.5, 1.5)


@pytest.mark.parametrize("file", EVERY, ids=lambda file: file.stem)
def test_by_hand_as_the_field_does_it(file):
    checkpoint = torch.load(file, weights_only=True)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 2, bias=False), torch.nn.BatchNorm2d(2))
    module.load_state_dict(checkpoint["model"])
    optimizer = torch.optim.AdamW(module.parameters())
    optimizer.load_state_dict(checkpoint["optimizer"])
    assert checkpoint["epoch"] == 1
    assert checkpoint["best_fitness"] == 0.25
    assert checkpoint["settings"]["epochs"] == 3
    assert checkpoint["format"] == "peakmark"
    assert f"checkpoint-{checkpoint['format_version']}" == file.stem


@pytest.mark.parametrize("file", EVERY, ids=lambda file: file.stem)
def test_its_digest_can_be_worked_out_without_us(file):
    content = file.read_bytes()
    assert len(content) < 20_000
    assert content[-80:-64] == b"peakmark-sha256:"
    assert content[-64:].decode() == hashlib.sha256(content[:-64]).hexdigest()


def test_no_key_was_lost_or_added_in_silence():
    assert to_plain(read(GOLDEN)).keys() == torch.load(GOLDEN, weights_only=True).keys()


def test_today_s_files_have_the_golden_file_s_keys(tiny_checkpoint):
    today, golden = to_plain(tiny_checkpoint), torch.load(GOLDEN, weights_only=True)
    assert today.keys() == golden.keys()
    for kind in ("records", "segments"):
        assert today["history"][kind][-1].keys() == golden["history"][kind][-1].keys()


def test_the_document_names_every_key():
    if not DOCUMENT.exists():
        pytest.skip("the documents are not beside the tests here")
    golden = torch.load(GOLDEN, weights_only=True)
    named = set(re.findall(r"^\| `(\w+)`", DOCUMENT.read_text(), flags=re.MULTILINE))
    assert named == set(golden) | set(golden["history"]["segments"][0])
