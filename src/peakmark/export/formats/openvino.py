"""How is a network written for OpenVINO, and run by it?

Read from ONNX by OpenVINO's own reader. At run time it is told to compute in float32: on processors that have bfloat16
it would take that by itself, and boxes would come out up to 2 px off.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np

from peakmark.errors import ModelFileError
from peakmark.export.about import KEY, about_from
from peakmark.export.format import Format, Opened, Order
from peakmark.export.formats.familiar_yaml import write_familiar
from peakmark.export.formats.onnx import IMAGES, onnx_model
from peakmark.export.formats.onnx_parts import decoding_nodes, last_convolutions
from peakmark.nouns.images import FloatArray

_MODEL = "model.xml"
_OVERRIDABLE = ("confidence", "every_class")


def _write(order: Order, folder: Path) -> None:
    import openvino

    network = onnx_model(order)
    # Inputs with a default are constants to its reader; without one they stay inputs.
    kept = [each for each in network.graph.initializer if each.name not in _OVERRIDABLE]
    del network.graph.initializer[:]
    network.graph.initializer.extend(kept)
    model = openvino.Core().read_model(network.SerializeToString())
    if order.options.int8:
        model = _quantised(model, order, last_convolutions(network) | decoding_nodes(network))
    model.set_rt_info(order.about.to_json(), [KEY])
    openvino.save_model(model, folder / _MODEL, compress_to_fp16=order.options.half)
    write_familiar(order.about, folder)


def _silent_nncf() -> Any:
    """NNCF tells a host of its makers what is done with it, unless it doesn't find the package that sends."""
    sender = "openvino_telemetry"
    found = sys.modules.get(sender)
    sys.modules[sender] = None  # type: ignore[assignment]  # what makes an import fail
    try:
        return importlib.import_module("nncf")
    finally:
        del sys.modules[sender]
        if found is not None:
            sys.modules[sender] = found


def _quantised(model: Any, order: Order, in_float: set[str]) -> Any:
    """Quantises by NNCF, but for the nodes of these names: the last convolutions, and the decoding behind them."""
    nncf = _silent_nncf()
    nncf.set_log_level(logging.ERROR)
    images = order.calibration
    assert images is not None
    names = {node.get_friendly_name() for node in model.get_ordered_ops()}
    kept = sorted(name for name in names if name.split("/")[0] in in_float)
    with contextlib.redirect_stdout(io.StringIO()):  # a progress bar of its own
        return nncf.quantize(
            model,
            nncf.Dataset(images),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(images),
            ignored_scope=nncf.IgnoredScope(names=kept, types=["Softmax"], validate=False),
        )


def _open(path: Path, threads: int) -> Opened:
    import openvino

    core = openvino.Core()
    try:
        model = core.read_model(path / _MODEL)
        said = model.get_rt_info([KEY]).astype(str) if model.has_rt_info([KEY]) else None
        compiled = core.compile_model(
            model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        )
    except RuntimeError as error:
        raise ModelFileError(f"{path} can't be loaded by OpenVINO: {str(error)[:200]}") from error
    about = about_from(said, str(path))
    suppresses = about is not None and about.suppression is not None

    def run(images_BCHW: FloatArray, confidence: float, every_class: bool) -> FloatArray:
        given: dict[str, Any] = {IMAGES: images_BCHW}
        if suppresses:
            given |= {"confidence": np.array(confidence, np.float32), "every_class": np.array(every_class)}
        return np.array(compiled(given)[0], dtype=np.float32)

    return Opened(about, run)


FORMAT = Format(
    name="openvino",
    title="OpenVINO",
    ending="_openvino_model",
    writes_with=("onnx", "onnxscript", "nncf"),
    runs_with=("openvino",),
    extra="openvino",
    options=frozenset(("dynamic", "half", "int8", "nms", "batch")),
    write=_write,
    open=_open,
    is_folder=True,
)
