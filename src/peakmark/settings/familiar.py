"""What did the user mean by a setting that doesn't exist? The right name, where it can be told.

Other trainers' spellings are known here so that they can be answered, not so that they work: two names for one thing
make two runs look different that are the same.
"""

from __future__ import annotations

import difflib
from typing import Any

from peakmark.settings.declaration import SettingsModel
from peakmark.settings.description import as_written
from peakmark.settings.fields import (
    AuditSettings,
    GateSettings,
    PredictSettings,
    PromoteSettings,
    Settings,
    ValSettings,
)

COMMANDS: dict[str, type[SettingsModel]] = {
    "train": Settings,
    "val": ValSettings,
    "predict": PredictSettings,
    "audit": AuditSettings,
    "promote": PromoteSettings,
    "gate": GateSettings,
}

SAME_THING = {
    "img": "imgsz",
    "img_size": "imgsz",
    "image_size": "imgsz",
    "size": "imgsz",
    "batch_size": "batch",
    "bs": "batch",
    "lr": "lr0",
    "learning_rate": "lr0",
    "num_epochs": "epochs",
    "num_workers": "workers",
    "gpu": "device",
    "gpus": "device",
    "cfg": "model",
    "weights": "model",
    "conf_thres": "conf",
    "iou_thres": "iou",
    "max_detections": "max_det",
    "random_seed": "seed",
    "nominal_batch": "nbs",
    "early_stopping": "patience",
    "outdir": "project",
    "save_dir": "project",
    "output": "project",
}
"""Names that users of other detectors' trainers bring along, and ours for the same thing."""

ANSWERS = {
    "noval": "write val=False",
    "nosave": "best.pt and last.pt are always written",
    "noplots": "write plots=False",
    "hyp": "each hyperparameter is a setting of its own, e.g. lr0=0.01",
    "task": "Peakmark does detection only; leave it out",
    "mode": "name the command itself: peakmark train, peakmark val or peakmark predict",
    "rect": "each image is validated and predicted on in its own rectangle, whatever the batch; leave it out",
    "half": "amp=False or amp=True chooses the precision of a training",
    "stream": "the command line always streams; in Python it is an argument of predict()",
    "max_grad_norm": "write clip_grad=10",
}
"""Names that need a sentence instead of another name."""


def unknown(kind: type[SettingsModel], name: str, value: Any) -> str:
    """Says in a sentence that a setting doesn't exist, and what was probably meant."""
    plain = name.lower().lstrip("-").replace("-", "_")
    fields = kind.model_fields
    meant = SAME_THING.get(plain, plain)
    if meant in fields:
        return f"{name} is no setting; its name is {meant}: write {meant}={as_written(value)}."
    if plain in ANSWERS:
        return f"{name} is no setting; {ANSWERS[plain]}."
    elsewhere = [command for command, other in COMMANDS.items() if meant in other.model_fields]
    if elsewhere:
        return f"{name} is no setting here; it belongs to peakmark {' and peakmark '.join(elsewhere)}."
    near = difflib.get_close_matches(plain, fields, n=1, cutoff=0.6)
    if near:
        return f"{name} is no setting; the nearest one is {near[0]}: write {near[0]}={as_written(value)}."
    return f"{name} is no setting, and none comes near it; --help lists all."
