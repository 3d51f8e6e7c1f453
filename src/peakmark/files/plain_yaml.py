"""What plain values does a yaml file of a stranger hold? Read so that neither its size nor its aliases wear out memory.

It must not know what the values mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

_MOST_BYTES = 4 * 2**20
"""Of a file: yaml of this size takes a minute to read, and no data set or settings need a tenth of it."""
_MOST_REPEATED = 100_000
"""Values that aliases may add. Forty lines, each naming the one above twice, are 10^12 values when they are written
out, as comparing and showing them does."""
_BEYOND_COUNTING = 10**12


class WearingYamlError(yaml.YAMLError):
    """This yaml is refused for what reading it would take."""


def read_plain_yaml(file: Path) -> tuple[Any, yaml.Node | None]:
    """Gives a yaml file's plain values and the nodes that they were written as, with their lines.

    Raises OSError, UnicodeDecodeError, yaml.YAMLError (too large a file and aliases that swell among them), and
    RecursionError where values are nested too deep.
    """
    with open(file, "rb") as stream:
        content = stream.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise WearingYamlError(f"it has more than {_MOST_BYTES // 2**20} MiB")
    text = content.decode("utf-8-sig")
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is not None and _is_swollen(root):
        raise WearingYamlError(f"its aliases stand for more than {_MOST_REPEATED:,} further values; write them out")
    return yaml.safe_load(text), root


def _is_swollen(root: yaml.Node) -> bool:
    """Whether aliases make much more of a document than is written in it."""
    sizes: dict[int, int] = {}
    seen: set[int] = set()
    waiting: list[tuple[yaml.Node, bool]] = [(root, False)]
    while waiting:
        node, parts_are_known = waiting.pop()
        if parts_are_known:
            # A part that isn't known by now is one that this one is in: that ends there, for whoever shows it too.
            size = 1 + sum(sizes.get(id(part), 0) for part in _parts(node))
            sizes[id(node)] = min(size, _BEYOND_COUNTING)
        elif id(node) not in seen:
            seen.add(id(node))
            waiting.append((node, True))
            waiting.extend((part, False) for part in _parts(node))
    return sizes[id(root)] > len(seen) + _MOST_REPEATED


def _parts(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from (key, value)
