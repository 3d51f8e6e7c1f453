"""May a file take the place of the copy that lies there?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from peakmark.errors import MachineError
from peakmark.nouns.run import History
from peakmark.release.manifest import Manifest, copy_decision, from_bytes, identity_of, to_bytes

THERE = Manifest("train", "0123456789ab", "best.pt", epoch=5, segment=1, sha256="aa", size_bytes=10)


@pytest.mark.parametrize(
    ("there", "new", "decision"),
    [
        (None, THERE, "copy"),
        (THERE, THERE, "same"),
        (THERE, replace(THERE, epoch=6, sha256="bb"), "copy"),
        (THERE, replace(THERE, epoch=4, sha256="bb"), "older"),
        # The epoch was trained again, bit for bit the same, but for its times.
        (THERE, replace(THERE, sha256="bb"), "copy"),
        # Chosen under another fitness: an earlier epoch, and the newer best.
        (THERE, replace(THERE, segment=2, epoch=3, sha256="bb"), "copy"),
        (THERE, replace(THERE, segment=0, epoch=9, sha256="bb"), "older"),
        (THERE, replace(THERE, identity="f" * 12, epoch=9, sha256="bb"), "another run's"),
        # A place that was asked before any epoch was best.
        (replace(THERE, epoch=0, segment=0, sha256=""), replace(THERE, epoch=1, segment=0), "copy"),
        (THERE, replace(THERE, epoch=0, sha256=""), "same"),
        (THERE, replace(THERE, identity="f" * 12, epoch=0, sha256=""), "another run's"),
    ],
)
def test_which_file_may_take_its_place(there, new, decision):
    assert copy_decision(there, new) == decision


def test_a_manifest_reads_back():
    assert from_bytes(to_bytes(THERE), "here") == THERE


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"{}", to_bytes(THERE).replace(b'_version": 1', b'_version": 2'),
     to_bytes(THERE).replace(b"5,", b'"5",')],
)  # fmt: skip
def test_what_cannot_be_understood_is_refused_and_not_written_over(content):
    with pytest.raises(MachineError, match=r"here: its backup.json can't be understood"):
        from_bytes(content, "here")


def test_a_run_keeps_its_identity_and_a_branch_gets_its_own(segment_of):
    from peakmark.settings.fields import Settings
    from peakmark.settings.parse import parse

    first = segment_of(parse(Settings, {"data": "d"}).settings)
    other = segment_of(parse(Settings, {"data": "d", "seed": 1}).settings)
    began = {"created_at": "2026-01-02T03:04:05+00:00", "lineage": []}
    resume = {"at": "2026-01-03T00:00:00+00:00", "parent": "aa", "branch": False}
    own = identity_of(began, History((), (first,)))
    assert identity_of({**began, "lineage": [resume]}, History((), (first, other))) == own
    assert identity_of({**began, "lineage": [{**resume, "branch": True}]}, History((), (first,))) != own
    assert identity_of({**began, "created_at": "2026-01-02T03:04:06+00:00"}, History((), (first,))) != own
    assert identity_of(began, History((), (other,))) != own, "of a sweep over seeds that starts in one second"
