"""In which words do pages speak? A catalogue for each language, with the same keys in each; English is the first.

What a run itself recorded (reasons, notices, verdicts) stays in the words that it was recorded in. It must not know
where on a page a word stands.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Final

LANGUAGES: Final = {"en": "English", "zh": "中文"}
"""By their codes (BCP 47), each by its own name."""


@dataclass(frozen=True, slots=True)
class Said:
    """Words of the catalogue, and what is filled into them."""

    key: str
    values: Mapping[str, Any] = field(default_factory=dict)


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """Gives the words of a language by their keys; `{name}` stands for a value that is filled in."""
    file = resources.files("peakmark").joinpath(f"report/pages/languages/{language}.json")
    words: Mapping[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return words


def in_english(key: str, values: Mapping[str, Any] | None = None) -> str:
    """Gives the words of a key, filled in. Raises KeyError for one that isn't in the catalogue."""
    words = catalogue("en")[key]
    for name, value in (values or {}).items():
        words = words.replace(f"{{{name}}}", str(value))
    return words


def spoken() -> dict[str, object]:
    """Gives what a template needs to speak: `say` in English, and every catalogue, so that a page can be switched."""
    words = {language: catalogue(language) for language in LANGUAGES}
    return {"say": in_english, "words": words, "languages": LANGUAGES}
