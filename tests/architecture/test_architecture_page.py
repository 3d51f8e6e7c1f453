"""Is docs/architecture.md still true? Its picture is that of the imports, and every place that it names is there."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from house import PACKAGE, PAGE, House, drawn, measure, page_with  # noqa: E402

TEXT = PAGE.read_text(encoding="utf-8")
PLACES = re.findall(r"`([\w/]+\.py)(?:: (\w+))?`", TEXT)


def test_the_picture_is_that_of_the_imports():
    assert page_with(drawn(measure(PACKAGE)), TEXT) == TEXT, "python tools/house.py --write draws it anew"


@pytest.mark.parametrize(("file", "name"), PLACES, ids=lambda value: value)
def test_a_place_that_is_named_is_there(file: str, name: str):
    path = (ROOT if file.startswith(("tests/", "tools/")) else PACKAGE) / file
    assert path.is_file()
    assert not name or name in defined_in(path)


def defined_in(path: Path) -> set[str]:
    """The names of its classes and functions, and of what it assigns at its top."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    defined = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    for node in tree.body:
        targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
        defined |= {target.id for target in targets if isinstance(target, ast.Name)}
    return defined


def house(*imports: tuple[str, str]) -> House:
    rooms = {room for pair in imports for room in pair}
    return House(dict.fromkeys(rooms, 1), dict.fromkeys(rooms, 1), dict.fromkeys(imports, 1))


def test_a_floor_is_the_longest_way_down():
    assert house(("a", "b"), ("b", "c"), ("a", "c")).floors == {"a": 2, "b": 1, "c": 0}


def test_an_arrow_that_a_longer_way_says_already_is_not_direct():
    assert house(("a", "b"), ("b", "c"), ("a", "c")).direct == {("a", "b"), ("b", "c")}


def test_a_circle_has_no_floors():
    with pytest.raises(ValueError, match="a circle: "):
        _ = house(("a", "b"), ("b", "a")).floors
