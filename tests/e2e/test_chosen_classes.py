"""Do train, val, gate and audit use just the objects that classes= chooses, say so, and go on with it?"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from peakmark import YOLO, audit, gate
from peakmark.checkpoint.reader import read
from peakmark.errors import SettingsError
from peakmark.events import Notice, RunStarted


def _ignore(event: object) -> None:
    pass


def _labels(data, split: str) -> list[list[int]]:
    files = sorted((data.parent / "labels" / split).glob("*.txt"))
    return [[int(line.split()[0]) for line in file.read_text().splitlines()] for file in files]


def _val(model: Any, runs: Any, **settings: Any) -> Any:
    quiet = {"observer": _ignore, "project": runs, "plots": False, "workers": 0}
    return YOLO(model).val(**{**quiet, **settings})


# --- train ----------------------------------------------------------------------------------------------------------


def test_a_training_uses_them_alone_and_says_at_its_start_what_it_leaves_out(train, tiny_data):
    events: list[Any] = []
    results = train(classes=["red"], observer=events.append)
    (started,) = (event for event in events if isinstance(event, RunStarted))
    for split, contents in (("train", started.train_contents), ("val", started.val_contents)):
        images = _labels(tiny_data, split)
        assert contents is not None
        used = sum(kinds.count(1) for kinds in images)
        left_out = sum(kinds.count(0) for kinds in images)
        emptied = sum(bool(kinds) and 1 not in kinds for kinds in images)
        assert (contents.objects, contents.background_by_choice) == (used, emptied)
        note = (
            f"{split}: classes=[1] (red): {used} of {used + left_out} objects are used, the {left_out} of other"
            f" classes are left out; {emptied} images are background by that."
        )
        assert note in started.notes
    last = read(results.last)
    assert (last.names, last.settings["classes"]) == (("light", "red"), [1])
    assert "classes: [1]" in (results.save_dir / "settings.yaml").read_text()
    # Its validations are of that class alone: what the log says, val says again.
    assert results.evaluation.truths_per_class[0] == 0
    assert set(np.flatnonzero(~np.isnan(results.per_class["recall"]))) <= {1}
    again = _val(results.last, results.save_dir)
    assert repr(dict(again.metrics)) == repr(last.metrics)
    assert again.protocol == results.summary["protocol"]
    assert again.protocol.endswith("classes=[1]")


def test_by_name_and_by_number_it_is_the_same_run_and_another_than_with_all(train):
    by_name, by_number, of_all = (train(classes=each, epochs=1) for each in ("red", [1], None))
    assert by_name.summary["digests"] == by_number.summary["digests"]
    assert of_all.summary["digests"]["training_weights"] != by_name.summary["digests"]["training_weights"]


def test_labels_that_somebody_else_took_out_give_the_same_weights(train, write_set, tmp_path):
    """The reference: the same set, with the lines of the other class deleted by hand."""
    data = write_set(tmp_path / "by hand")
    for file in (tmp_path / "by hand/labels").rglob("*.txt"):
        kept = [line for line in file.read_text().splitlines(keepends=True) if line.startswith("1 ")]
        file.write_text("".join(kept))
    by_hand, chosen = train(data=data), train(classes=[1])
    assert by_hand.summary["digests"]["training_weights"] == chosen.summary["digests"]["training_weights"]
    # As numbers of the one class that has truths; detections of the other one are left out in the second only.
    assert by_hand.metrics["map50_95"] == chosen.metrics["map50_95"]


def test_a_setting_that_came_later_is_in_no_digest_while_it_is_at_its_default(train):
    results = train(epochs=1, val=False)
    checkpoint = read(results.last)
    assert checkpoint.settings["classes"] is None
    assert "classes" not in checkpoint.result_settings
    assert "classes" not in checkpoint.history.segments[0].settings
    chosen = read(train(epochs=1, val=False, classes=[0]).last)
    assert "classes" in chosen.result_settings
    assert chosen.history.segments[0].settings["classes"] == [0]


def test_classes_are_chosen_first_and_made_one_then(train, tiny_data):
    results = train(classes=[1], single_cls=True)
    last = read(results.last)
    assert last.names == ("object",)
    red = sum(kinds.count(1) for kinds in _labels(tiny_data, "val"))
    assert results.evaluation.truths_per_class == (red,)
    said: list[Any] = []
    again = _val(results.last, results.save_dir, observer=said.append)
    assert (again.truths, repr(dict(again.metrics))) == (red, repr(last.metrics))
    alarm = "knows one class only"
    assert not [event for event in said if isinstance(event, Notice) and alarm in event.text]
    other = _val(results.last, results.save_dir, classes="light", observer=said.append)
    assert other.truths == sum(kinds.count(0) for kinds in _labels(tiny_data, "val"))
    assert [event for event in said if isinstance(event, Notice) and alarm in event.text]


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ([2], r"classes has 2, and the classes of data=.* are 0 to 1: light, red\."),
        ("rad", r"classes has 'rad', which data=.* doesn't know; the nearest one is 'red'; the classes of"),
        ([], r"classes=\[\] chooses no class"),
    ],
)
def test_classes_that_are_not_there_are_refused_with_those_that_are(train, trained, runs, classes, said):
    for start in (
        lambda: train(classes=classes),
        lambda: _val(trained[0].best, runs, classes=classes),
        lambda: gate(trained[0].best, require="map50>=0", classes=classes),
        lambda: audit(_data_of(trained), project=runs, classes=classes),
    ):
        with pytest.raises(SettingsError, match=said):
            start()
    assert not runs.exists()


def _data_of(trained: Any) -> Any:
    return read(trained[0].best).provenance["data"]["yaml"]


def test_a_choice_that_leaves_nothing_is_refused(train, write_set, tmp_path, runs):
    data = write_set(tmp_path / "set", names=("light", "red", "blue"))
    with pytest.raises(SettingsError, match=r"none of its \d+ objects is of the classes that are chosen") as caught:
        train(data=data, classes="blue")
    assert str(caught.value).count("classes that are chosen") == 2  # of train and of val, at once
    assert not runs.exists()


# --- val and gate ---------------------------------------------------------------------------------------------------


def test_the_figures_of_val_are_those_that_the_classes_have_among_all(trained, runs):
    whole, losses = _val(trained[0].best, runs), []
    for number in (0, 1):
        chosen = _val(trained[0].best, runs, classes=[number], save_json=True, name=f"of{number}")
        for metric in ("map50_95", "map50"):
            assert chosen.per_class[metric][number] == whole.per_class[metric][number] > 0
            # The mean of one, added up in another order.
            assert chosen.metrics[metric] == pytest.approx(whole.per_class[metric][number], rel=1e-12)
            assert math.isnan(chosen.per_class[metric][1 - number])
        assert chosen.truths_per_class[number] == chosen.truths == whole.truths_per_class[number]
        rows = json.loads((runs / f"of{number}/predictions.json").read_text())
        assert {row["category_id"] for row in rows} == {number}
        assert chosen.detections == len(rows) < whole.detections
        assert chosen.images == whole.images
        assert chosen.confusion[1 - number].sum() == 0
        losses.append(chosen.losses)
        assert chosen.protocol == f"{whole.protocol}, classes=[{number}]"
    # No anchor lies in objects of both, so each term of all is the mean of those of the two, by their target scores.
    shares = [
        (getattr(whole.losses, term) - getattr(losses[1], term)) / (getattr(losses[0], term) - getattr(losses[1], term))
        for term in ("box", "cls", "dfl")
    ]
    assert 0 < shares[0] < 1
    assert shares[1:] == pytest.approx([shares[0]] * 2, rel=1e-4)
    both = _val(trained[0].best, runs, classes="light,red")
    assert repr(both.metrics) == repr(whole.metrics)


def test_a_set_without_any_of_them_counts_false_alarms(trained, runs, write_set, tmp_path):
    data = write_set(tmp_path / "set")
    for file in (tmp_path / "set/labels/val").glob("*.txt"):
        file.write_text("".join(line for line in file.read_text().splitlines(keepends=True) if line[0] == "0"))
    said: list[Any] = []
    found = _val(trained[0].best, runs, data=data, classes=[1], observer=said.append)
    assert found.truths == 0
    assert any("all of them false alarms" in event.text for event in said if isinstance(event, Notice))


def test_a_gate_judges_the_chosen_classes_and_refuses_what_asks_for_others(trained):
    whole = gate(trained[0].best, require="map50[red] >= 0")
    chosen = gate(trained[0].best, require="map50 >= 0, map50[red] >= 0", classes="red")
    assert [ruling.value for ruling in chosen.rulings] == pytest.approx([whole.rulings[0].value] * 2, rel=1e-12)
    assert chosen.truths < whole.truths
    with pytest.raises(SettingsError, match=r"map50\[light\] is of a class that classes= leaves out"):
        gate(trained[0].best, require="map50[light] >= 0", classes="red")


# --- audit ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def worn(write_set, tmp_path):
    """A set with a box of two classes, and two equal images of which only the classes of their labels differ."""
    data = write_set(tmp_path / "set", train=12, val=12)
    labels, images = tmp_path / "set/labels/train", tmp_path / "set/images/train"
    (labels / "00.txt").write_text("0 0.5 0.5 0.4 0.4\n1 0.5 0.5 0.4 0.4\n")
    (labels / "02.txt").write_text("0 0.5 0.5 0.4 0.4\n")
    (labels / "copy.txt").write_text("1 0.5 0.5 0.4 0.4\n")
    (images / "copy.png").write_bytes((images / "02.png").read_bytes())
    return data


def test_an_audit_of_all_classes_as_one_finds_nothing_about_classes(worn, runs):
    apart, united = (audit(worn, project=runs, single_cls=single) for single in (False, True))
    kinds = [{found.kind for found in each.findings} for each in (apart, united)]
    assert {"same box, two classes", "equal images, other labels"} <= kinds[0] - kinds[1]
    assert "doubled box" in kinds[1] - kinds[0]
    assert apart.objects == united.objects
    assert apart.fingerprints != united.fingerprints
    written = json.loads((united.folder / "audit.json").read_text())["audit"]
    assert (written["single_cls"], written["classes"]) == (True, ["light", "red"])
    assert "single_cls=True" in (united.folder / "audit.html").read_text()


def test_an_audit_of_one_class_looks_at_its_objects_alone(worn, runs):
    said: list[Any] = []
    whole = audit(worn, project=runs)
    done = audit(worn, project=runs, classes="red", fix="split", observer=said.append)
    assert done.objects == {split: sum(kinds.count(1) for kinds in _labels(worn, split)) for split in ("train", "val")}
    assert done.images == whole.images
    assert done.classes == ("red",)
    assert not {"same box, two classes", "class unused"} & {found.kind for found in done.findings}
    texts = [event.text for event in said if isinstance(event, Notice)]
    assert any(text.startswith("train: classes=[1] (red): ") for text in texts)
    assert any("train on the repaired lists with the same classes=" in text for text in texts)
    assert "classes=[1] (red)" in (done.folder / "audit.html").read_text()


def test_an_audit_tells_the_fingerprints_of_a_training_with_the_same_choice(train, tiny_data, runs):
    for choice in ({"classes": [1]}, {"single_cls": True}, {"classes": [1], "single_cls": True}):
        data = read(train(epochs=1, **choice).last).provenance["data"]
        assert audit(tiny_data, project=runs, **choice).fingerprints == {"train": data["train"], "val": data["val"]}
