"""Which key=value pairs did the user type? And where something else was typed: what was probably meant.

It must not know which keys exist.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Sequence
from pathlib import Path, PurePath

from peakmark.errors import SettingsError

_KEY_OF_SUFFIX = {".yaml": "data", ".yml": "data", ".pt": "model", ".jpg": "source", ".png": "source", ".mp4": "source"}


def read_pairs(
    arguments: Sequence[str], flags: Container[str] = frozenset(), runs: list[str] | None = None
) -> dict[str, str]:
    """Splits every argument at its first `=`; `--epochs 3` and `--epochs=3` are read as epochs=3.

    `flags` are the names that may stand alone, which switches them on: `exist_ok`, `--exist-ok`. Other words that stand
    alone are added to `runs`, where a command takes any. Raises SettingsError with a sentence for each argument that
    can't be read.
    """
    pairs: dict[str, str] = {}
    violations: list[str] = []
    rest = deque(arguments)
    while rest:
        argument = rest.popleft()
        if runs is not None and _names_a_run(argument, flags):
            runs.append(argument)
            continue
        try:
            key, value = _pair(argument, rest, flags)
        except ValueError as error:
            violations.append(str(error))
            continue
        if key in pairs:
            violations.append(f"{key} is given twice, as {pairs[key]} and as {value}; keep one of them.")
        else:
            pairs[key] = value
    if violations:
        raise SettingsError(violations)
    return pairs


def _pair(argument: str, rest: deque[str], flags: Container[str]) -> tuple[str, str]:
    """Reads one pair; takes what belongs to it out of `rest`. Raises ValueError with a sentence."""
    dashed = argument.startswith("-") and not argument.startswith("-=")
    name, equals, value = argument.partition("=")
    key = name.lstrip("-").replace("-", "_") if dashed else name
    if not key:
        raise ValueError(f"{argument} has no name before the equals sign; write e.g. epochs=100.")
    if equals and value:
        return key, value
    if dashed and not equals and rest and not _is_a_word_of_its_own(rest[0], flags):
        return key, rest.popleft()
    if not equals and key in flags:
        return key, "True"
    raise ValueError(_no_pair(argument, rest))


def _names_a_run(word: str, flags: Container[str]) -> bool:
    """Whether a word is a run's folder; one may have an equals sign in its name."""
    return not word.startswith("-") and word not in flags and ("=" not in word or Path(word).exists())


def _is_a_word_of_its_own(word: str, flags: Container[str]) -> bool:
    """Whether a word can't be the value of the one before it. -1 can."""
    return "=" in word or word in flags or (word.startswith("-") and not word[1:2].isdigit())


def _no_pair(argument: str, rest: deque[str]) -> str:
    """Says how to write what was typed; takes its value out of `rest`, so that it gets no complaint of its own."""
    name = argument.lstrip("-").removesuffix("=")
    suffix = PurePath(name).suffix.lower()
    if "=" not in argument and suffix in _KEY_OF_SUFFIX:
        return f"{argument} stands alone; was {_KEY_OF_SUFFIX[suffix]}={argument} meant?"
    value = ""
    if rest and rest[0] == "=":
        rest.popleft()
    if rest and "=" not in rest[0] and not rest[0].startswith("--") and not argument.startswith("-"):
        value = rest.popleft()
    key = name.replace("-", "_")
    if not value:
        return f"{argument} has no value; write {key}=... or leave it out."
    return f"{argument} {value}: settings are written without spaces: {key}={value}."
