"""How is a network written as TorchScript, and run by torch without Peakmark's classes?

What a file says of itself is read from its archive first, and one that Peakmark didn't write is not loaded.
"""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path

import torch

from peakmark.errors import ModelFileError
from peakmark.export.about import KEY, about_from
from peakmark.export.format import Format, Opened, Order
from peakmark.files.durable import write_bytes
from peakmark.nouns.images import FloatArray


def traced(order: Order) -> torch.jit.ScriptModule:
    """Gives the network as recorded; sizes are computed in it, so it is right at any."""
    options = order.options
    example = torch.zeros(options.batch, 3, options.side_px, options.side_px)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would rather have torch.export, whose files are no archive of data
        return torch.jit.trace(  # type: ignore[no-untyped-call, no-any-return]
            order.network, example, check_trace=False
        )


def _write(order: Order, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(traced(order), str(path), _extra_files=order.about.in_file())
    _forget_sources(path)


def _forget_sources(path: Path) -> None:
    """Leaves out where each line came from: paths of this machine, which nothing needs to run."""
    content = io.BytesIO()
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as kept:
        for entry in whole.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                kept.writestr(entry, whole.read(entry))
    write_bytes(path, content.getvalue())


def _open(path: Path, threads: int) -> Opened:
    about = about_from(_said_in(path), str(path))
    if about is None:
        raise ModelFileError(f"{path} was not exported by Peakmark: loading it could run code, so Peakmark doesn't.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise ModelFileError(f"{path} can't be loaded by torch: {str(error)[:200]}") from error

    def run(images_BCHW: FloatArray, confidence: float, every_class: bool) -> FloatArray:
        with torch.inference_mode():
            found: FloatArray = network(torch.from_numpy(images_BCHW)).numpy()
        return found

    return Opened(about, run)


def _said_in(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(f"/extra/{KEY}")]
            return archive.read(names[0]).decode() if names else None
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError, RuntimeError) as error:
        raise ModelFileError(f"{path} is no TorchScript file, or damaged: {error}.") from error


FORMAT = Format(
    name="torchscript",
    title="TorchScript",
    ending=".torchscript",
    writes_with=(),
    runs_with=(),
    extra=None,
    options=frozenset(("dynamic", "batch")),
    write=_write,
    open=_open,
)
