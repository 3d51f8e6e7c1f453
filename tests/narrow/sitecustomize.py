"""Gives the tests a YOLOv8 of a sixteenth of the width, in this process and in those that it starts: yolov8t.yaml.

Python reads this file at its start where PYTHONPATH names its folder, which `tests/conftest.py` sees to. A training of
the nano model spends two fifths of its time on weights: 3 million of them are copied, averaged, digested and saved to
learn from ten images of 32 px. And most of what is left goes by the number of layers, not by their size: this one has
two bottlenecks, both with a shortcut, where nano has ten. What a test says of a published size names that size.
"""

from peakmark.model.scales import SCALES, Scale


class _Shallow(Scale):
    """Of six published bottlenecks one is left, of three none."""

    def repeats(self, published: int) -> int:
        return published // 6


SCALES["yolov8t"] = _Shallow("yolov8t", 1 / 6, 1 / 16, 1024)
