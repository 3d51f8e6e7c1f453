"""Writes docs/commands.md, every command with its settings, from the declarations; a test holds it level.

usage: python tools/commands_page.py [--write]

What the page says of a command is what its own --help says: which settings it shows is asked of the command itself.
"""

from __future__ import annotations

import argparse
import importlib
import re
import textwrap
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any
from unittest import mock

import typer

from peakmark.cli import main as words
from peakmark.settings.declaration import SettingsModel
from peakmark.settings.description import Description, describe

PAGE = Path(__file__).resolve().parents[1] / "docs" / "commands.md"
WIDTH = 120
WORDS = {name: word for commands in words._PANELS.values() for name, word in commands.items()}
ALONE = {name for name, word in WORDS.items() if not word.reads_pairs}
"""Commands with a few arguments and no settings."""
INTRODUCTION = """\
# Commands and settings
Made by `tools/commands_page.py` from the declarations that `peakmark COMMAND --help` shows as well. Settings are
written `key=value`, in any order; `--key value` is read as the same. In Python they are keyword arguments of the same
name.
"""


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for panel, commands in words._PANELS.items():
        parts.append(f"## {panel}\n")
        for name, word in commands.items():
            parts.append(f"### `peakmark {name}`\n{word.says.partition(': peakmark')[0].rstrip('.')}.\n")
            parts += _with_settings(name, word) if word.reads_pairs else _with_options(name, word)
    return "\n".join(parts)


@cache
def kinds() -> dict[str, type[SettingsModel]]:
    """The settings of each command that has any."""
    return {name: _asked_for_help(name, word)[2] for name, word in WORDS.items() if word.reads_pairs}


def _with_settings(name: str, word: Any) -> Iterator[str]:
    example, more, kind = _asked_for_help(name, word)
    yield f"```bash\n{example}\n```\n"
    if more:
        yield _as_prose(more) + "\n"
    for group, members in groupby(describe(kind).values(), key=lambda each: each.group):
        yield f"**{group}**\n\n| setting | default | meaning |\n|---|---|---|"
        yield "".join(f"{_row(each)}\n" for each in members)


def _asked_for_help(name: str, word: Any) -> tuple[str, str, type[SettingsModel]]:
    """The example, the further text and the kind of settings that a command gives its help."""
    module = importlib.import_module(f"peakmark.cli.{word.module}")
    seen: list[tuple[str, str, type[SettingsModel]]] = []

    def help_wanted(context: typer.Context, kind: type[SettingsModel], example: str, more: str = "") -> bool:
        seen.append((example, more, kind))
        return True

    with mock.patch.object(module, "help_wanted", help_wanted):
        getattr(module, word.function or name)(mock.Mock(args=["--help"]))
    return seen[0]


def _as_prose(help_text: str) -> str:
    """Text of a terminal as Markdown: lines that are set in are a list there, the others flow."""
    blocks: list[tuple[bool, list[str]]] = []
    for line in help_text.strip("\n").splitlines():
        is_item = line.startswith("  ")
        if not blocks or is_item or blocks[-1][0] or not line.strip():
            blocks.append((is_item, []))
        blocks[-1][1].append(line)
    written = ""
    for (is_item, lines), (was_item, _) in zip(blocks, [(False, []), *blocks], strict=False):
        written += "\n" if is_item and was_item else "\n\n"
        written += _block(is_item, lines)
    return written.strip()


def _block(is_item: bool, lines: list[str]) -> str:
    if is_item:
        option, _, meaning = lines[0].strip().partition("  ")
        return f"- `{option}`: {_escaped(meaning.strip())}" if meaning else f"- {_escaped(option)}"
    return textwrap.fill(_escaped(" ".join(" ".join(lines).split())), WIDTH, break_long_words=False)


def _row(each: Description) -> str:
    facts = [f"{each.allowed} {each.unit or ''}".strip()] if each.range or each.unit else []
    if each.unset:
        facts.append(f"`None`: {_escaped(each.unset)}")
    told = f" ({'; '.join(facts)})" if facts else ""
    return f"| `{each.name}` | {f'`{each.default}`' if each.default else 'needed'} | {_escaped(each.meaning)}{told} |"


def _with_options(name: str, word: Any) -> Iterator[str]:
    command = words._load(name, word)
    yield "| argument or option | meaning |\n|---|---|"
    rows = []
    for parameter in command.params:
        written = parameter.name if parameter.param_type_name == "argument" else parameter.opts[0]
        if written != "--help":
            rows.append(f"| `{written}` | {_escaped(parameter.help or '')} |\n")
    yield "".join(rows)


def _escaped(text: str) -> str:
    return re.sub(r"([|<>*_\[\]])", r"\\\1", text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    if parser.parse_args().write:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        print(page(), end="")
