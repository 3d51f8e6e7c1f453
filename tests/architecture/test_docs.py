"""Can the documentation be read as text? Lines fit a window, and the words are those of the table of terms."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
WIDTH = 120
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
    # A link or a word can be longer than a line by itself.
    long = [line for line in prose(page) if len(line) > WIDTH and len(max(line.split(), key=len)) < WIDTH // 2]
    assert not long, "\n".join(long)


@pytest.mark.parametrize("page", [*PAGES, *sorted((ROOT / "src").rglob("*.py"))], ids=lambda page: page.stem)
def test_the_words_are_those_of_the_table_of_terms(page: Path):
    if page.name == "CONTRIBUTING.md":
        return  # it has the table
    found = [line for line in page.read_text(encoding="utf-8").splitlines() if LEFT_BEHIND.search(line)]
    assert not found, "\n".join(found)
