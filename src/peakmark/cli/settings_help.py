"""How does a person read the settings of a command? As tables, a group at a time, at any width from 60 columns."""

from __future__ import annotations

from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from peakmark.settings.declaration import SettingsModel
from peakmark.settings.description import Description, describe


def show_settings(console: Console, kind: type[SettingsModel]) -> None:
    """Prints every setting with default, range, meaning and unit, grouped as declared."""
    descriptions = list(describe(kind).values())
    widths = {
        "setting": max(len(each.name) for each in descriptions),
        "default": max(len(_default(each)) for each in descriptions),
    }
    for group, members in groupby(descriptions, key=lambda each: each.group):
        table = Table(
            title=Text(group, style="bold"), title_justify="left", box=None, show_header=False, padding=(0, 2, 0, 0)
        )
        table.add_column(min_width=widths["setting"], no_wrap=True, style="cyan")
        table.add_column(min_width=widths["default"], no_wrap=True)
        table.add_column(overflow="fold")
        for each in members:
            table.add_row(each.name, _default(each), _meaning(each))
        console.print(table)
        console.print()


def _default(description: Description) -> str:
    return description.default or "(needed)"


def _meaning(description: Description) -> Text:
    text = Text(description.meaning)
    facts = [_allowed(description)]
    if description.unset:
        facts.append(f"None: {description.unset}")
    told = "; ".join(fact for fact in facts if fact)
    if told:
        text.append(f" [{told}]", style="dim")
    return text


def _allowed(description: Description) -> str:
    """The range with its unit, as short as it can be said; nothing for True and False, which the default shows."""
    allowed = description.range.removeprefix("from ") if " to " in description.range else description.range
    return " ".join(part for part in (allowed, description.unit) if part)
