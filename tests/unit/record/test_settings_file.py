"""What a run says of its settings comes back from its file: every value, and where each came from."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peakmark.errors import DataError
from peakmark.record.settings_yaml import read, read_origins, render, with_changes

NAMES = st.from_regex(r"[a-z][a-z_0-9]{0,12}", fullmatch=True).map("s_{}".format)
VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(["a # b", "# x", "'", '"', "a: b", "~", "é # ü", "a\u2028# b", "x\x85  # y", "  # z", "\n# q"])
    | st.lists(st.integers(), max_size=4)
)
ORIGINS = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), min_size=1).map(lambda w: f"#{w}.")


@settings(deadline=None, derandomize=True)
@given(st.dictionaries(NAMES, st.tuples(VALUES, ORIGINS), max_size=6))
def test_values_and_origins_come_back(tmp_path_factory: pytest.TempPathFactory, told: dict[str, tuple[object, str]]):
    values = {name: value for name, (value, _) in told.items()}
    origins = {name: origin for name, (_, origin) in told.items()}
    path = tmp_path_factory.getbasetemp() / "round-trip.yaml"
    text = render(values, origins)
    path.write_text(text, encoding="utf-8", newline="")
    if values:
        assert read(path) == values
        assert read_origins(path) == origins
        assert render(read(path), read_origins(path)) == text


def test_an_origin_of_several_lines_stays_in_the_comment(tmp_path: Path):
    (tmp_path / "s.yaml").write_text(render({"lr0": 0.1}, {"lr0": "one\nlr0: 5\x00"}))
    assert read(tmp_path / "s.yaml") == {"lr0": 0.1}


def test_changed_settings_say_when_and_what_they_were(tmp_path: Path):
    origins = {"lr0": "given", "name": "default", "data": "given"}
    changed = with_changes(origins, {"lr0": 0.01, "name": None, "data": "a # b.yaml"}, 16)
    (tmp_path / "s.yaml").write_text(render({"lr0": 0.001, "name": "x", "data": "c.yaml"}, changed))
    assert read_origins(tmp_path / "s.yaml") == {
        "lr0": "changed at the resume in epoch 17, was 0.01",
        "name": "changed at the resume in epoch 17, was null",
        "data": "changed at the resume in epoch 17, was 'a # b.yaml'",
    }
    assert with_changes(changed, {"lr0": 0.001}, 19)["lr0"] == "changed at the resume in epoch 20, was 0.001"
    assert with_changes(changed, {}, 19) == changed


def test_a_file_that_a_person_edited_is_read_as_far_as_it_goes(tmp_path: Path):
    (tmp_path / "s.yaml").write_text("# head\nlr0: 0.01 # given\nepochs: 3\nname: 'a # b'   # default # really\n")
    assert read_origins(tmp_path / "s.yaml") == {"lr0": "given", "name": "default # really"}


@pytest.mark.parametrize("content", [None, "- 1\n", "a: [\n", ""], ids=["missing", "a list", "broken", "empty"])
def test_what_holds_no_settings_is_refused(tmp_path: Path, content: str | None):
    if content is not None:
        (tmp_path / "s.yaml").write_text(content)
    for reading in (read, read_origins):
        with pytest.raises(DataError, match=r"(?s)s\.yaml.*start a new run"):
            reading(tmp_path / "s.yaml")
