"""What do tiles find that one look doesn't? The table of docs/predicting.md, on 36 sample pictures joined into one.

peakmark train data=shapes model=yolov8n.yaml imgsz=320 epochs=14 batch=8 lr0=0.0025 name=demo
python benchmarks/tiles.py runs/detect/demo/weights/best.pt
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch

from peakmark import YOLO
from peakmark.data.shapes.drawn_shapes import SIDE_PX
from peakmark.data.shapes.shapes import sample_picture
from peakmark.geometry.iou import pairwise_iou
from peakmark.nouns.images import FloatArray, IntArray

_ACROSS = 6
_WAYS: tuple[dict[str, Any], ...] = ({}, {"tiles": 320}, {"tiles": 320, "tile_overlap": 0.3}, {"imgsz": 1920})

Found = tuple[FloatArray, IntArray, FloatArray]
"""Boxes, classes and confidences."""


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a model of data=shapes")
    model = YOLO(parser.parse_args().model)
    torch.set_num_threads(1)
    pictures = [sample_picture("val", number) for number in range(_ACROSS**2)]
    joined = np.zeros((_ACROSS * SIDE_PX, _ACROSS * SIDE_PX, 3), np.uint8)
    truths, classes, alone = [], [], list[Found]()
    for number, picture in enumerate(pictures):
        top, left = (SIDE_PX * place for place in divmod(number, _ACROSS))
        joined[top : top + SIDE_PX, left : left + SIDE_PX] = picture.image
        shift = np.array([left, top, left, top], np.float32)
        truths.append(picture.boxes_xyxy_px + shift)
        classes.append(picture.classes)
        boxes, numbers, confidences = _found(model, picture.image)
        alone.append((boxes + shift, numbers, confidences))
    of_all = np.concatenate(truths), np.concatenate(classes)
    for way in _WAYS:
        began_at = time.perf_counter()
        found = _found(model, joined, max_det=2000, **way)
        name = " ".join(f"{key}={value}" for key, value in way.items()) or "one look"
        print(f"{name:<28}{_figures(found, *of_all)}  {time.perf_counter() - began_at:.1f} s")
    columns = [np.concatenate([found[column] for found in alone]) for column in range(3)]
    print(f"{'each picture by itself':<28}{_figures((columns[0], columns[1], columns[2]), *of_all)}")


def _found(model: YOLO, image_rgb: Any, **settings: Any) -> Found:
    [result] = model.predict(image_rgb[..., ::-1].copy(), device="cpu", **settings)
    boxes = result.boxes.numpy()
    return boxes.xyxy, boxes.cls.astype(np.int64), boxes.conf


def _figures(found: Found, truths: FloatArray, classes: IntArray) -> str:
    """Recall and precision at IoU 0.5, the surest first, each truth once."""
    boxes, found_classes, confidences = found
    iou = pairwise_iou(torch.from_numpy(boxes), torch.from_numpy(truths)).numpy()
    iou = iou * (found_classes[:, None] == classes)
    free, right = np.ones(len(truths), bool), 0
    for number in np.argsort(-confidences, kind="stable"):
        best = int(np.where(free, iou[number], 0).argmax())
        if free[best] and iou[number, best] > 0.5:
            free[best], right = False, right + 1
    return f"recall {right / len(truths):.2f}  precision {right / max(1, len(boxes)):.2f}"


if __name__ == "__main__":
    main()
