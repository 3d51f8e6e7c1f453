"""Which words and kinds do the settings of several commands share? Groups of the help, choices, and what is said alike.

It must not know any single setting.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator

from peakmark.formula.text import as_setting
from peakmark.settings.requirements import as_requirements

# The groups of the help, in its order.
INPUT = "Model and data"
LENGTH = "How long, and which epoch is best"
OPTIMISATION = "Optimisation"
AUGMENTATION = "Augmentation"
LOSS = "Weights of the loss"
MACHINE = "Machine"
OUTPUT = "What is kept"
DETECTION = "Detections"
SEAM = "How the run is gone on with"
REQUIREMENTS = "What is required"

Fitness = Annotated[str, BeforeValidator(as_setting)]
Requirements = Annotated[tuple[str, ...], BeforeValidator(as_requirements)]
StopPhase = Literal["close", "now"]
Verify = Literal["full", "fast"]
BadLabels = Literal["refuse", "drop", "drop_image"]

DEVICE = "where it runs: cpu, cuda, cuda:1 or just the GPU's number"
WORKERS = "threads that prepare images (0: prepared by the main thread)"
CACHE = (
    "where decoded images are kept: auto, False, ram (or True), disk; device keeps them on the GPU, where they are then"
    " augmented as well (not measured on a GPU yet)"
)
VERIFY = "check of the images when they are first seen: full decodes each one, fast looks at its header and end"
MAX_IMAGE_PIXELS = 200_000_000
"""Width times height of what is decoded where nobody says otherwise. A small file can claim gigabytes of one colour."""
MOST_PIXELS_DECODED = 1_000_000_000
"""That anybody can ask for: a little less than OpenCV decodes at all."""
MAX_PIXELS = "leave out images of more pixels (width times height) than this, before they are decoded"
BAD_LABELS = "lines that can't be used: refuse starts nothing, drop goes without them, drop_image without their images"
CLASSES = "use the objects of these classes alone, by number or name, e.g. [0,2]; the others count as background"
ALL_CLASSES = "all classes"
EXIST_OK = "take exactly this name; an earlier folder of that name is renamed aside"
BEST_DEVICE = "the best there is"
AS_IN_ITS_TRAINING = "as in the training's validations"
BY_MACHINE = "by the machine: none on a few cores, up to 8 beside a GPU"
