"""What do people ask a model for that Peakmark doesn't have, and what do they do instead?"""

from __future__ import annotations

from typing import NoReturn

INSTEAD = {
    "tune": "peakmark.tune(data, model=..., trials=..., space=...) searches settings",
    "embed": "no features are given out; YOLO(...).model is the network, a torch.nn.Module",
    "save": "copy best.pt, or write a small file of its weights with peakmark.strip(file, target)",
    "trainer": "train() gives back what people read there: save_dir, best, last, metrics",
    "validator": "val() gives back what people read there: box, results_dict, speed",
    "predictor": "predict() gives back the results",
    "metrics": "train() and val() give their numbers back",
    "ckpt": "torch.load reads a checkpoint, peakmark.inspect(file) tells what it is",
    "overrides": "settings are given to train, val and predict",
    "half": "the precision follows from the machine; train(amp=False) computes in float32",
    "float": "the precision follows from the machine; train(amp=False) computes in float32",
    "reset_weights": 'make a new model: YOLO("yolov8n.yaml")',
    "reset_callbacks": "clear_callback(name) takes the functions of one event away",
}
"""Attributes of the field's models that ours hasn't, and what to do instead."""


class WithoutTheRest:
    """A model of which more is asked than it has: each such name says what to do instead."""

    def __getattr__(self, name: str) -> NoReturn:
        # Only asked for what isn't there.
        instead = f": {INSTEAD[name]}." if name in INSTEAD else "; docs/python.md lists what a model can do."
        raise AttributeError(f"A YOLO of Peakmark has no {name!r}{instead}", name=name, obj=self)
