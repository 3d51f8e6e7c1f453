"""How is a network written as ONNX, and run by onnxruntime?

Exported by torch.onnx, with names of ours and without the paths of this machine that it leaves in every node. Half and
int8 keep in float32 what they would spoil: the decoding, whose pixels have more digits than either holds.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from peakmark.errors import ModelFileError
from peakmark.export.about import KEY, about_from
from peakmark.export.format import Format, Opened, Options, Order
from peakmark.export.formats.onnx_parts import decoding_nodes, last_convolutions, without_traces
from peakmark.export.formats.onnx_suppression import with_suppression
from peakmark.geometry.letterbox import STRIDE_PX
from peakmark.nouns.images import FloatArray

IMAGES, OUTPUT = "images", "output0"
OPSET = 18
"""The first that onnxruntime 1.14 and later run and that torch writes without converting."""
_IN_INT8 = ("Conv", "Sigmoid", "Mul", "Add", "Concat", "MaxPool", "Split", "Resize")
"""All that lies between the image and the last convolutions: with convolutions alone in int8, going back and forth
between them takes as much time as they save (1.0 instead of 1.4 times as fast as float32)."""
_EXAMPLE = 2
"""Images of the example where any number may come: torch takes a 1 for a size that is meant."""


def onnx_model(order: Order) -> Any:
    """Gives the network as a ModelProto, suppression inside where that is wished, and all that it says of itself."""
    options = order.options
    model = without_traces(_exported(order.network, options))
    if options.half:
        model = _half(model)
    if options.suppression is not None:
        model = with_suppression(model, options.suppression)
    return _labelled(model, order)


def _write(order: Order, path: Path) -> None:
    import onnx

    if order.options.int8:
        _write_int8(order, path)
    else:
        onnx.save(onnx_model(order), path)


def _exported(network: torch.nn.Module, options: Options) -> Any:
    example = torch.zeros(_EXAMPLE if options.dynamic else options.batch, 3, options.side_px, options.side_px)
    shapes = None
    if options.dynamic:
        batch, rows, columns = (torch.export.Dim(name, min=1) for name in ("batch", "rows", "columns"))
        shapes = ({0: batch, 2: STRIDE_PX * rows, 3: STRIDE_PX * columns},)
    with _quiet():
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=[IMAGES],
            output_names=[OUTPUT],
            opset_version=options.opset or OPSET,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of torchvision, which isn't needed, and of its own deprecations."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _half(model: Any) -> Any:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of weights that are too small for float16, and become 0 as they should
        return convert_float_to_float16(
            model, keep_io_types=True, disable_shape_infer=True, node_block_list=sorted(decoding_nodes(model))
        )


def _labelled(model: Any, order: Order) -> Any:
    import onnx

    onnx.helper.set_model_props(model, order.about.in_file())
    model.producer_name = "peakmark"
    model.doc_string = ""
    return model


def _write_int8(order: Order, path: Path) -> None:
    """Quantises the network, but for the last convolution of each branch and the decoding."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Images(CalibrationDataReader):  # type: ignore[misc]  # the library is untyped
        def __init__(self) -> None:
            assert order.calibration is not None
            self._rest = iter(order.calibration)

        def get_next(self) -> dict[str, FloatArray] | None:
            image = next(self._rest, None)
            return None if image is None else {IMAGES: image}

    plain, prepared = path.with_suffix(".float.onnx"), path.with_suffix(".prepared.onnx")
    try:
        onnx.save(without_traces(_exported(order.network, order.options)), plain)
        with _quiet():
            quant_pre_process(plain, prepared, skip_symbolic_shape=True)
            in_float = decoding_nodes(onnx.load(prepared)) | last_convolutions(onnx.load(prepared))
            quantize_static(
                prepared,
                path,
                Images(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=list(_IN_INT8),
                nodes_to_exclude=sorted(in_float),
            )
    finally:
        plain.unlink(missing_ok=True)
        prepared.unlink(missing_ok=True)
    model = onnx.load(path)
    if order.options.suppression is not None:
        model = with_suppression(model, order.options.suppression)
    onnx.save(_labelled(model, order), path)


def _open(path: Path, threads: int) -> Opened:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelFileError(f"{path} can't be loaded by onnxruntime: {str(error)[:200]}") from error
    about = about_from(session.get_modelmeta().custom_metadata_map.get(KEY), str(path))
    suppresses = about is not None and about.suppression is not None

    def run(images_BCHW: FloatArray, confidence: float, every_class: bool) -> FloatArray:
        given: dict[str, Any] = {IMAGES: images_BCHW}
        if suppresses:
            given |= {"confidence": np.array(confidence, np.float32), "every_class": np.array(every_class)}
        found: FloatArray = session.run([OUTPUT], given)[0]
        return found

    return Opened(about, run)


FORMAT = Format(
    name="onnx",
    title="ONNX",
    ending=".onnx",
    writes_with=("onnx", "onnxscript"),
    runs_with=("onnxruntime",),
    extra="onnx",
    options=frozenset(("dynamic", "half", "int8", "nms", "batch", "opset")),
    write=_write,
    open=_open,
)
