"""What a run's folder tells after it was killed, resumed and changed: nothing is lost and nothing told twice."""

from __future__ import annotations

import json
import re
from pathlib import Path

from peakmark import YOLO
from peakmark.record.journal import read
from peakmark.record.settings_yaml import read_origins
from peakmark.report.pages.page import write_page


def kinds(folder: Path, *, superseded: bool) -> list[tuple[str, int]]:
    return [
        (told["event"], told["epoch"])
        for told in read(folder / "journal.jsonl")
        if bool(told.get("superseded")) == superseded
    ]


def test_a_run_that_was_killed_and_then_changed_tells_all_of_it(train):
    run = train(epochs=3, save_period=1, keep=1).save_dir
    # As a kill leaves it that comes before the state after epoch 2 is on the disk.
    (run / "weights" / "epoch1.pt").replace(run / "weights" / "last.pt")
    for later in ("best.pt", "epoch2.pt", "epoch3.pt"):
        (run / "weights" / later).unlink(missing_ok=True)
    YOLO().resume(run, observer=lambda event: None, epochs=4, lr0=0.002)

    assert kinds(run, superseded=True) == [("EpochEnded", 2), ("EpochEnded", 3), ("RunEnded", 4)]
    assert kinds(run, superseded=False) == [
        ("RunStarted", 1), ("EpochEnded", 1), ("ResumePlanned", 2), ("RunStarted", 2),
        ("EpochEnded", 2), ("EpochEnded", 3), ("EpochEnded", 4), ("SeamJudged", 5), ("RunEnded", 5),
    ]  # fmt: skip
    origins = read_origins(run / "settings.yaml")
    assert origins["epochs"] == "changed at the resume in epoch 2, was 3"
    assert origins["lr0"] == "changed at the resume in epoch 2, was null"
    assert origins["imgsz"] == "given"
    summary = json.loads((run / "summary.json").read_text())
    assert [(part["epoch"], part["images"]) for part in summary["segments"]] == [(1, 0), (2, 0)]
    page = write_page(run).read_text()
    assert '<h2 id="resumes">' in page
    assert "epochs: 3 -&gt; 4" in page
    assert re.search(r"What became of each part</span>\s*after epoch 1<", page)
