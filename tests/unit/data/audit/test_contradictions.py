"""Planted mistakes in labels are what a held-out model contradicts; a model that finds little says little."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from peakmark.data.audit.contradictions import Contradiction, LookedAt, contradictions, findings_of

NAMES = ("cat", "dog")
SIDE_PX = 100
Boxes = list[tuple[int, tuple[float, float, float, float]]]
"""Class and corners in px"""
Found = list[tuple[int, float, tuple[float, float, float, float]]]
"""Class, score and corners in px"""
LEFT, RIGHT, LOW = (10, 10, 40, 40), (60, 10, 90, 40), (30, 60, 60, 90)


def looked_at(name: str, labels: Boxes, found: Found) -> LookedAt:
    corners = np.array([box for _, box in labels], np.float32).reshape(-1, 4)
    sizes = corners[:, 2:] - corners[:, :2]
    return LookedAt(
        Path(f"{name}.png"),
        "fold1",
        SIDE_PX,
        SIDE_PX,
        (np.hstack([corners[:, :2] + sizes / 2, sizes]) / SIDE_PX).astype(np.float32),
        np.array([number for number, _ in labels], np.int64),
        np.array([box for *_, box in found], np.float32).reshape(-1, 4),
        np.array([number for number, *_ in found], np.int64),
        np.array([score for _, score, _ in found], np.float32),
    )


def sound(number: int) -> LookedAt:
    return looked_at(f"sound{number}", [(0, LEFT), (1, RIGHT)], [(0, 0.8, LEFT), (1, 0.7, RIGHT), (1, 0.1, LEFT)])


def of(found: list[Contradiction]) -> list[tuple[str, str]]:
    return [(each.kind, each.image.file.stem) for each in found]


def test_planted_mistakes_are_found_the_surest_first():
    planted = [
        looked_at("forgotten", [(0, LEFT)], [(0, 0.8, LEFT), (1, 0.9, LOW)]),
        looked_at("confused", [(0, LEFT)], [(1, 0.75, LEFT), (0, 0.05, LEFT)]),
        looked_at("invented", [(0, LEFT), (0, LOW)], [(0, 0.9, LEFT)]),
    ]
    found = contradictions([*map(sound, range(4)), *planted], NAMES)
    assert set(of(found)) == {
        ("missing label", "forgotten"), ("another class", "confused"), ("label without object", "invented"),
    }  # fmt: skip
    assert [each.sure for each in found] == sorted((each.sure for each in found), reverse=True)
    assert "labelled cat; dog at 0.75, cat at 0.05" in next(each.says for each in found if each.kind == "another class")
    np.testing.assert_allclose(
        found[of(found).index(("missing label", "forgotten"))].boxes_cxcywh_norm, [(0.45, 0.75, 0.3, 0.3)]
    )


def test_sound_labels_are_not_contradicted():
    assert contradictions([sound(0), looked_at("empty", [], [])], NAMES) == []
    unsure = looked_at("unsure", [(0, LEFT)], [(0, 0.3, LEFT), (1, 0.29, LEFT), (1, 0.2, LOW)])
    assert contradictions([sound(0), unsure], NAMES) == []


def test_a_model_that_finds_little_contradicts_no_label():
    blind = [looked_at(str(number), [(0, LEFT)], []) for number in range(5)]
    assert contradictions(blind, NAMES) == []
    # Of the same label, once the model finds most others of its class, it is said.
    assert of(contradictions([blind[0], *map(sound, range(9))], NAMES)) == [("label without object", "0")]


def test_they_are_put_as_an_audit_puts_what_it_finds():
    forgotten = [looked_at(str(n), [], [(1, 0.5 + n / 10, LOW)]) for n in range(3)]
    (finding,) = findings_of(contradictions(forgotten, NAMES))
    assert (finding.kind, finding.count) == ("missing label", 3)
    assert finding.text.startswith("3 objects where no label is")
    assert [example.text for example in finding.examples] == [
        f"{n}.png: dog at 0.{5 + n}0, and no label" for n in (2, 1, 0)
    ]
