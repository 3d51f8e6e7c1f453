"""How does a run say which settings it had and where each came from? As YAML that a safe loader reads back.

It must not know any particular setting.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from peakmark.errors import DataError

_HEAD = "# Every setting of this run, and where its value came from.\n"


def render(settings: Mapping[str, Any], origins: Mapping[str, str]) -> str:
    """Gives one line a setting, in the given order: name, value, and its origin as a comment. A pure function."""
    written = {name: _line(name, value) for name, value in settings.items()}
    width = max((len(line) for line in written.values() if len(line) <= 40), default=0)
    lines = [f"{line.ljust(width)}  # {origins[name]}\n" for name, line in written.items()]
    return _HEAD + "".join(lines)


def read(path: Path) -> dict[str, Any]:
    """Gives the settings back that `render` wrote. Raises `DataError` where the file is missing or is no such file."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{path}: the run's settings can't be read ({error}); start a new run.") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: this holds no settings; start a new run.")
    return content


def _line(name: str, value: Any) -> str:
    # As a list in one line: a text with a newline or a long path would be folded, and the comment land inside it.
    style = '"' if isinstance(value, str) and "\n" in value else None
    listed = yaml.safe_dump([value], default_flow_style=True, default_style=style, width=math.inf, allow_unicode=True)
    return f"{name}: {listed.strip()[1:-1]}"
