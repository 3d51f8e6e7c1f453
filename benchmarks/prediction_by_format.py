"""How fast is prediction by format here, and beside the peer's exports of the same weights?

usage: python benchmarks/prediction_by_format.py [--formats onnx,openvino] [--images 87] [--repetitions 5]
Takes the model that the peer trained on blood cells and its images, from ../shared beside the project. First
`peakmark benchmark` on all formats; then the peer's ONNX and TorchScript files and ours, run by the same runtime on the
same images in turn: milliseconds of a call (median of the medians), and how far their outputs are apart. At last our
int8 beside our float32.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from rich.console import Console

from peakmark import YOLO
from peakmark.cli.show_exported import show_benchmark
from peakmark.data.cache import padded, resize_into
from peakmark.data.images import decode
from peakmark.geometry.letterbox import Letterbox
from peakmark.machine.cores import default_threads
from peakmark.nouns.images import FloatArray

SHARED = Path(__file__).resolve().parents[2] / "shared"
PEERS = SHARED / "peers"
WEIGHTS = PEERS / "ultralytics-8.4.190" / "finished-best.pt"
SIDE_PX = 320
FORMATS = {"onnx": ".onnx", "torchscript": ".torchscript"}
_EXPORT = (
    "import sys; from ultralytics import YOLO; YOLO(sys.argv[1]).export(format=sys.argv[2], imgsz=int(sys.argv[3]))"
)

Call = Callable[[FloatArray], FloatArray]


def images_of(folder: Path, most: int) -> list[FloatArray]:
    """The validation images as both files want them: squares, RGB, 0 to 1."""
    found = []
    for path in sorted((folder / "images" / "val").iterdir())[:most]:
        image = decode(path)
        box = Letterbox(image.shape[1], image.shape[0], SIDE_PX, square=True)
        square = padded(resize_into(image, box), box)
        found.append(np.ascontiguousarray(square.transpose(2, 0, 1)[None], dtype=np.float32) / np.float32(255))
    return found


def onnx_call(file: Path) -> Call:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = default_threads()
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return lambda image: session.run(None, {"images": image})[0]


def torchscript_call(file: Path) -> Call:
    network = torch.jit.load(str(file)).eval()  # type: ignore[no-untyped-call]

    def call(image: FloatArray) -> FloatArray:
        with torch.inference_mode():
            found: FloatArray = network(torch.from_numpy(image)).numpy()
        return found

    return call


def median_ms(call: Call, images: Sequence[FloatArray]) -> float:
    taken = []
    for image in images:
        began = time.perf_counter()
        call(image)
        taken.append(1000 * (time.perf_counter() - began))
    return statistics.median(taken)


def compared(name: str, other: str, ours: Call, peers: Call, images: Sequence[FloatArray], repetitions: int) -> None:
    """Prints a line: both in turn, so that what else the machine does falls on both."""
    apart = [np.abs(ours(image) - peers(image)) for image in images[:10]]
    box_px, score = max(float(a[:, :4].max()) for a in apart), max(float(a[:, 4:].max()) for a in apart)
    pairs = [(median_ms(ours, images), median_ms(peers, images)) for _ in range(repetitions)]
    mine, theirs = (statistics.median(each) for each in zip(*pairs, strict=True))
    ratio = statistics.median(theirs_ms / ours_ms for ours_ms, theirs_ms in pairs)
    print(
        f"{name:<12} {mine:6.1f} ms, {other} {theirs:6.1f} ms, {ratio:.2f} times as fast;"
        f" outputs up to {box_px:.2g} px and {score:.2g} apart"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--formats", default="all", help="of peakmark benchmark")
    parser.add_argument("--images", type=int, default=87)
    parser.add_argument("--repetitions", type=int, default=5)
    wish = parser.parse_args()
    if not WEIGHTS.exists():
        raise SystemExit(f"{WEIGHTS} is not beside this checkout: nothing to measure.")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        shutil.copytree(SHARED / "data" / "bccd", folder / "bccd", copy_function=shutil.copyfile)
        model = folder / "best.pt"
        shutil.copyfile(WEIGHTS, model)
        found = YOLO(model).benchmark(
            data=str(folder / "bccd" / "data.yaml"),
            formats=wish.formats,
            timed=wish.images,
            project=str(folder),
            verbose=False,
        )
        show_benchmark(Console(width=130), found)
        setup = subprocess.run(["bash", str(PEERS / "setup.sh")], capture_output=True, text=True, check=True)
        python = setup.stdout.split()[-1]
        theirs = folder / "theirs" / "best.pt"
        theirs.parent.mkdir()
        shutil.copyfile(WEIGHTS, theirs)
        images = images_of(folder / "bccd", wish.images)
        data = str(folder / "bccd" / "data.yaml")
        for name, ending in FORMATS.items():
            ours = YOLO(model).export(format=name, data=data, verbose=False)
            command = [python, "-c", _EXPORT, str(theirs), name, str(SIDE_PX)]
            subprocess.run(command, check=True, capture_output=True, cwd=theirs.parent)
            call = onnx_call if name == "onnx" else torchscript_call
            compared(name, "the peer's", call(ours.path), call(theirs.with_suffix(ending)), images, wish.repetitions)
        quantised = YOLO(model).export(format="onnx", int8=True, data=data, verbose=False)
        float32 = onnx_call(model.with_suffix(".onnx"))
        compared("onnx int8", "ours in float32", onnx_call(quantised.path), float32, images, wish.repetitions)


if __name__ == "__main__":
    main()
