"""Prints the table of export formats in docs/exporting.md from the registry; with --write it is put there."""

from __future__ import annotations

import argparse
from pathlib import Path

from peakmark.export.format import OPTIONS
from peakmark.export.registry import FORMATS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "exporting.md"
BEGIN, END = "<!-- made by tools/formats.py -->\n", "<!-- end -->"


def table() -> str:
    """A row for each format: how it is asked for, what it becomes, what brings it, what it knows."""
    lines = ["| format | file | install | knows |", "|---|---|---|---|"]
    for known in FORMATS.values():
        name = f"`{known.name}` ({known.title})"
        if known.write is None:
            lines.append(f"| {name} | `best{known.ending}` | - | never written or run here; it takes {known.needs} |")
            continue
        brings = f"`pip install 'peakmark[{known.extra}]'`" if known.extra else "nothing more"
        options = ", ".join(f"`{option}`" for option in OPTIONS if option in known.options)
        lines.append(f"| {name} | `best{known.ending}{'/' if known.is_folder else ''}` | {brings} | {options} |")
    return "\n".join(lines) + "\n"


def page_with(made: str) -> str:
    """The page with this table between its marks."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{made}{END}{after}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    if parser.parse_args().write:
        PAGE.write_text(page_with(table()), encoding="utf-8")
    print(table(), end="")
