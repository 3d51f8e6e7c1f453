"""Says whether everything agrees on the version that a tag names; a release that doesn't is not built.

usage: python tools/release.py v0.1.0
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACES = {
    "pyproject.toml": r'^version = "([^"]+)"',
    "CITATION.cff": r"^version: (.+)$",
    "CHANGELOG.md": r"^## (\d\S*)",
}
"""Where the version is written. The first one in the changelog is the newest."""


def versions(root: Path = ROOT) -> dict[str, str]:
    """What each place says; empty where it names none."""
    found = {
        name: re.search(pattern, (root / name).read_text(encoding="utf-8"), re.MULTILINE)
        for name, pattern in PLACES.items()
    }
    return {name: match[1] if match else "" for name, match in found.items()}


def disagreements(tag: str, written: Mapping[str, str]) -> list[str]:
    """A sentence for each place that says another version than the tag."""
    version = tag.removeprefix("v")
    return [
        f"{name} says {other or 'no version'}, the tag {version}: write {version} there, or tag another commit."
        for name, other in written.items()
        if other != version
    ]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if problems := disagreements(sys.argv[1], versions()):
        sys.exit("\n".join(problems))
