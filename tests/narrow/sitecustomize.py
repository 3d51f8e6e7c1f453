"""Gives the tests a YOLOv8 of a sixteenth of the width, in this process and in those that it starts: yolov8t.yaml.

Python reads this file at its start where PYTHONPATH names its folder, which `tests/conftest.py` sees to. A training of
the nano model spends two fifths of its time on weights: 3 million of them are copied, averaged, digested and saved to
learn from ten images of 32 px. What a test says of a published size names that size.
"""

from peakmark.model.scales import SCALES, Scale

SCALES["yolov8t"] = Scale("yolov8t", 0.33, 1 / 16, 1024)
