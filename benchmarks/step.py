"""Times the stages of a training step on generated images, and prints medians.

usage: python benchmarks/step.py [IMGSZ] [BATCH] [STEPS]
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time

import torch

from peakmark.loss.detection import detection_loss
from peakmark.machine.devices import settle
from peakmark.model.detector import build_detector
from peakmark.model.scales import SCALES
from peakmark.nouns import Batch
from peakmark.train.step import weighted

WARM_UP_STEPS = 3
TRUTHS_PER_IMAGE = 45


def main() -> None:
    side_px, batch_size, steps = (int(text) for text in (*sys.argv[1:], *("320", "16", "20")[len(sys.argv) - 1 :]))
    for amp in (True, False):
        arithmetic = settle(device=None, amp=amp, deterministic=True)
        arithmetic.apply()
        model = arithmetic.place(build_detector(SCALES["yolov8n"], 3, seed=0)).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        batch = _batch(side_px, batch_size)
        seconds = [_step(model, optimizer, arithmetic, batch) for _ in range(WARM_UP_STEPS + steps)][WARM_UP_STEPS:]
        stages = [statistics.median(column) for column in zip(*seconds, strict=True)]
        named = ", ".join(
            f"{name} {value * 1000:.0f} ms"
            for name, value in zip(("forward", "loss", "backward", "optimizer"), stages, strict=True)
        )
        pace = batch_size / statistics.median(map(sum, seconds))
        print(f"{arithmetic.precision}, {arithmetic.threads} threads: {named}; {pace:.1f} images/s")


def _batch(side_px: int, images: int) -> Batch:
    generator = torch.Generator().manual_seed(0)
    count = images * TRUTHS_PER_IMAGE
    centres = torch.rand(count, 2, generator=generator) * side_px
    half = torch.rand(count, 2, generator=generator) * side_px / 8 + 4
    boxes = torch.cat((centres - half, centres + half), dim=1).clamp(0, side_px)
    pixels = torch.randint(0, 256, (images, side_px, side_px, 3), dtype=torch.uint8, generator=generator)
    classes = torch.randint(0, 3, (count,), generator=generator)
    image_index = torch.arange(images).repeat_interleave(TRUTHS_PER_IMAGE)
    return Batch(pixels.permute(0, 3, 1, 2), boxes, classes, image_index, ("generated",) * images)


def _step(model, optimizer, arithmetic, batch) -> tuple[float, ...]:  # type: ignore[no-untyped-def]
    marks = [time.perf_counter()]
    with arithmetic.autocast():
        output = model(arithmetic.prepare(batch.images_BCHW))
    marks.append(time.perf_counter())
    loss, _ = weighted(detection_loss(output, batch), (7.5, 0.5, 1.5))
    marks.append(time.perf_counter())
    torch.autograd.backward(loss)
    marks.append(time.perf_counter())
    optimizer.step()
    optimizer.zero_grad()
    marks.append(time.perf_counter())
    return tuple(after - before for before, after in itertools.pairwise(marks))


if __name__ == "__main__":
    main()
