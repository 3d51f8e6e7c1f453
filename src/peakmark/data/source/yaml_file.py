"""What does a yaml file of a user hold? Its plain values, with every key that is there twice named.

It must not know what the keys mean.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from peakmark.errors import DataError
from peakmark.files.plain_yaml import WearingYamlError, read_plain_yaml


def load_yaml(file: Path) -> tuple[Any, list[str]]:
    """Gives a yaml file's content, and in sentences which keys are there twice. Raises `DataError` otherwise."""
    try:
        values, root = read_plain_yaml(file)
        return values, _repeated_keys(root)
    except OSError as error:
        raise DataError(f"{file}: can't be read ({error.strerror}); check its rights.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: this is not UTF-8 text (byte {error.start}); save it as UTF-8.") from error
    except yaml.constructor.ConstructorError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise DataError(
            f"{file}, line {line}: this yaml tries to build an object ({error.problem}); a data.yaml holds plain "
            "values only, so nothing was built: take that line out."
        ) from error
    except WearingYamlError as error:
        raise DataError(f"{file}: this is no data.yaml: {error}.") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise DataError(f"{file}, line {line}: this is not yaml ({error.problem}); correct that line.") from error
    except yaml.YAMLError as error:
        raise DataError(f"{file}: this is not yaml ({error}); correct the file.") from error
    except RecursionError as error:
        raise DataError(f"{file}: its values are nested too deep for a data.yaml; correct the file.") from error


def _repeated_keys(root: yaml.Node | None) -> list[str]:
    """yaml itself lets the last of equal keys win and says nothing: half of somebody's classes would be gone."""
    problems: list[str] = []
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in seen:  # an alias names a part again, or the part that it is in
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting.extend(node.value)
        elif isinstance(node, yaml.MappingNode):
            lines: dict[tuple[str, str], int] = {}
            for key, value in node.value:
                waiting.append(value)
                if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                    continue
                named, line = (key.tag, key.value), key.start_mark.line + 1
                if named in lines:
                    both = f"lines {lines[named]} and {line}" if lines[named] != line else f"line {line}"
                    problems.append(f"the key {key.value} is there twice ({both}): keep one of them")
                lines[named] = line
    return problems
