"""How does a checkpoint become a live state? Objects are built for the settings it was saved with, and filled.

It must not know why: a run is resumed, or goes on in another process as well.
"""

from __future__ import annotations

from peakmark.checkpoint.format import Checkpoint
from peakmark.machine.devices import Arithmetic
from peakmark.model.detector import detector_from_weights
from peakmark.model.scales import SCALES
from peakmark.run.build import new_state
from peakmark.settings.fields import Settings
from peakmark.state.capture import restore
from peakmark.state.state import RunState


def restored_state(checkpoint: Checkpoint, settings: Settings, arithmetic: Arithmetic) -> RunState:
    """Builds fresh objects for the settings that a checkpoint was saved with, and puts its state into them."""
    arithmetic.apply()
    arithmetic.check_threads()
    model = detector_from_weights(SCALES[checkpoint.architecture], checkpoint.training_weights)
    state = new_state(settings, model, arithmetic, checkpoint.history.segments[-1])
    restore(checkpoint, state)
    return state
