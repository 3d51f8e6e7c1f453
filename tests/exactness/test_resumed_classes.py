"""A run with chosen classes goes on exactly; other classes at a resume are other data."""

from __future__ import annotations

from dataclasses import replace

from peakmark import YOLO
from peakmark.checkpoint.digest import everything
from peakmark.checkpoint.reader import read
from peakmark.checkpoint.writer import save
from peakmark.events import EpochEnded, MicrobatchDone


def _ignore(event: object) -> None:
    pass


def test_another_choice_at_a_resume_is_told_like_other_data(train, stop_at):
    run = train(epochs=3, observer=stop_at(EpochEnded, 1)).save_dir
    plan = YOLO().plan_resume(run, classes="red").plan
    (data,) = (part for part in plan.parts if part.part == "training data")
    assert data.why.startswith("classes: None -> [1]: other images or labels, from ")
    (best,) = (part for part in plan.parts if part.part == "best epoch")
    assert (best.fate, "classes: None -> [1]" in best.why) == ("re-initialised", True)
    assert any(change.startswith("classes: None -> [1]") for change in plan.changes)
    assert any(change.startswith("train data: ") for change in plan.changes)
    assert not any("what is measured" in change for change in plan.changes)
    results = YOLO().resume(run, classes="red", observer=_ignore)
    segments = read(results.last).history.segments
    assert [segment.settings.get("classes") for segment in segments] == [None, [1]]
    assert results.evaluation is not None
    assert results.evaluation.truths_per_class[0] == 0
    # With nothing changed it goes on with them; None is all of them again.
    assert YOLO().plan_resume(run, epochs=4).plan.changes == ("epochs: 3 -> 4",)
    assert "classes: [1] -> None" in YOLO().plan_resume(run, epochs=4, classes=None).plan.changes


def test_a_run_with_chosen_classes_goes_on_exactly(train, stop_at, facts):
    whole = train(epochs=3, classes=[1]).save_dir
    stopped = train(epochs=3, classes=["red"], observer=stop_at(MicrobatchDone, 4)).save_dir
    YOLO().resume(stopped, observer=_ignore)
    assert facts(stopped) == facts(whole)


def test_a_run_from_before_there_was_a_choice_goes_on_to_its_own_digest(train, stop_at, facts):
    whole = train(epochs=3).save_dir
    old = train(epochs=3, observer=stop_at(MicrobatchDone, 4)).save_dir
    last = read(old / "weights/last.pt")
    without = {name: value for name, value in last.settings.items() if name != "classes"}
    assert everything(replace(last, settings=without)) == everything(last)
    save(replace(last, settings=without), old / "weights/last.pt")
    text = (old / "settings.yaml").read_text()
    (old / "settings.yaml").write_text(
        "".join(line for line in text.splitlines(True) if not line.startswith("classes"))
    )
    plan = YOLO().plan_resume(old).plan
    assert (plan.changes, plan.inexact) == ((), ())
    YOLO().resume(old, observer=_ignore)
    assert facts(old) == facts(whole)
