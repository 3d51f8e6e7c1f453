"""The checkpoint format is frozen: a file of version 1 reads the same for ever, by us and by hand."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
import torch

from peakmark.checkpoint.format import to_plain
from peakmark.checkpoint.reader import describe, read

GOLDEN = Path(__file__).parent / "golden" / "checkpoint-1.pt"
DESCRIBED = GOLDEN.with_suffix(".json")
"""What `describe` says of it, with its digests. A change here is a change of the format: it needs a new version."""
DOCUMENT = Path(__file__).parents[2] / "docs" / "checkpoint-format.md"


def test_the_golden_file_reads_as_it_always_did():
    described = json.loads(json.dumps(describe(GOLDEN, read(GOLDEN))))
    assert described.pop("file") == str(GOLDEN)
    # NaN is not equal to itself; as text it is.
    assert json.dumps(described, indent=2) + "\n" == DESCRIBED.read_text()


def test_by_hand_as_the_field_does_it():
    checkpoint = torch.load(GOLDEN, weights_only=True)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 2, bias=False), torch.nn.BatchNorm2d(2))
    module.load_state_dict(checkpoint["model"])
    optimizer = torch.optim.AdamW(module.parameters())
    optimizer.load_state_dict(checkpoint["optimizer"])
    assert checkpoint["epoch"] == 1
    assert checkpoint["best_fitness"] == 0.25
    assert checkpoint["settings"]["epochs"] == 3
    assert checkpoint["format"] == "peakmark"
    assert checkpoint["format_version"] == 1


def test_its_digest_can_be_worked_out_without_us():
    content = GOLDEN.read_bytes()
    assert len(content) < 20_000
    assert content[-80:-64] == b"peakmark-sha256:"
    assert content[-64:].decode() == hashlib.sha256(content[:-64]).hexdigest()


def test_no_key_was_lost_or_added_in_silence():
    assert to_plain(read(GOLDEN)).keys() == torch.load(GOLDEN, weights_only=True).keys()


def test_today_s_files_have_the_golden_file_s_keys(tiny_checkpoint):
    assert to_plain(tiny_checkpoint).keys() == torch.load(GOLDEN, weights_only=True).keys()


def test_the_document_names_every_key():
    if not DOCUMENT.exists():
        pytest.skip("the documents are not beside the tests here")
    named = set(re.findall(r"^\| `(\w+)`", DOCUMENT.read_text(), flags=re.MULTILINE))
    assert named == set(torch.load(GOLDEN, weights_only=True))
