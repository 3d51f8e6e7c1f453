"""Can the documentation be read as text? Lines fit, links lead somewhere, words are those of the table of terms."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("*.md"))]
CHANGELOG = ROOT / "CHANGELOG.md"
PAGES.remove(CHANGELOG)
WIDTH = 120
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
LEFT_BEHIND = re.compile(r"\b(gone on with|by lot|nought)\b", re.IGNORECASE)


def prose(page: Path) -> Iterator[str]:
    """Its lines outside tables, code and formulas, which can't be broken."""
    is_code = False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.lstrip().startswith("```"):
            is_code = not is_code
        elif not is_code and not line.startswith(("|", "    ")):
            yield line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lines_of_prose_fit(page: Path):
    if page.name.endswith(".zh-CN.md"):
        return  # a line of Chinese can't be broken: the break would be read as a space
    # A link or a word can be longer than a line by itself.
    long = [line for line in prose(page) if len(line) > WIDTH and len(max(line.split(), key=len)) < WIDTH // 2]
    assert not long, "\n".join(long)


@pytest.mark.parametrize("page", [*PAGES, *sorted((ROOT / "src").rglob("*.py"))], ids=lambda page: page.stem)
def test_the_words_are_those_of_the_table_of_terms(page: Path):
    if page.name == "CONTRIBUTING.md":
        return  # it has the table
    found = [line for line in page.read_text(encoding="utf-8").splitlines() if LEFT_BEHIND.search(line)]
    assert not found, "\n".join(found)


def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings: small letters, no punctuation, dashes for spaces."""
    headings = [
        line.lstrip("#").strip() for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("#")
    ]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, CHANGELOG], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path):
    broken = []
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


def test_an_entry_of_the_changelog_is_one_line_with_a_link():
    lines = [line for line in CHANGELOG.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    entries = lines[1:]  # after what the version is
    odd = [
        line
        for line in entries
        if not line.startswith("- ") or len(LINK.sub("", line)) > WIDTH or not LINK.search(line)
    ]
    assert not odd, "\n".join(odd)
