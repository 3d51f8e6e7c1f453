"""What is in a safetensors file? Tensors and a few texts, by the library that defines the format (Apache-2.0).

The format holds no code and no length that isn't checked against the file. It must not know what any of it means.
"""

from __future__ import annotations

from pathlib import Path

import torch

from peakmark.errors import ModelFileError, how_to_install
from peakmark.files.archive import MOST_FILE_BYTES
from peakmark.files.torch_file import opened

SUFFIX = ".safetensors"


def read_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Gives the tensors by their names, and the texts that the file says of itself.

    Raises ModelFileError where it can't be read, or the library is not installed.
    """
    try:
        from safetensors import SafetensorError, safe_open  # noqa: PLC0415 - optional
    except ImportError as error:
        raise ModelFileError(
            f"{path}: reading a safetensors file needs a library that is not installed:"
            f" {how_to_install('safetensors')}."
        ) from error
    try:
        with opened(path):  # refuses what is no file, and says no where the machine does
            size_bytes = path.stat().st_size
        # A file with holes takes no room on the disk; what is read of it does.
        if size_bytes > MOST_FILE_BYTES:
            raise ModelFileError(f"{path} has {size_bytes:,} bytes; at most {MOST_FILE_BYTES:,} are read as a model.")
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except SafetensorError as error:
        raise ModelFileError(
            f"{path} can't be read as a safetensors file: {error}. Give a whole one, or the .pt file."
        ) from error
    except OSError as error:
        raise ModelFileError(
            f"{path} can't be read: {error.strerror or error}. Check its rights and the disk."
        ) from error
