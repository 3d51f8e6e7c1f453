"""Is every word of the page in each language's catalogue, and does the page say nothing that isn't?"""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

import peakmark
from peakmark.data.audit.findings import SEVERITIES, FindingKind
from peakmark.evaluate.error_kinds import COSTS
from peakmark.live.state import StateWord
from peakmark.report.pages import page
from peakmark.report.pages.how_sure import _HEAD
from peakmark.report.pages.pictures_shown import _SHOWN
from peakmark.report.pages.words import LANGUAGES, catalogue, in_english
from peakmark.report.terminal.comparison_table import Standing

SOURCE = Path(peakmark.__file__).parent
TEMPLATES = sorted(
    path for folder in ("report/pages/templates", "live/templates") for path in (SOURCE / folder).glob("*.j2")
)
SCRIPTS = sorted(path for folder in ("report/pages/scripts", "live/scripts") for path in (SOURCE / folder).glob("*.js"))
PYTHON = [
    *(SOURCE / "report/pages" / f"{name}.py" for name in ("page", "comparison_page", "comparison_curves")),
    SOURCE / "report/pages/validation_page.py",
    SOURCE / "report/terminal/comparison_table.py",
]
ENGLISH = catalogue("en")


def test_each_language_has_the_same_keys_and_fills_in_the_same_values():
    for language in LANGUAGES:
        words = catalogue(language)
        assert words.keys() == ENGLISH.keys(), words.keys() ^ ENGLISH.keys()
        assert all(words.values())
        for key in ENGLISH:
            assert values_in(words[key]) == values_in(ENGLISH[key]), key


def values_in(words: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", words))


def test_chinese_is_chinese():
    """What is spelled alike in both is a name or a number."""
    alike = {key for key in ENGLISH if catalogue("zh")[key] == ENGLISH[key]}
    assert alike <= {
        "fact.outcome", "fact.time", "mAP50-95", "mAP50", "mAP75", "AP50-95", "AP50", "f1", "train_dfl",
    }  # fmt: skip


def keys_that_are_said() -> set[str]:
    """Written out in templates and scripts, put together there from known parts, or given by Python."""
    said = set()
    for path in (*TEMPLATES, *SCRIPTS):
        text = path.read_text()
        said |= set(re.findall(r"""(?:\bt|say|told|numberBox)\(\s*["']([\w.-]+)["']""", text))
        said |= set(re.findall(r"""data-t(?:-label|-alt)?=["']([\w.-]+)["']""", text))
        said |= {word for word in re.findall(r"""["']([\w.-]+)["']""", text) if word in ENGLISH}
    for path in PYTHON:
        said |= {word for word in re.findall(r"""["']([\w.-]+)["']""", path.read_text()) if word in ENGLISH}
    said = {key for key in said if not key.endswith(".")}  # the first half of a key that is put together
    kinds = ("right", *COSTS)
    said |= {f"kind.{kind}" for kind in kinds} | {f"kind.{kind}.means" for kind in COSTS}
    said |= {f"state.{state}" for state in get_args(StateWord)}
    said |= {f"finding.{kind}" for kind in get_args(FindingKind)} | {f"severity.{each}" for each in SEVERITIES}
    said |= {f"standing.{each}" for each in get_args(Standing) if each}
    said |= {f"loss.{term}" for term in ("box", "cls", "dfl")}
    said |= {key for key, _ in (*page._EPOCH_COLUMNS, *page._CLASS_COLUMNS, *page._NUMBERS)} & ENGLISH.keys()
    said |= {label for _, label in (*page._EPOCH_COLUMNS, *page._CLASS_COLUMNS, *page._NUMBERS)}
    said |= {key for key in _HEAD if key} | {key for _, key in _SHOWN}
    return said


def test_what_is_said_is_in_the_catalogue_and_all_of_that_is_said():
    said = keys_that_are_said()
    assert said <= ENGLISH.keys(), said - ENGLISH.keys()
    assert ENGLISH.keys() <= said, ENGLISH.keys() - said


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_writes_no_words_of_its_own(path: Path):
    text = re.sub(r"{#.*?#}|<style.*?</style>|<script.*?</script>", "", path.read_text(), flags=re.DOTALL)
    text = re.sub(r"{%.*?%}|{{.*?}}", "\0", text, flags=re.DOTALL)
    text = re.sub(r"<[^>]*>", "\0", text)
    words = re.findall(r"[A-Za-z]{2,}", re.sub(r"&\w+;", "", text))
    assert set(words) <= {"Peakmark"}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_writes_no_words_of_its_own(path: Path):
    """What becomes text comes from the catalogue or the data: no element is made with a word in it."""
    code = re.sub(r"^\s*//.*$", "", path.read_text(), flags=re.MULTILINE)
    assert not re.findall(r"""(?:textContent\s*=|append\(|\bmake\([^;]*\},)\s*["'`][A-Za-z]{2,}""", code)
    writes_html = re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", code)
    assert not writes_html or path.name == "live.js", "which puts parts in place that the server wrote and escaped"


def test_values_are_filled_in_and_unknown_ones_stay():
    assert in_english("look.left_out", {"count": 7}) == "7 weaker detections left out"
    assert in_english("look.left_out") == ENGLISH["look.left_out"]
    with pytest.raises(KeyError):
        in_english("no such key")
