"""What was found in one picture, in the words that YOLO users know? `Results` and its `boxes`.

Coordinates are px of the original picture; `orig_img` and `plot()` are BGR, as OpenCV users expect. Must not know
models or how a whole source is saved.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from peakmark.deploy.frames import Origin
from peakmark.drawing.boxes import draw_boxes
from peakmark.errors import DataError
from peakmark.machine import durable
from peakmark.nouns import Detections, ImageArray

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
"""What pictures can be written as."""

_DECIMALS = 5
"""Of a px or a confidence in text: finer than float32 holds for a picture of 1000 px."""


class Boxes:
    """The boxes found in one picture, highest confidence first; float32 tensors on the processor.

    Indexing and iterating give `Boxes` again, so `box.xyxy[0]` and `int(box.cls)` work for one box.
    """

    def __init__(self, data: torch.Tensor, orig_shape: tuple[int, int]) -> None:
        self.data = data
        """(D, 6): left, top, right, bottom in px, confidence, class"""
        self.orig_shape = orig_shape
        """height, width in px"""

    @classmethod
    def from_detections(cls, detections: Detections, orig_shape: tuple[int, int]) -> Boxes:
        """Takes detections in px of the original picture."""
        columns = (detections.boxes_xyxy_px, detections.scores[:, None], detections.classes[:, None])
        return cls(torch.from_numpy(np.concatenate(columns, axis=1).astype(np.float32)), orig_shape)

    @property
    def xyxy(self) -> torch.Tensor:
        """(D, 4) left, top, right, bottom in px"""
        return self.data[:, :4]

    @property
    def xywh(self) -> torch.Tensor:
        """(D, 4) centre x, centre y, width, height in px"""
        start, end = self.data[:, 0:2], self.data[:, 2:4]
        return torch.cat([(start + end) / 2, end - start], dim=1)

    @property
    def xyxyn(self) -> torch.Tensor:
        """(D, 4) as `xyxy`, in 0..1 of the picture"""
        return self.xyxy / self._size_px()

    @property
    def xywhn(self) -> torch.Tensor:
        """(D, 4) as `xywh`, in 0..1 of the picture"""
        return self.xywh / self._size_px()

    @property
    def conf(self) -> torch.Tensor:
        """(D,) 0 to 1"""
        return self.data[:, 4]

    @property
    def cls(self) -> torch.Tensor:
        """(D,) class numbers, as floats"""
        return self.data[:, 5]

    def _size_px(self) -> torch.Tensor:
        height, width = self.orig_shape
        return torch.tensor([width, height, width, height], dtype=torch.float32)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int | slice | torch.Tensor | list[int]) -> Boxes:
        chosen = self.data[index]
        return Boxes(chosen[None] if chosen.ndim == 1 else chosen, self.orig_shape)

    def __iter__(self) -> Iterator[Boxes]:
        # Without this, Python iterates by counting up until an IndexError.
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        return f"Boxes({len(self)} in {self.orig_shape[1]} x {self.orig_shape[0]} px)\n{self.data}"


@dataclass(eq=False, repr=False, slots=True)
class Results:
    """One picture and what was found in it."""

    orig_img: ImageArray
    """The picture without boxes, BGR."""
    boxes: Boxes
    names: Mapping[int, str]
    """Class number to name."""
    origin: Origin
    speed: Mapping[str, float]
    """preprocess, inference, postprocess: ms for this picture (its share of the batch)."""

    @property
    def orig_shape(self) -> tuple[int, int]:
        """height, width in px"""
        return self.boxes.orig_shape

    @property
    def path(self) -> str:
        """The file, or imageN.jpg for pixels that came without one."""
        return str(self.origin.path or self.origin.name)

    def __len__(self) -> int:
        return len(self.boxes)

    def __repr__(self) -> str:
        return f"Results({self.origin.text}: {self.orig_shape[1]} x {self.orig_shape[0]} px, {self.verbose()})"

    def verbose(self) -> str:
        """Says what was found, for a person: `4 RBCs, 1 WBC`; classes in their order."""
        counts = Counter(int(number) for number in self.boxes.cls.tolist())
        parts = [f"{count} {_in_number(self.names[number], count)}" for number, count in sorted(counts.items())]
        return ", ".join(parts) or "no detections"

    def plot(self, line_width: int | None = None, labels: bool = True, conf: bool = True) -> ImageArray:
        """Gives a copy of the picture with the boxes, BGR; `labels` draws names, `conf` the confidence behind them."""
        # Lowest confidence first: what is drawn last lies on top.
        boxes = self.boxes.data.numpy()[::-1]
        annotated = draw_boxes(
            np.asarray(cv2.cvtColor(self.orig_img, cv2.COLOR_BGR2RGB), dtype=np.uint8),
            boxes[:, :4],
            boxes[:, 5].astype(np.int64),
            [self.names[number] if labels else "" for number in sorted(self.names)],
            scores=boxes[:, 4] if labels and conf else None,
            line_width_px=line_width,
        )
        return np.asarray(cv2.cvtColor(annotated, cv2.COLOR_RGB2BGR), dtype=np.uint8)

    def save(self, filename: str | Path | None = None) -> str:
        """Writes the picture with its boxes and gives the file's name, by default results_NAME.jpg.

        Raises `DataError` for an ending that isn't a picture's, and where it would replace the picture itself.
        """
        target = Path(filename) if filename is not None else Path(f"results_{Path(self.origin.name).stem}.jpg")
        if self.origin.path is not None and target.resolve() == self.origin.path.resolve():
            raise DataError(f"{target} is the picture that was predicted on. Choose another name for the copy.")
        write_picture(target, self.plot())
        return str(target)

    def summary(self, normalize: bool = False) -> list[dict[str, Any]]:
        """Gives a plain dictionary for each box; `normalize` gives coordinates in 0..1 instead of px."""
        coordinates = (self.boxes.xyxyn if normalize else self.boxes.xyxy).tolist()
        return [
            {
                "name": self.names[int(number)],
                "class": int(number),
                "confidence": round(score, _DECIMALS),
                "box": {key: round(x, _DECIMALS) for key, x in zip(("x1", "y1", "x2", "y2"), box, strict=True)},
            }
            for box, score, number in zip(coordinates, self.boxes.conf.tolist(), self.boxes.cls.tolist(), strict=True)
        ]

    def to_json(self, normalize: bool = False) -> str:
        """Gives `summary` as JSON."""
        return json.dumps(self.summary(normalize), indent=2, ensure_ascii=False)

    def to_csv(self, normalize: bool = False) -> str:
        """Gives `summary` as a table with a header; one line a box."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["name", "class", "confidence", "x1", "y1", "x2", "y2"])
        for found in self.summary(normalize):
            rows.writerow([found["name"], found["class"], found["confidence"], *found["box"].values()])
        return text.getvalue()

    def save_txt(self, txt_file: str | Path, save_conf: bool = False) -> str:
        """Writes a label file (`class cx cy w h`, in 0..1, with `save_conf` the confidence behind) and gives its name.

        A picture without detections gets an empty file: it was looked at, and it is background.
        """
        lines = []
        for box in self.boxes:
            numbers = [*box.xywhn[0].tolist(), *(box.conf.tolist() if save_conf else [])]
            lines.append(" ".join([str(int(box.cls)), *(f"{number:.6g}" for number in numbers)]))
        durable.write_text(Path(txt_file), "".join(line + "\n" for line in lines))
        return str(txt_file)


def _in_number(name: str, count: int) -> str:
    return name if count == 1 or name.endswith("s") else f"{name}s"


def write_picture(target: Path, image_bgr: ImageArray) -> None:
    """Writes a picture in the format that its ending says. Raises `DataError` for other endings, and `MachineError`."""
    if target.suffix.lower() not in PICTURE_SUFFIXES:
        endings = ", ".join(sorted(PICTURE_SUFFIXES))
        raise DataError(f"{target}: {target.suffix!r} is not an ending of a picture. Use one of {endings}.")
    _, encoded = cv2.imencode(target.suffix.lower(), image_bgr)
    durable.write_bytes(target, encoded.tobytes())
