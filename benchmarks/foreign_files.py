"""Does every file of the peer's program give its outputs here, or is it refused? All scales, plain and altered.

usage: python benchmarks/foreign_files.py [--work FOLDER]
The peer's program makes some fifty files (drivers/foreign_files.py) and computes from each; each is read here and
compared, and its line is printed: largest differences, or why it is refused. Ends with 1 where one is read and differs
by more than 1e-3 px or 1e-5 of a score. The peer's scripts lie in ../shared beside the project.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from peakmark.errors import PeakmarkError
from peakmark.model.detector import decode
from peakmark.run.weights import find_model

HERE = Path(__file__).resolve().parent
PEERS = HERE.parents[1] / "shared" / "peers"
BOXES_PX, SCORES = 1e-3, 1e-5
MUST_BE_READ = ("scale", "classes", "fused", "eps", "momentum", "double", "state-dict")
"""How the names of files begin that are not to be refused."""


def judged(path: Path) -> tuple[str, bool]:
    """A line of what became of a file, and whether it is as it should be."""
    try:
        model = find_model(path).detector().eval()
    except PeakmarkError as error:
        return f"refused: {str(error).removeprefix(str(path)).strip()[:150]}", not path.stem.startswith(MUST_BE_READ)
    recorded = path.with_suffix(".npz")
    if not recorded.exists():
        return "read, and the peer computes nothing from it", False
    with np.load(recorded) as said:
        images, decoded = torch.from_numpy(said["input"]), said["decoded"]
    with torch.inference_mode():
        boxes, scores = (tensor.numpy() for tensor in decode(model(images)))
    low, high = boxes[..., :2], boxes[..., 2:]
    found = np.concatenate(((low + high) / 2, high - low, scores), axis=2).transpose(0, 2, 1)
    if found.shape != decoded.shape:
        return f"read, with outputs {found.shape} instead of {decoded.shape}", False
    px, score = (float(np.abs(found[:, part] - decoded[:, part]).max()) for part in (slice(4), slice(4, None)))
    return f"read: boxes within {px:.1e} px, scores within {score:.1e}", px <= BOXES_PX and score <= SCORES


def main() -> int:
    """Makes the files where they aren't there, and judges each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/foreign_files"))
    work = parser.parse_args().work
    if not (PEERS / "setup.sh").exists():
        print("the peer's scripts are not here (../shared/peers)")
        return 0
    python = subprocess.run(["bash", PEERS / "setup.sh"], capture_output=True, text=True, check=True).stdout.strip()
    if not list(work.glob("*.pt")):
        command = [python, HERE / "drivers/foreign_files.py", work]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    torch.set_num_threads(1)
    wrong = 0
    for path in sorted(work.glob("*.pt")):
        words, right = judged(path)
        wrong += not right
        print(f"{'ok   ' if right else 'WRONG'} {path.stem:26} {words}", flush=True)
    print(f"{wrong} of {len(list(work.glob('*.pt')))} are not as they should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
