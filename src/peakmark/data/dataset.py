"""What does `data=` name? A data.yaml, the embedded sample set, a data set of the field by its name, or one that is
written in another format.

Whatever it is, a data.yaml describes it in the end, and `source/data_yaml.py` reads that.
"""

from __future__ import annotations

import difflib
from dataclasses import replace
from functools import partial
from pathlib import Path

from peakmark.data.formats.direct import converted_in_cache, is_another_format
from peakmark.data.shapes.shapes import shapes_dataset
from peakmark.data.source.data_yaml import SPLITS, DatasetSpec, read_data_yaml
from peakmark.data.web.fetched import Watch, fetched
from peakmark.data.web.known_sets import KNOWN_SETS, known_yaml
from peakmark.errors import DataError
from peakmark.files.given_path import NO_FILE_WORDS, given_path, is_special

__all__ = ["SPLITS", "DatasetSpec", "read_dataset"]

_SAMPLE_SET = "shapes"
_WHERE_FROM = (
    "Nothing is downloaded: get the data set from its publisher and give the path of its data.yaml, "
    f"or take data={_SAMPLE_SET}, the embedded sample set."
)


def read_dataset(
    data: str | Path, *, equal_names: bool = False, download: bool | None = None, watch: Watch | None = None
) -> DatasetSpec:
    """Reads what `data` names; makes the embedded sample set ready where that is `shapes`.

    `equal_names`: whether two classes may have the same name, as those of a run that began when that was taken.
    `download`: whether data that aren't here may be fetched; False asks at the terminal, None doesn't. `watch` is told
    how far a fetch is. Raises `DataError` with every mistake in the file at once.
    """
    if str(data) == _SAMPLE_SET:
        return read_data_yaml(shapes_dataset(), equal_names=equal_names)
    file = given_path(data, "data").absolute()
    if is_special(file):
        raise DataError(f"data={data}: {NO_FILE_WORDS}.")
    known = KNOWN_SETS.get(str(data).lower()) if not file.exists() else None
    if known is not None:
        file = known_yaml(known)
    elif not file.exists():
        raise DataError(f"data={data}: there is no such file.{_did_you_mean(file)} {_WHERE_FROM}")
    elif is_another_format(file):
        made, notes = converted_in_cache(file, str(data))
        spec = read_data_yaml(made, equal_names=equal_names)
        return replace(spec, notes=(*notes, *spec.notes), made_from=file)
    elif file.is_dir():
        inside = sorted(path.name for path in file.glob("*.y*ml"))
        found = f" (in it: {', '.join(inside)})" if inside else ""
        raise DataError(f"data={data}: this is a folder; give the data.yaml that describes it{found}.")
    fetch = partial(fetched, name=str(data), allowed=download, watch=watch)
    return read_data_yaml(file, equal_names=equal_names, fetched=fetch)


def _did_you_mean(file: Path) -> str:
    """Names yaml files that are called nearly the same, beside it or else here; looks two folders deep at most."""
    for base in (file.parent, Path.cwd()):
        nearby = {path for depth in ("*", "*/*") for path in base.glob(f"{depth}.y*ml")}
        close = difflib.get_close_matches(file.name, sorted({path.name for path in nearby}), n=3, cutoff=0.6)
        if found := sorted(str(path) for path in nearby if path.name in close)[:3]:
            return f" Did you mean {' or '.join(found)}?"
    return ""
