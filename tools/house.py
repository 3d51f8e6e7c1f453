"""What rooms has the source, and which imports which? In numbers, and drawn for docs/architecture.md.

usage: python tools/house.py [--source FOLDER] [--write]

A room is a folder of the package, or a loose file in it. Its floor is the longest way down to a room that imports no
other. `--source` measures another checkout's package, `--write` brings the picture in docs/architecture.md up to date
(a test holds it there).
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "peakmark"
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- made by tools/house.py -->", "<!-- end -->"
NOT_DRAWN = {"errors", "shown", "__main__"}
"""Every room may use the first two: their arrows would hide the rest. The last one only calls the command line."""


@dataclass(frozen=True, slots=True)
class House:
    """The package as its imports have it."""

    lines: Mapping[str, int]
    """Of each room."""
    files: Mapping[str, int]
    imports: Mapping[tuple[str, str], int]
    """How many import lines lead from a room to another."""

    @property
    def below(self) -> dict[str, set[str]]:
        """For each room those that it imports."""
        return {room: {other for one, other in self.imports if one == room} for room in self.lines}

    @property
    def floors(self) -> dict[str, int]:
        """Raises ValueError where rooms import each other in a circle: there are no floors then."""
        below, floors = self.below, dict[str, int]()

        def floor(room: str, above: tuple[str, ...]) -> int:
            if room in above:
                raise ValueError(f"a circle: {' -> '.join((*above[above.index(room) :], room))}")
            if room not in floors:
                floors[room] = 1 + max((floor(other, (*above, room)) for other in below[room]), default=-1)
            return floors[room]

        for room in self.lines:
            floor(room, ())
        return floors

    @property
    def direct(self) -> set[tuple[str, str]]:
        """The arrows that no longer way through other rooms says already."""
        below, arrows = self.below, set(self.imports)

        def reached(room: str) -> set[str]:
            return below[room].union(*(reached(other) for other in below[room]))

        return {(one, other) for one, other in arrows if not any(other in reached(via) for via in below[one] - {other})}


def measure(package: Path) -> House:
    """Reads the imports of a package; none of its code is run."""
    lines: dict[str, int] = {}
    files: dict[str, int] = {}
    imports: dict[tuple[str, str], int] = {}
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package)
        if place.as_posix() == "__init__.py":
            continue  # the package's face: it hands names on
        room = place.with_suffix("").parts[0]
        text = path.read_text(encoding="utf-8")
        lines[room] = lines.get(room, 0) + len(text.splitlines())
        files[room] = files.get(room, 0) + 1
        for other in _imported(ast.parse(text), package.name):
            if other != room and ((package / other).is_dir() or (package / f"{other}.py").is_file()):
                imports[room, other] = imports.get((room, other), 0) + 1
    return House(lines, files, imports)


def _imported(tree: ast.AST, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        names = (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else []
        )
        for name in names:
            head, _, rest = name.partition(".")
            if head == package and rest:
                yield rest.partition(".")[0]


def drawn(house: House) -> str:
    """Gives the house as a Mermaid flowchart, the highest floor first."""
    floors = {room: floor for room, floor in house.floors.items() if room not in NOT_DRAWN}
    written = ["```mermaid", "flowchart TB"]
    for floor in sorted(set(floors.values()), reverse=True):
        # Without its number: that in CONTRIBUTING is what a room may use, this one what it does use.
        written.append(f'  subgraph floor{floor}[" "]')
        written += [f"    {room}" for room in sorted(floors) if floors[room] == floor]
        written.append("  end")
    written += [f"  {one} --> {other}" for one, other in sorted(house.direct) if {one, other} <= floors.keys()]
    return "\n".join([*written, "```"])


def in_numbers(house: House) -> str:
    """Gives a line for each room, from the top, and the sums."""
    rows = [f"{'room':<14}{'floor':>6}{'files':>7}{'lines':>8}{'imports':>9}{'imported by':>13}"]
    floors = house.floors
    for room in sorted(floors, key=lambda room: (-floors[room], room)):
        into = sum(other == room for _, other in house.imports)
        rows.append(
            f"{room:<14}{floors[room]:>6}{house.files[room]:>7}{house.lines[room]:>8}"
            f"{len(house.below[room]):>9}{into:>13}"
        )
    climbs = sum(floors[one] <= floors[other] for one, other in house.imports)
    rows.append(
        f"{len(floors)} rooms on {max(floors.values()) + 1} floors, {len(house.imports)} arrows"
        f" ({sum(house.imports.values())} import lines), {len(house.direct)} of them direct, {climbs} climbs"
    )
    return "\n".join(rows)


def page_with(picture: str, page: str) -> str:
    """Puts the picture where the page has it."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{picture}\n{END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=PACKAGE)
    parser.add_argument("--write", action="store_true")
    wished = parser.parse_args()
    try:
        house = measure(wished.source)
        print(in_numbers(house))
    except ValueError as error:
        sys.exit(str(error))
    if wished.write:
        PAGE.write_text(page_with(drawn(house), PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
