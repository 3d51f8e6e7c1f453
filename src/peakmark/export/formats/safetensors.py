"""How are the bare weights written for other programs, as a file that can hold nothing but tensors and texts?

They are the state dict by our names; run again they are a network of ours.
"""

from __future__ import annotations

from pathlib import Path

import torch

from peakmark.errors import ModelFileError
from peakmark.export.about import KEY, about_from
from peakmark.export.format import Format, Opened, Order
from peakmark.export.network import ExportedNetwork
from peakmark.model.detector import detector_from_weights
from peakmark.model.scales import SCALES
from peakmark.nouns.images import FloatArray


def _write(order: Order, path: Path) -> None:
    from safetensors.torch import save_file

    weights = {name: tensor.contiguous() for name, tensor in order.weights.items()}
    if order.options.half:
        weights = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
    save_file(weights, path, metadata=order.about.in_file())


def _open(path: Path, threads: int) -> Opened:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            about = about_from((file.metadata() or {}).get(KEY), str(path))
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (OSError, SafetensorError) as error:
        raise ModelFileError(f"{path} is no safetensors file, or damaged: {error}.") from error
    if about is None or about.architecture not in SCALES:
        raise ModelFileError(f"{path} was not exported by Peakmark, or by another version of it.")
    wide = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
    network = ExportedNetwork(detector_from_weights(SCALES[about.architecture], wide))

    def run(images_BCHW: FloatArray, confidence: float, every_class: bool) -> FloatArray:
        with torch.inference_mode():
            found: FloatArray = network(torch.from_numpy(images_BCHW)).numpy()
        return found

    return Opened(about, run)


FORMAT = Format(
    name="safetensors",
    title="safetensors",
    ending=".safetensors",
    writes_with=("safetensors",),
    runs_with=("safetensors",),
    extra="safetensors",
    options=frozenset(("dynamic", "half", "batch")),
    write=_write,
    open=_open,
)
