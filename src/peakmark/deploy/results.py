"""What was found in one picture, in the words that YOLO users know? `Results`; its `boxes` are next door.

Coordinates are px of the original picture; `orig_img` and `plot()` are BGR, as OpenCV users expect. Must not know
models or how a whole source is saved.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import Any, Literal, overload

import cv2
import numpy as np
from PIL import Image, ImageShow

from peakmark.deploy.boxes import Boxes, label_lines
from peakmark.deploy.exchange import coco_rows, data_frame, image_id_of, labelme_text, supervision_detections
from peakmark.deploy.frames import Origin
from peakmark.deploy.picture_files import encoded, write_crops, write_picture
from peakmark.drawing.boxes import draw_boxes
from peakmark.errors import DataError
from peakmark.files import durable
from peakmark.machine import notebook
from peakmark.markup import data_url, render
from peakmark.nouns.images import ImageArray
from peakmark.shown import as_cell, as_shown

_DECIMALS = 5
"""Of a px or a confidence in text: finer than float32 holds for a picture of 1000 px."""

_COLUMNS = ["name", "class", "confidence", "x1", "y1", "x2", "y2"]
"""Of the tables."""

_SHOWN_PX = 1280
"""The longer side in a notebook, which keeps the pictures in its file."""
_SHOWN = 8
"""Of many results: as lines, and as pictures."""


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
    def masks(self) -> None:
        """None: Peakmark finds boxes only; so with `keypoints`, `probs` and `obb`."""

    @property
    def keypoints(self) -> None: ...

    @property
    def probs(self) -> None: ...

    @property
    def obb(self) -> None: ...

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

    def __getitem__(self, index: Any) -> Results:
        """The same picture with some of its boxes."""
        return replace(self, boxes=self.boxes[index])

    def __iter__(self) -> Iterator[Results]:
        return (self[index] for index in range(len(self)))

    def numpy(self) -> Results:
        """The same results, with the boxes as NumPy arrays."""
        return replace(self, boxes=self.boxes.numpy())

    def cpu(self) -> Results:
        """The same results, with the boxes in the processor's memory, where they are from the start."""
        return replace(self, boxes=self.boxes.cpu())

    def cuda(self) -> Results:
        """The same results, with the boxes on the GPU."""
        return replace(self, boxes=self.boxes.cuda())

    def to(self, *arguments: Any, **options: Any) -> Results:
        """The same results, with the boxes elsewhere or of another type, as `torch.Tensor.to` has it."""
        return replace(self, boxes=self.boxes.to(*arguments, **options))

    def __repr__(self) -> str:
        return f"Results({self.origin.text}: {self.orig_shape[1]} x {self.orig_shape[0]} px, {self.verbose()})"

    def verbose(self) -> str:
        """Says what was found, for a person: `4 RBCs, 1 WBC`; classes in their order."""
        counts = Counter(int(number) for number in self.boxes.cls.tolist())
        parts = [f"{count} {_in_number(self.names[number], count)}" for number, count in sorted(counts.items())]
        return ", ".join(parts) or "no detections"

    @overload
    def plot(
        self,
        line_width: int | None = None,
        labels: bool = True,
        conf: bool = True,
        boxes: bool = True,
        img: ImageArray | None = None,
        pil: Literal[False] = False,
    ) -> ImageArray: ...
    @overload
    def plot(
        self,
        line_width: int | None = None,
        labels: bool = True,
        conf: bool = True,
        boxes: bool = True,
        img: ImageArray | None = None,
        *,
        pil: Literal[True],
    ) -> Image.Image: ...
    def plot(
        self,
        line_width: int | None = None,
        labels: bool = True,
        conf: bool = True,
        boxes: bool = True,
        img: ImageArray | None = None,
        pil: bool = False,
    ) -> ImageArray | Image.Image:
        """Gives a copy of the picture with the boxes, BGR, or with `pil` as a PIL image.

        `labels` draws names, `conf` the confidence behind them. `img` (BGR, of the same size) is drawn on in place of
        the picture. Raises `DataError` where it has another size.
        """
        ground = self.orig_img if img is None else img
        if ground.shape != (*self.orig_shape, 3):
            wanted = f"{self.orig_shape[0]} x {self.orig_shape[1]} x 3"
            raise DataError(f"plot(img=...): an array of shape {ground.shape} can't stand for a picture of {wanted}.")
        # Lowest confidence first: what is drawn last lies on top.
        order = np.arange(len(self.boxes) if boxes else 0)[::-1]
        drawn = self.boxes.numpy()[order]
        annotated = draw_boxes(
            np.asarray(cv2.cvtColor(ground, cv2.COLOR_BGR2RGB), dtype=np.uint8),
            drawn.xyxy,
            drawn.cls.astype(np.int64),
            [self.names[number] if labels else "" for number in sorted(self.names)],
            scores=drawn.conf if labels and conf else None,
            ids=drawn.id.astype(np.int64) if labels and drawn.is_track else None,
            line_width_px=line_width,
        )
        if pil:
            return Image.fromarray(annotated)
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

    def show(self) -> None:
        """Shows the picture with its boxes: in the cell of a notebook, else in the program that shows pictures here.

        Where there is no screen, or no such program, it is written as `save` does, and a warning says where it is.
        """
        if notebook.in_notebook():
            notebook.show(self)
            return
        has_screen = sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        if not has_screen or not ImageShow.show(self.plot(pil=True), title=self.origin.text):
            text = f"There is no screen here to show a picture on; it is written to {Path(self.save()).resolve()}."
            warnings.warn(text, stacklevel=2)

    def save_crop(self, save_dir: str | Path, file_name: str | Path | None = None) -> list[str]:
        """Writes what is inside each box to save_dir/CLASS/NAME.jpg, NAME2.jpg ... and gives the files, box by box.

        NAME is that of the picture, or of `file_name`. Nothing is ever replaced: the next free number is taken.
        """
        boxes = self.boxes.numpy()
        stem = Path(file_name if file_name is not None else self.origin.name).stem
        classes = boxes.cls.astype(np.int64).tolist()
        files = write_crops(Path(save_dir), stem, self.orig_img, boxes.xyxy, classes, self.names)
        return [str(file) for file in files]

    def summary(self, normalize: bool = False, decimals: int = _DECIMALS) -> list[dict[str, Any]]:
        """Gives a plain dictionary for each box, with `track_id` where objects were tracked.

        `normalize` gives coordinates in 0..1 instead of px.
        """
        coordinates = (self.boxes.xyxyn if normalize else self.boxes.xyxy).tolist()
        ids = [{"track_id": int(number)} for number in self.boxes.id.tolist()] if self.boxes.is_track else repeat({})
        return [
            {
                "name": self.names[int(number)],
                "class": int(number),
                "confidence": round(score, decimals),
                "box": {key: round(x, decimals) for key, x in zip(("x1", "y1", "x2", "y2"), box, strict=True)},
                **tracked,
            }
            for box, score, number, tracked in zip(
                coordinates, self.boxes.conf.tolist(), self.boxes.cls.tolist(), ids, strict=False
            )
        ]

    def to_json(self, normalize: bool = False, decimals: int = _DECIMALS) -> str:
        """Gives `summary` as JSON."""
        return as_shown(json.dumps(self.summary(normalize, decimals), indent=2, ensure_ascii=False), lines=True)

    tojson = to_json
    """Its older name."""

    def to_df(
        self, normalize: bool = False, decimals: int = _DECIMALS, library: Literal["pandas", "polars"] = "pandas"
    ) -> Any:
        """Gives `summary` as a DataFrame: name, class, confidence, x1, y1, x2, y2 (and track_id); a row a box.

        Raises `MachineError` where the library, which Peakmark itself doesn't need, is not installed.
        """
        columns, rows = self._table(normalize, decimals)
        return data_frame(columns, rows, library)

    def to_csv(self, normalize: bool = False, decimals: int = _DECIMALS) -> str:
        """Gives `summary` as a table with a header; one line a box."""
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        columns, rows = self._table(normalize, decimals)
        lines.writerow(columns)
        lines.writerows([as_cell(name), *others] for name, *others in rows)
        return text.getvalue()

    def _table(self, normalize: bool, decimals: int) -> tuple[list[str], list[list[Any]]]:
        columns = [*_COLUMNS, "track_id"] if self.boxes.is_track else _COLUMNS
        rows = [
            [found["name"], found["class"], found["confidence"], *found["box"].values(), found.get("track_id")]
            for found in self.summary(normalize, decimals)
        ]
        return columns, [row[: len(columns)] for row in rows]

    def to_coco(self, image_id: int | str | None = None) -> list[dict[str, Any]]:
        """Gives COCO results, as its `loadRes` reads them: image_id, category_id, bbox (x, y, width, height), score.

        `image_id` is the file's name without its ending by default, as a number where it is one; `category_id` is the
        class number.
        """
        return coco_rows(self.boxes, image_id_of(self.origin.name) if image_id is None else image_id)

    def to_supervision(self) -> Any:
        """Gives a `supervision.Detections`, with class names and, where objects were tracked, their ids.

        Raises `MachineError` where supervision, which Peakmark itself doesn't need, is not installed.
        """
        return supervision_detections(self.boxes, self.names)

    def save_labelme(self, json_file: str | Path) -> str:
        """Writes the boxes as LabelMe reads them, to be corrected there, and gives the file's name.

        LabelMe looks for the picture by its path from the file. Pixels that came without a file are written beside it.
        """
        target = Path(json_file)
        picture = self.origin.path if self.origin.kind == "image" else None
        if picture is None:
            picture = target.with_suffix(".jpg")
            write_picture(picture, self.orig_img)
        durable.write_text(target, labelme_text(self.boxes, self.names, target, picture))
        return str(target)

    def save_txt(self, txt_file: str | Path, save_conf: bool = False) -> str:
        """Writes a label file (`class cx cy w h`, in 0..1, with `save_conf` the confidence behind) and gives its name.

        A picture without detections gets an empty file: it was looked at, and it is background.
        """
        durable.write_text(Path(txt_file), label_lines(self.boxes, save_conf))
        return str(txt_file)

    def _repr_png_(self) -> bytes:
        """For a notebook: the picture with its boxes, at most 1280 px long."""
        return encoded(self.plot(), ".png", _SHOWN_PX)


class ResultsList(list[Results]):
    """The results of several pictures. A list; a notebook shows the first ones as pictures."""

    def __init__(self, results: Iterable[Results] = ()) -> None:
        super().__init__(results)

    def __repr__(self) -> str:
        return "[" + ",\n ".join([*(repr(each) for each in self[:_SHOWN]), *self._more()]) + "]"

    def _repr_html_(self) -> str:
        pictures = [_picture(each) for each in self[:_SHOWN]]
        return render("deploy/templates/pictures.html.j2", pictures=pictures, more=self._more())

    def _more(self) -> list[str]:
        return [f"and {len(self) - _SHOWN} more"] if len(self) > _SHOWN else []


@dataclass(frozen=True, slots=True)
class _Picture:
    """With its boxes, for a notebook."""

    url: str
    caption: str


def _picture(result: Results) -> _Picture:
    content = encoded(result.plot(), ".jpg", _SHOWN_PX)
    return _Picture(data_url(content, ".jpg"), f"{result.origin.text}: {result.verbose()}")


def _in_number(name: str, count: int) -> str:
    return name if count == 1 or name.endswith("s") else f"{name}s"
