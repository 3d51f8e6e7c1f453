"""What can break a resumed run, and what helps? The names that findings, documents and tests share.

It must not know how any of it is found.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from peakmark.nouns.resume import Cause

BEST_FOR_LAST = "best.pt taken for last.pt"
OLDER_FILE = "older checkpoint taken for last.pt"
WEIGHTS = "weights not restored"
OPTIMIZER_MISSING = "optimizer state missing"
OPTIMIZER_FOREIGN = "optimizer state foreign"
EMA_RESET = "EMA reset or foreign"
UPDATE_COUNT = "update count reset"
SCALER_MISSING = "scaler missing"
STATISTICS = "batch-norm statistics reset or moved"
POSITION = "position shifted"
HISTORY = "history incomplete"
SETTINGS = "settings changed without notice"
IMAGE_SIZE = "image size changed"
DATA = "training data changed"
VALIDATION_DATA = "validation data changed"
RATE = "learning rate jumped"
AUGMENTATION = "augmentation jumped"
OPTIMIZER_NEW = "optimizer started anew"
NOT_FINITE = "values that are not finite"
PRECISION = "precision changed"
THREADS = "threads changed"
DEVICE = "device changed"
LIBRARIES = "library versions changed"
OTHER_SETTINGS = "other settings changed"

_FROM_ANOTHER_FILE = "Go on from a file that is whole: peakmark resume with an earlier epochN.pt, or a copy of last.pt."
_UNDO = "Go on from before the change without it, or more gently; an earlier epochN.pt branches into a new folder."
_PUT_BACK = "Put back the files that the run was started with, or name the change with data=."
_REMEDIES = {
    BEST_FOR_LAST: "Go on from the last.pt that was saved last; best.pt is for use, not for going on.",
    OLDER_FILE: "Go on from the last.pt that was saved last.",
    SCALER_MISSING: f"{_FROM_ANOTHER_FILE} Without one, amp=False needs no scaler.",
    SETTINGS: "Give the change to peakmark resume, which notes it, or go on from the file as it was saved.",
    IMAGE_SIZE: "Go on at the size that the run was trained at, or let the losses settle at the new one.",
    DATA: _PUT_BACK,
    VALIDATION_DATA: f"{_PUT_BACK} Then earlier epochs are not compared with later ones.",
    RATE: f"Choose a lower lr0. {_UNDO}",
    AUGMENTATION: f"Switch it on in steps, or leave it. {_UNDO}",
    OPTIMIZER_NEW: f"Its moments need an epoch to gather; a lower lr0 makes the way gentler. {_UNDO}",
    NOT_FINITE: "Look at the images that were named, lower lr0, or set amp=False.",
    PRECISION: "Resume with the precision that the run was trained in (amp).",
    THREADS: "It moves last digits only; look for another cause first.",
    DEVICE: "It moves last digits only; look for another cause first.",
    OTHER_SETTINGS: _UNDO,
    LIBRARIES: "Install the versions that the run was started with, to see whether they are the cause.",
}


def cause(name: str, evidence: str, certainty: float) -> Cause:
    """Makes a finding; everything that has no remedy of its own comes from a file that isn't whole."""
    return Cause(name, evidence, _REMEDIES.get(name, _FROM_ANOTHER_FILE), certainty)


def with_command(cause: Cause, run: Path, way_back: Path | None) -> Cause:
    """Adds the command that the remedy comes to; `way_back` is a state from before the break, if one is kept."""
    if cause.name in (BEST_FOR_LAST, OLDER_FILE):
        command = f"With the right last.pt in its place: peakmark resume {run}"
    elif way_back is None:
        return replace(cause, remedy=f"{cause.remedy} No state from before it is kept in {run}.")
    else:
        amp = " amp=False" if cause.name in (NOT_FINITE, SCALER_MISSING) else ""
        command = f"From before it: peakmark resume {way_back}{amp}"
    return replace(cause, remedy=f"{cause.remedy} {command}")
