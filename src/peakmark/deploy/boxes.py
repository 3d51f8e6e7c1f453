"""Where in one picture were objects found, in every format that YOLO users know? Must not know pictures or models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from peakmark.nouns.images import Detections, IntArray

_ROWS_SHOWN = 8
"""Of a table that is printed."""


class Boxes:
    """The boxes found in one picture, highest confidence first: float32 tensors, or NumPy arrays after `numpy()`.

    Indexing and iterating give `Boxes` again, so `box.xyxy[0]` and `int(box.cls)` work for one box.
    """

    def __init__(self, data: torch.Tensor | np.ndarray[Any, Any], orig_shape: tuple[int, int]) -> None:
        self.data: Any = data
        """(D, 6): left, top, right, bottom in px, confidence, class; of tracked objects (D, 7), id before confidence"""
        self.orig_shape = orig_shape
        """height, width in px"""

    @classmethod
    def from_detections(cls, detections: Detections, orig_shape: tuple[int, int], ids: IntArray | None = None) -> Boxes:
        """Takes detections in px of the original picture, and the ids of tracked objects."""
        number = () if ids is None else (ids[:, None],)
        columns = (detections.boxes_xyxy_px, *number, detections.scores[:, None], detections.classes[:, None])
        return cls(torch.from_numpy(np.concatenate(columns, axis=1).astype(np.float32)), orig_shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """(D, 6), or (D, 7) with ids"""
        return tuple(self.data.shape)

    @property
    def is_track(self) -> bool:
        """Whether objects were followed from frame to frame."""
        return bool(self.data.shape[-1] == 7)

    @property
    def id(self) -> Any:
        """(D,) numbers of followed objects, as floats; None where nothing was followed."""
        return self.data[:, 4] if self.is_track else None

    @property
    def xyxy(self) -> Any:
        """(D, 4) left, top, right, bottom in px"""
        return self.data[:, :4]

    @property
    def xywh(self) -> Any:
        """(D, 4) centre x, centre y, width, height in px"""
        start, end = self.data[:, 0:2], self.data[:, 2:4]
        parts = [(start + end) / 2, end - start]
        return np.concatenate(parts, axis=1) if isinstance(self.data, np.ndarray) else torch.cat(parts, dim=1)

    @property
    def xyxyn(self) -> Any:
        """(D, 4) as `xyxy`, in 0..1 of the picture"""
        return self.xyxy / self._size_px()

    @property
    def xywhn(self) -> Any:
        """(D, 4) as `xywh`, in 0..1 of the picture"""
        return self.xywh / self._size_px()

    @property
    def conf(self) -> Any:
        """(D,) 0 to 1"""
        return self.data[:, -2]

    @property
    def cls(self) -> Any:
        """(D,) class numbers, as floats"""
        return self.data[:, -1]

    def _size_px(self) -> Any:
        height, width = self.orig_shape
        size = [width, height, width, height]
        return np.array(size, np.float32) if isinstance(self.data, np.ndarray) else self.data.new_tensor(size)

    def numpy(self) -> Boxes:
        """The same boxes as NumPy arrays; a tensor's memory is shared where it is the processor's."""
        return self if isinstance(self.data, np.ndarray) else Boxes(self.data.cpu().numpy(), self.orig_shape)

    def cpu(self) -> Boxes:
        """The same boxes in the processor's memory, where they are from the start."""
        return self if isinstance(self.data, np.ndarray) else Boxes(self.data.cpu(), self.orig_shape)

    def cuda(self) -> Boxes:
        """The same boxes on the GPU."""
        return self.to("cuda")

    def to(self, *arguments: Any, **options: Any) -> Boxes:
        """The same boxes as tensors elsewhere or of another type, as `torch.Tensor.to` has it."""
        return Boxes(torch.as_tensor(self.data).to(*arguments, **options), self.orig_shape)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: Any) -> Boxes:
        chosen = self.data[index]
        return Boxes(chosen[None] if chosen.ndim == 1 else chosen, self.orig_shape)

    def __iter__(self) -> Iterator[Boxes]:
        # Without this, Python iterates by counting up until an IndexError.
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        rows = [
            f"  class {int(row[-1])}, {row[-2]:.3f}, "
            + ", ".join(f"{x:.1f}" for x in row[:4])
            + (f", id {int(row[4])}" if self.is_track else "")
            for row in self.data[:_ROWS_SHOWN].tolist()
        ]
        more = [f"  and {len(self) - _ROWS_SHOWN} more"] if len(self) > _ROWS_SHOWN else []
        head = f"Boxes({len(self)} in {self.orig_shape[1]} x {self.orig_shape[0]} px: class, confidence, xyxy in px)"
        return "\n".join([head, *rows, *more])


def label_lines(boxes: Boxes, with_confidence: bool = False) -> str:
    """A line `class cx cy w h` for each box, in 0..1 of the picture.

    Behind it stand, if wished, the confidence, and last the id of a tracked object, as the field has it.
    """
    found = boxes.numpy()
    columns = [found.xywhn, found.conf[:, None]] if with_confidence else [found.xywhn]
    ids = [f" {number:.0f}" for number in found.id] if found.is_track else [""] * len(found)
    return "".join(
        " ".join([str(number), *(f"{value:.6g}" for value in row)]) + tracked + "\n"
        for number, row, tracked in zip(
            found.cls.astype(int).tolist(), np.concatenate(columns, axis=1).tolist(), ids, strict=True
        )
    )
