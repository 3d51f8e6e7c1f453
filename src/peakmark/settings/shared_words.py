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
FILE = "The file that is written"
OUTPUT = "What is kept"
DETECTION = "Detections"
SEAM = "How the run is resumed"
REQUIREMENTS = "What is required"

Fitness = Annotated[str, BeforeValidator(as_setting)]
Requirements = Annotated[tuple[str, ...], BeforeValidator(as_requirements)]
StopPhase = Literal["close", "now"]
Verify = Literal["full", "fast"]
BadLabels = Literal["refuse", "drop", "drop_image"]

CACHE = (
    "where decoded images are kept: auto, False, ram (or True), disk; device keeps them on the GPU, where they are then"
    " augmented as well (not measured on a GPU yet)"
)
MAX_IMAGE_PIXELS = 200_000_000
"""Width times height of what is decoded where nobody says otherwise. A small file can claim gigabytes of one colour."""
MOST_PIXELS_DECODED = 1_000_000_000
"""That anybody can ask for: a little less than OpenCV decodes at all."""
AS_IN_ITS_TRAINING = "as in the training's validations"
