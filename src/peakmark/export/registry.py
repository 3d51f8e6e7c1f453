"""Which formats are there, and does a format know what is asked of it? Asked before anything is done."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path

from peakmark.errors import MachineError, SettingsError
from peakmark.export.format import OPTIONS, Format
from peakmark.export.formats import (
    coreml,
    executorch,
    litert,
    ncnn,
    onnx,
    openvino,
    safetensors,
    tensorrt,
    torchscript,
)

_FILES = (onnx, torchscript, openvino, ncnn, safetensors, tensorrt, coreml, litert, executorch)
FORMATS: Mapping[str, Format] = {file.FORMAT.name: file.FORMAT for file in _FILES}
_OTHER_NAMES = {
    "engine": "tensorrt",
    "mlpackage": "coreml",
    "tflite": "litert",
    "pte": "executorch",
    "ts": "torchscript",
}
RUN_HERE = tuple(format.name for format in FORMATS.values() if format.open is not None)


def format_named(name: str, asked: Mapping[str, object]) -> Format:
    """Gives a format that can be written here and knows the options that are `asked` for (at another than their off).

    Raises SettingsError for an unknown format or option, MachineError where a package or machine is missing.
    """
    known = FORMATS.get(_OTHER_NAMES.get(name.lower(), name.lower()))
    if known is None:
        near = difflib.get_close_matches(name.lower(), [*FORMATS, *_OTHER_NAMES], n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise SettingsError([f"format={name}: there is no such format; there are {', '.join(FORMATS)}.{hint}"])
    if known.write is None:
        raise MachineError(f"format={known.name} was never written or run here: it takes {known.needs}.")
    wrong = list(_unknown_to(known, asked))
    if wrong:
        raise SettingsError(wrong)
    known.check_packages(to_write=True)
    return known


def _unknown_to(known: Format, asked: Mapping[str, object]) -> Iterator[str]:
    for name in OPTIONS:
        value = asked.get(name)
        asks_for_nothing = value is None or value is False or (name == "batch" and value == 1)
        if not asks_for_nothing and name not in known.options:
            others = [each.name for each in FORMATS.values() if name in each.options]
            yield (
                f"{name}={asked[name]}: format={known.name} doesn't know it"
                f"{'; ' + ', '.join(others) + ' do' if len(others) > 1 else f'; {others[0]} does' if others else ''}."
            )


def format_of(path: Path) -> Format | None:
    """Gives the format that a file or folder has by its name; None for another, such as a checkpoint."""
    if path.suffix == ".xml" or path.name.endswith((".ncnn.param", ".ncnn.bin")):
        path = path.parent
    for known in FORMATS.values():
        if path.name.endswith(known.ending) and path.is_dir() == known.is_folder:
            return known
    return None
