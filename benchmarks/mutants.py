"""Would the tests notice if a line were wrong? Plants small faults (mutants) and counts those that fail a test.

usage: python benchmarks/mutants.py [--sample 600] [--seed 0] [--processes 2] [--room evaluate]
mutmut plants the faults (`[tool.mutmut]` in pyproject.toml says in which rooms, and which tests judge them) and
remembers what it has tried, in the folder mutants/: a run that was stopped continues. Without --sample all are tried,
which takes hours; with it as many as are given, drawn with the seed, the same ones every time. A fault that changes
nothing that can be observed on this machine is equal, not survived: benchmarks/equal_mutants.toml says which kinds
those are, and why.
Exits with 1 where fewer than 90 of 100 of the others are noticed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
EQUAL = ROOT / "benchmarks" / "equal_mutants.toml"
ENOUGH = 0.9
NOTICED = {"killed", "timeout", "segfault", "caught by type check"}
FIRST = "peakmark.selection.best.*"
"""A few mutants: trying them plants all the others and finds out which test reaches which function."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--room", help="only the mutants of this room")
    arguments = parser.parse_args()

    run = ["run", "--max-children", str(arguments.processes)]
    mutmut(*run, FIRST)
    wanted = f"peakmark.{arguments.room}." if arguments.room else "peakmark."
    names = sorted(name for name in results() if name.startswith(wanted))
    if arguments.sample is not None and arguments.sample < len(names):
        drawn = np.random.default_rng(arguments.seed).choice(len(names), arguments.sample, replace=False)
        names = [names[number] for number in sorted(drawn)]
    mutmut(*run, *names)
    return show({name: status for name, status in results().items() if name in set(names)})


def mutmut(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "mutmut", *words], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def said(*words: str) -> str:
    command = [sys.executable, "-m", "mutmut", *words]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def results() -> dict[str, str]:
    """What became of each mutant, by its name."""
    lines = (line.strip().rpartition(": ") for line in said("results", "--all", "true").splitlines())
    return {name: status for name, _, status in lines if name.startswith("peakmark.")}


def change(name: str) -> str:
    """What the mutant changed: the old lines and the new ones."""
    lines = said("show", name).splitlines()
    return "\n".join(line for line in lines if re.match(r"[-+](?![-+]{2} )", line))


def show(became: dict[str, str]) -> int:
    """Prints the survivors and a table by room; 1 where too many survived."""
    equal = tomllib.loads(EQUAL.read_text())["equal"]
    kinds = [(re.compile(kind["change"], re.MULTILINE), kind["why"]) for kind in equal]
    total: Counter[str] = Counter()
    by_room: dict[str, Counter[str]] = {}
    for name, status in sorted(became.items()):
        outcome = "noticed" if status in NOTICED else "survived"
        if outcome == "survived":
            changed = change(name)
            if why := next((why for kind, why in kinds if kind.search(changed)), None):
                outcome = "equal"
            print(f"{name}: {status}{f' (equal: {why})' if why else ''}\n{changed}\n")
        by_room.setdefault(name.split(".")[1], Counter())[outcome] += 1
        total[outcome] += 1
    print(f"{'room':<12}{'noticed':>9}{'survived':>10}{'equal':>7}{'share':>8}")
    for room, counts in (*by_room.items(), ("all", total)):
        print(f"{room:<12}{counts['noticed']:>9}{counts['survived']:>10}{counts['equal']:>7}{share(counts):>8.1%}")
    return 0 if share(total) >= ENOUGH else 1


def share(counts: Counter[str]) -> float:
    return counts["noticed"] / max(1, counts["noticed"] + counts["survived"])


if __name__ == "__main__":
    sys.exit(main())
