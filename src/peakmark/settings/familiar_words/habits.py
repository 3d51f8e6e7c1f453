"""Which words do users of other detectors' trainers bring along? Tables of names, and of what becomes of their values.

Names and defaults are those of the public documentation of YOLOv5 and YOLOv8 trainers. It must not know our settings,
but for their names in sentences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

SAME_THING: Final[Mapping[str, str]] = {
    "img": "imgsz",
    "img_size": "imgsz",
    "image_size": "imgsz",
    "size": "imgsz",
    "batch_size": "batch",
    "bs": "batch",
    "lr": "lr0",
    "learning_rate": "lr0",
    "num_epochs": "epochs",
    "max_epochs": "epochs",
    "num_workers": "workers",
    "gpu": "device",
    "gpus": "device",
    "weights": "model",
    "conf_thres": "conf",
    "conf_threshold": "conf",
    "confidence": "conf",
    "iou_thres": "iou",
    "iou_threshold": "iou",
    "nms_iou": "iou",
    "max_detections": "max_det",
    "random_seed": "seed",
    "nominal_batch": "nbs",
    "early_stopping": "patience",
    "outdir": "project",
    "output": "project",
    "line_thickness": "line_width",
    "boxes": "show_boxes",
    "max_grad_norm": "clip_grad",
    "single_class": "single_cls",
    "multiscale": "multi_scale",
    "cosine": "cos_lr",
    "cos": "cos_lr",
    "val_interval": "val_period",
    "val_freq": "val_period",
    "track_low_thresh": "conf",
    "slice_size": "tiles",
}
"""Names for what we have under another one."""

_ANY: Final = object()
_TRAIN: Final = ("train", "resume")
_PREDICT: Final = ("predict", "track")
_USE: Final = ("val", *_PREDICT)


@dataclass(frozen=True, slots=True)
class Habit:
    """A word that is no setting of ours."""

    anyway: tuple[Any, ...]
    """Values at which it asks for what happens anyway; empty for none."""
    why: str
    """Why that is so, as a short phrase."""
    instead: str
    """At any other value: that Peakmark lacks it, and what to do instead, as the end of a sentence."""
    commands: tuple[str, ...] = ()
    """Where it is known; empty for everywhere."""

    def is_for(self, command: str) -> bool:
        return not self.commands or command in self.commands

    @property
    def is_a_switch(self) -> bool:
        return any(isinstance(value, bool) for value in self.anyway)

    def asks_for_nothing(self, value: Any) -> bool:
        """Whether this value asks for what happens anyway."""
        return any(same is _ANY or _same(same, value) for same in self.anyway)


def _same(one: Any, other: Any) -> bool:
    """Whether two values are the same, one of them as it may be written on a command line."""
    if isinstance(other, str):
        text = other.strip().lower()
        if isinstance(one, bool) or one is None:
            return text in ({True: ("true",), False: ("false",), None: ("none", "null", "")}[one])
        if isinstance(one, str):
            return text == one.lower()
        try:
            return float(text) == float(one)
        except ValueError:
            return False
    # 1 is not taken for True: a weight of 1.0 is no switch.
    return (type(one) is type(other) and one == other) or _both_numbers(one, other)


def _both_numbers(one: Any, other: Any) -> bool:
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (one, other))
    return numbers and float(one) == float(other)


def _not_of_boxes(what: str) -> Habit:
    return Habit((_ANY,), f"{what}, and Peakmark detects boxes", "")


def _off(what: str, value: Any, do: str, *commands: str) -> Habit:
    return Habit((value, None), f"{what} is not done", f"Peakmark has no {what}; {do}", commands)


HABITS: Final[Mapping[str, Habit]] = {
    # --- what is one way here ---
    "task": Habit(("detect", None), "it is the only task", "Peakmark detects boxes and does no other task"),
    "mode": Habit((_ANY,), "the command says it", ""),
    "save": Habit(
        (True, None),
        "best.pt and last.pt are always written",
        "best.pt and last.pt are always written; leave it out",
        _TRAIN,
    ),
    "save ": Habit((True, None), "the numbers are always written", "the numbers are always written", ("val",)),
    "nosave": Habit((False, None), "best.pt and last.pt are written", "best.pt and last.pt are always written", _TRAIN),
    "verbose": Habit(
        (True, None),
        "what happens is told",
        "a command's lines can't be left out, but sent elsewhere: > log.txt; in Python verbose=False leaves them out",
    ),
    "rect": Habit((False, None), "training images are square", "training images are square; leave it out", _TRAIN),
    "rect ": Habit((_ANY,), "each image is looked at in its own rectangle", "", _USE),
    "half": Habit(
        (False, None),
        "the precision is the model's own",
        "a model is used in the precision that it was validated in; leave it out, or train with amp=True",
    ),
    "dnn": Habit((False, None), "torch computes it", "Peakmark computes with torch only; leave it out"),
    "stream": Habit((_ANY,), "the command line always streams", ""),
    "stream_buffer": Habit(
        (False, None),
        "of a camera the newest picture is looked at",
        "of a camera the newest picture is looked at, and older ones are passed over; of a video every frame is",
    ),
    "sync_bn": Habit(
        (False, None),
        "each microbatch is normalised by itself",
        "batch statistics are those of a microbatch, for any number of devices; leave it out",
    ),
    "quad": Habit((False, None), "batches are plain", "Peakmark has no quad loader; leave it out"),
    "noautoanchor": Habit((_ANY,), "YOLOv8 has no anchor boxes", ""),
    "anchor_t": Habit((_ANY,), "YOLOv8 has no anchor boxes", ""),
    "noval": Habit((False, None), "epochs are validated", "write val=False"),
    "noplots": Habit((False, None), "pictures are drawn", "write plots=False"),
    "plot": Habit((True, None), "pictures are drawn", "write plots=False"),
    "end2end": Habit((False, None), "YOLOv8's head needs suppression", "YOLOv8 has no end-to-end head; leave it out"),
    "single_cls": Habit((False, None), "it is as the model was trained", "classes are as the model was trained", _USE),
    "compile": Habit((False, None), "nothing is compiled", "only a training is compiled; leave it out", _USE),
    # --- what boxes have no use for ---
    "overlap_mask": _not_of_boxes("it is of masks"),
    "mask_ratio": _not_of_boxes("it is of masks"),
    "retina_masks": _not_of_boxes("it is of masks"),
    "pose": _not_of_boxes("it is of poses"),
    "kobj": _not_of_boxes("it is of poses"),
    "rle": _not_of_boxes("it is of poses"),
    "angle": _not_of_boxes("it is of turned boxes"),
    "dropout": _not_of_boxes("it is of classification"),
    "erasing": _not_of_boxes("it is of classification"),
    "auto_augment": _not_of_boxes("it is of classification"),
    "crop_fraction": _not_of_boxes("it is of classification"),
    "obj": Habit((_ANY,), "YOLOv8 has no objectness", ""),
    "obj_pw": Habit((_ANY,), "YOLOv8 has no objectness", ""),
    "fl_gamma": _off("focal loss", 0.0, "leave it out", *_TRAIN),
    # --- what is lacking ---
    "image_weights": _off("weighting of images", False, "repeat images in the list of training images", *_TRAIN),
    "label_smoothing": _off("label smoothing", 0.0, "leave it out: YOLOv8's targets are soft already", *_TRAIN),
    "copy_paste": _off(
        "copy-paste, which needs outlines of objects", 0.0, "mosaic=, mixup= and cutmix= join images", *_TRAIN
    ),
    "copy_paste_mode": Habit((_ANY,), "nothing is pasted", "", _TRAIN),
    "bgr": _off("swapping of colour channels", 0.0, "hsv_h= changes colours", *_TRAIN),
    "augmentations": _off("list of other augmentations", None, "the settings of the help say what there is", *_TRAIN),
    "augment": Habit(
        (False, None),
        "a training's validations look at each image once",
        "a training's own validations look at each image once; val, predict and gate have augment=True, and what"
        " changes training images is set one by one: mosaic=, fliplr=, scale= and others",
        _TRAIN,
    ),
    "visualize": _off("picture of features", False, "leave it out", *_USE),
    "embed": _off("embedding", None, "the network is model.model, a torch.nn.Module", *_PREDICT),
    "show": _off("window", False, "save=True writes the pictures", *_PREDICT),
    "view_img": _off("window", False, "save=True writes the pictures", *_PREDICT),
    "save_frames": _off("writing of single frames", False, "save=True writes the video with its boxes", *_PREDICT),
    "save_hybrid": _off("mixing of labels into detections", False, "it makes numbers wrong", "val"),
    "tracker": Habit(
        ("bytetrack.yaml", "bytetrack", None),
        "ByteTrack is the tracker",
        "Peakmark tracks by ByteTrack alone; leave it out, and write its limits as settings: track_buffer=60",
        ("track",),
    ),
    "tracker ": Habit((_ANY,), "only track tracks", "", ("train", "resume", "val", "predict")),
    "persist": Habit((_ANY,), "the frames of a video always belong together", "", ("track",)),
    "persist ": Habit((_ANY,), "only track tracks", "", ("train", "resume", "val", "predict")),
    "fuse_score": Habit((True, None), "overlap is weighed by confidence", "leave it out", ("track",)),
    "tiles": Habit(
        (None,),
        "whole images are validated",
        "validation looks at whole images, at imgsz=; predict has tiles=",
        ("val",),
    ),
    "hyp": _off(
        "file of hyperparameters", None, "each is a setting of its own, e.g. lr0=0.01; cfg=args.yaml reads settings"
    ),
    "evolve": _off("search of settings", None, "start one run for each setting, and compare them: peakmark compare"),
    "cfg": Habit((None,), "no file is named", "a file of settings is read by train, val, predict and resume"),
    "save_dir": Habit((None,), "the folder is new", "write project=FOLDER name=NAME"),
    "entity": Habit((_ANY,), "nothing is sent anywhere", ""),
    "bucket": Habit((None,), "nothing is sent anywhere", "backup=s3://... copies each new best.pt"),
    "names": Habit((), "", "the classes' names stand in data.yaml", (*_TRAIN, *_USE, "audit", "gate")),
    "nc": Habit((), "", "the number of classes is that of the names in data.yaml"),
    "nms": Habit((True, None), "boxes are suppressed", "YOLOv8's boxes need suppression; iou= is its overlap"),
    "resume": Habit((False, None), "a new run begins", "write peakmark resume RUN", ("val", *_PREDICT)),
    # --- of an export, which stands in a file of all settings ---
    **dict.fromkeys(
        ("format", "keras", "optimize", "int8", "dynamic", "simplify", "opset", "workspace"),
        Habit((_ANY,), "nothing is exported", ""),
    ),
}
"""By their names with underscores, in lower case; a space behind one tells a second meaning apart."""


def habit_of(name: str, command: str) -> Habit | None:
    """What a word means to a command, where it is known at all."""
    meanings = [HABITS[key] for key in (name, f"{name} ") if key in HABITS]
    return next((habit for habit in meanings if habit.is_for(command)), None)
