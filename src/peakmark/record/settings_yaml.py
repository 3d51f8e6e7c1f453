"""How does a run say which settings it had and where each came from? As YAML that a safe loader reads back.

It must not know any particular setting.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from peakmark.errors import DataError
from peakmark.files.plain_yaml import read_plain_yaml

_HEAD = "# Every setting of this run, and where its value came from.\n"


def render(settings: Mapping[str, Any], origins: Mapping[str, str]) -> str:
    """Gives one line a setting, in the given order: name, value, and its origin as a comment. A pure function."""
    written = {name: f"{name}: {_value(value)}" for name, value in settings.items()}
    width = max((len(line) for line in written.values() if len(line) <= 40), default=0)
    lines = [f"{line.ljust(width)}  # {_in_a_line(origins[name])}\n" for name, line in written.items()]
    return _HEAD + "".join(lines)


def read(path: Path) -> dict[str, Any]:
    """Gives the settings back that `render` wrote. Raises `DataError` where the file is missing or is no such file."""
    with _explained(path):
        content, _ = read_plain_yaml(path)
    if not isinstance(content, dict):
        raise DataError(f"{path}: this holds no settings; start a new run.")
    return content


def read_origins(path: Path) -> dict[str, str]:
    """Gives the origins back that `render` wrote, by the names of the settings; where there is none, it is left out.

    Raises `DataError` where the file is missing or is no such file.
    """
    with _explained(path):
        text = path.read_text(encoding="utf-8")
        # Composed, not constructed: a value may hold a #, so only YAML itself can say where a value ends.
        content = yaml.compose(text, yaml.SafeLoader)
    if not isinstance(content, yaml.MappingNode):
        raise DataError(f"{path}: this holds no settings; start a new run.")
    ends = {key.value: value.end_mark.index for key, value in content.value if isinstance(key, yaml.ScalarNode)}
    after = {name: text[end:].partition("\n")[0] for name, end in ends.items()}
    return {name: rest.partition("# ")[2].strip() for name, rest in after.items() if "# " in rest}


def with_changes(origins: Mapping[str, str], old: Mapping[str, Any], epoch: int) -> dict[str, str]:
    """Gives the origins after a resume in `epoch` (0-based) that changed the settings in `old`, by their old values."""
    changed = {name: f"changed at the resume in epoch {epoch + 1}, was {_value(old[name])}" for name in old}
    return {**origins, **changed}


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{path}: the run's settings can't be read ({error}); start a new run.") from error


def _value(value: Any) -> str:
    # As a list in one line: a text with a line break or a long path would be folded, and the comment land inside it.
    style = '"' if isinstance(value, str) and not value.isprintable() else None
    listed = yaml.safe_dump([value], default_flow_style=True, default_style=style, width=math.inf, allow_unicode=True)
    return listed.strip()[1:-1]


def _in_a_line(words: str) -> str:
    """A comment ends with its line, and YAML refuses a file with a character that can't be printed."""
    return "".join(character if character.isprintable() else " " for character in words)
