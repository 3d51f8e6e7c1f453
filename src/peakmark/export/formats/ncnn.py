"""How is a network written for ncnn, and run by it?

pnnx turns recorded TorchScript into it. ncnn looks at one image at a time, of one size.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

from peakmark.errors import MachineError, ModelFileError
from peakmark.export.about import about_from
from peakmark.export.format import Format, Opened, Order
from peakmark.export.formats.familiar_yaml import write_familiar
from peakmark.export.formats.torchscript import traced
from peakmark.files.durable import write_text
from peakmark.nouns.images import FloatArray

_PARAM, _BIN, _ABOUT = "model.ncnn.param", "model.ncnn.bin", "peakmark.json"
_IN, _OUT = "in0", "out0"
_LESS_EXACT = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage")
_MOST_SECONDS = 600


def _write(order: Order, folder: Path) -> None:
    import pnnx

    options = order.options
    source = folder / "network.pt"
    traced(order).save(str(source))
    wanted = [f"ncnnparam={_PARAM}", f"ncnnbin={_BIN}", "ncnnpy=ncnn.py"]
    besides = ["pnnxparam=pnnx.param", "pnnxbin=pnnx.bin", "pnnxpy=pnnx.py", "pnnxonnx=pnnx.onnx"]
    shape = f"inputshape=[1,3,{options.side_px},{options.side_px}]"
    ended = subprocess.run(
        [pnnx.EXEC_PATH, source.name, shape, f"fp16={int(options.half)}", *wanted, *besides],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_MOST_SECONDS,
        check=False,
    )
    for path in folder.iterdir():
        if path.name not in (_PARAM, _BIN):
            path.unlink()
    if ended.returncode or not (folder / _PARAM).exists() or not (folder / _BIN).exists():
        raise MachineError(f"pnnx couldn't convert the network: {(ended.stderr or ended.stdout)[-300:]}")
    write_text(folder / _ABOUT, order.about.to_json())
    write_familiar(order.about, folder)


def _open(path: Path, threads: int) -> Opened:
    import ncnn

    network = ncnn.Net()
    for option in ("use_vulkan_compute", *_LESS_EXACT):
        setattr(network.opt, option, False)
    network.opt.num_threads = threads
    try:
        said = (path / _ABOUT).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelFileError(f"{path / _ABOUT} can't be read ({error}): export it again.") from error
    about = about_from(said, str(path))
    if network.load_param(str(path / _PARAM)) or network.load_model(str(path / _BIN)):
        raise ModelFileError(f"{path} can't be loaded by ncnn; export it again.")

    def run(images_BCHW: FloatArray, confidence: float, every_class: bool) -> FloatArray:
        return np.stack([of_one(image) for image in images_BCHW])

    def of_one(image_CHW: FloatArray) -> FloatArray:
        with network.create_extractor() as extractor:
            # ncnn keeps no hold of an array that it is given: without the copy it would read freed memory.
            extractor.input(_IN, ncnn.Mat(np.ascontiguousarray(image_CHW)).clone())
            _, found = extractor.extract(_OUT)
            return np.array(found, dtype=np.float32)

    return Opened(about, run)


FORMAT = Format(
    name="ncnn",
    title="ncnn",
    ending="_ncnn_model",
    writes_with=("pnnx",),
    runs_with=("ncnn",),
    extra="ncnn",
    options=frozenset(("half",)),
    write=_write,
    open=_open,
    is_folder=True,
)
