"""A run that began when two classes could have the same name goes on; a new one is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from peakmark import YOLO
from peakmark.checkpoint.reader import read
from peakmark.checkpoint.writer import save
from peakmark.errors import DataError, SettingsError
from peakmark.events import MicrobatchDone, Notice, RunStarted

SAME = "Classes 0 and 1 have the same name, 'cell': what began with such names goes on with them"


def _ignore(event: object) -> None:
    pass


@pytest.fixture
def begun_long_ago(train, stop_at, write_set, tmp_path):
    """A run folder whose checkpoint, like its data.yaml, has two equal names, as it could be begun once."""

    def begin(**settings: Any) -> tuple[Path, Path]:
        data = write_set(tmp_path / "set")
        run = train(data=data, epochs=3, observer=stop_at(MicrobatchDone, 4), **settings).save_dir
        for file in (run / "weights").glob("*.pt"):
            save(replace(read(file), names=("cell", "cell")), file)
        data.write_text(data.read_text().replace("[light, red]", "[cell, cell]"))
        return run, data

    return begin


def test_a_run_that_began_with_two_equal_names_goes_on_and_says_so_once(begun_long_ago, train, write_set, tmp_path):
    run, _ = begun_long_ago(plots=True)
    events: list[Any] = []
    results = YOLO().resume(run, observer=events.append)
    assert results.outcome == "finished"
    (started,) = (event for event in events if isinstance(event, RunStarted))
    notes = [*started.notes, *(event.text for event in events if isinstance(event, Notice))]
    assert sum(note.startswith(SAME) for note in notes) == 1
    assert read(results.last).names == ("cell", "cell")
    # The names are no part of what is computed: it is the run that was never stopped, with other names.
    whole = train(data=write_set(tmp_path / "other"), epochs=3)
    for digest in ("model", "training_weights", "optimizer"):
        assert results.summary["digests"][digest] == whole.summary["digests"][digest]
    assert (run / "report.html").exists()


def test_the_model_of_such_a_run_is_validated_and_a_new_run_refused(begun_long_ago, train, runs):
    run, data = begun_long_ago()
    results = YOLO().resume(run, observer=_ignore)
    said: list[Any] = []
    again = YOLO(results.last).val(project=runs, plots=False, observer=said.append)
    assert repr(dict(again.metrics)) == repr(read(results.last).metrics)
    assert sum(event.text.startswith(SAME) for event in said if isinstance(event, Notice)) == 1
    with pytest.raises(DataError, match="classes 0 and 1 have the same name, 'cell': give each a name of its own"):
        train(data=data)


def test_equal_names_that_are_not_the_run_s_own_are_refused(train, stop_at, write_set, tmp_path):
    data = write_set(tmp_path / "set")
    run = train(data=data, epochs=3, observer=stop_at(MicrobatchDone, 4)).save_dir
    data.write_text(data.read_text().replace("[light, red]", "[cell, cell]"))
    with pytest.raises(SettingsError, match="classes light, red -> cell, cell: the head would mean something else"):
        YOLO().resume(run, observer=_ignore)
