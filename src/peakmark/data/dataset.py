"""What does a data.yaml say? Where the images of each split are and what the classes are called.

Only the yaml is read here and paths are made whole. Which images there are is `listing.py`'s question, whether they can
be used is `index.py`'s.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from peakmark.data.shapes import shapes_dataset
from peakmark.errors import DataError

SPLITS = ("train", "val", "test")
_SAMPLE_SET = "shapes"
_WHERE_FROM = (
    "Nothing is downloaded: get the data set from its publisher and give the path of its data.yaml, "
    f"or take data={_SAMPLE_SET}, the embedded sample set."
)


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """A data set as its data.yaml describes it."""

    yaml: Path | None
    """The file it was read from; None for a data set put together in Python."""
    root: Path
    """The folder that its paths are relative to."""
    splits: Mapping[str, tuple[Path, ...]]
    """For each split that is given: folders of images and .txt lists of images. They need not exist."""
    names: tuple[str, ...]
    """The classes, in the order of their numbers."""


def read_dataset(data: str | Path) -> DatasetSpec:
    """Reads a data.yaml, or makes the embedded sample set ready where `data` is `shapes`.

    Raises `DataError` with every mistake in the file at once.
    """
    file = shapes_dataset() if str(data) == _SAMPLE_SET else Path(data).expanduser().absolute()
    if not file.exists():
        raise DataError(f"data={data}: there is no such file.{_did_you_mean(file)} {_WHERE_FROM}")
    if file.is_dir():
        inside = sorted(path.name for path in file.glob("*.y*ml"))
        found = f" (in it: {', '.join(inside)})" if inside else ""
        raise DataError(f"data={data}: this is a folder; give the data.yaml that describes it{found}.")
    content = _load_yaml(file)
    problems: list[str] = []
    names = _names(content.get("names"), problems)
    if names:
        _check_count(content.get("nc"), names, problems)
    root = _root(file, content.get("path"), problems)
    splits = {
        split: tuple(_locate(value, (root, file.parent, Path.cwd())) for value in values)
        for split in SPLITS
        if (values := _split_values(split, content.get(split), problems))
    }
    if not splits and not problems:
        problems.append("the keys train, val and test are all missing: give the folder of images of at least one")
    if problems:
        raise DataError("\n".join(f"{file}: {problem}." for problem in problems))
    return DatasetSpec(yaml=file, root=root, splits=splits, names=names)


def _load_yaml(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
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
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise DataError(f"{file}, line {line}: this is not yaml ({error.problem}); correct that line.") from error
    except yaml.YAMLError as error:
        raise DataError(f"{file}: this is not yaml ({error}); correct the file.") from error
    if not isinstance(content, dict):
        raise DataError(f"{file}: this is no data.yaml; it needs the keys train, val and names.")
    return content


def _names(value: Any, problems: list[str]) -> tuple[str, ...]:
    """The class names in the order of their numbers; empty where something is wrong with them."""
    before = len(problems)
    if value is None or value in ([], {}):
        problems.append("the key names is missing: list the classes, e.g. names: [cat, dog]")
    elif isinstance(value, dict):
        expected = list(range(len(value)))
        if any(isinstance(key, bool) or not isinstance(key, int) for key in value) or sorted(value) != expected:
            keys = ", ".join(repr(key) for key in value)
            problems.append(f"the classes in names must be numbered 0 to {len(value) - 1} without holes, not {keys}")
        else:
            value = [value[number] for number in expected]
    elif not isinstance(value, list):
        problems.append(f"names must be a list or a mapping from number to name, not {value!r}")
    if len(problems) > before:
        return ()
    for number, name in enumerate(value):
        # yaml reads a bare yes, no, on or off as a truth value: the class `no` would quietly become `False`.
        if isinstance(name, bool) or not isinstance(name, str | int | float) or not str(name).strip():
            problems.append(f"the name of class {number} is {name!r}, which is not text: put it in quotes")
    return tuple(str(name) for name in value)


def _check_count(count: Any, names: tuple[str, ...], problems: list[str]) -> None:
    if count is not None and (isinstance(count, bool) or count != len(names)):
        problems.append(f"nc is {count!r}, but names has {len(names)} classes: correct one of them or leave nc out")


def _root(file: Path, value: Any, problems: list[str]) -> Path:
    if value is None:
        return file.parent.resolve()
    if not isinstance(value, str):
        problems.append(f"path is {value!r}; it must be the folder that train, val and test are relative to")
        return file.parent
    root = _locate(value, (file.parent, Path.cwd()))
    if not root.is_dir():
        problems.append(
            f"path is {value!r}, but there is no such folder, neither from the yaml's folder nor from the working "
            "directory: correct it, or leave it out where the images lie beside the yaml"
        )
    return root.resolve()


def _split_values(split: str, value: Any, problems: list[str]) -> list[str]:
    values = value if isinstance(value, list) else [] if value is None else [value]
    if all(isinstance(item, str) and item for item in values):
        return values
    problems.append(f"{split} is {value!r}; it must be a folder of images, a .txt list of images, or a list of these")
    return []


def _locate(value: str, bases: tuple[Path, ...]) -> Path:
    """The first place where `value` exists; where it is nowhere, the place where it should have been."""
    path = Path(value).expanduser()
    if path.is_absolute():
        return path
    # Exports of a widespread labelling service say ../train/images for a folder that lies beside the yaml.
    beside = Path(*[part for part in path.parts if part != ".."])
    candidates = [base / variant for variant in (path, beside) for base in bases]
    return next((candidate for candidate in candidates if candidate.exists()), candidates[0])


def _did_you_mean(file: Path) -> str:
    """Names yaml files nearby that are called nearly the same; looks two folders deep at most."""
    nearby = {
        path for base in {file.parent, Path.cwd()} for depth in ("*", "*/*") for path in base.glob(f"{depth}.y*ml")
    }
    close = difflib.get_close_matches(file.name, sorted({path.name for path in nearby}), n=3, cutoff=0.6)
    found = sorted(str(path) for path in nearby if path.name in close)[:3]
    return f" Did you mean {' or '.join(found)}?" if found else ""
