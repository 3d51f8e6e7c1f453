"""Is what was restored the very state of the file? Built under the settings it was saved with, and captured again.

It must not know why a run is resumed, nor what is changed afterwards.
"""

from __future__ import annotations

from peakmark.checkpoint.difference import differing_parts
from peakmark.errors import ModelFileError
from peakmark.record.folder import RunFolder
from peakmark.resume.compare import Planned
from peakmark.resume.health.diagnosis import restored_wrong
from peakmark.run.build import PreparedRun, put_together
from peakmark.run.restored import restored_state
from peakmark.state.capture import RunFacts, capture
from peakmark.state.state import RunState


def run_as_it_was(planned: Planned) -> PreparedRun:
    """Builds the run of a checkpoint under its own settings, beside every other one; no folder belongs to it."""
    checkpoint, arithmetic, settings = planned.checkpoint, planned.after.arithmetic, planned.before.settings
    state = restored_state(checkpoint, settings, arithmetic)
    return put_together(settings, planned.data, arithmetic, state, checkpoint.architecture, ())


def proven_state(planned: Planned, folder: RunFolder) -> RunState:
    """Restores the state, on the device it goes on with; captured again, it must be the same, part by part.

    Raises ModelFileError where it isn't.
    """
    checkpoint, before, after = planned.checkpoint, planned.before, planned.after
    state = restored_state(checkpoint, before.settings, after.arithmetic)
    facts = RunFacts(
        before.settings, checkpoint.names, checkpoint.architecture, before.arithmetic, checkpoint.provenance
    )
    wrong = differing_parts(checkpoint, capture(state, facts))
    if before.arithmetic.needs_scaler != after.arithmetic.needs_scaler:
        wrong = [part for part in wrong if part != "scaler"]
    if wrong:
        named = " ".join(f"{cause.name}: {cause.evidence}" for cause in restored_wrong(wrong))
        raise ModelFileError(
            f"{folder.last}: {', '.join(wrong)} could not be restored exactly, so nothing was changed. {named} Please"
            f" report it; meanwhile start a new run from the weights: peakmark train model={folder.best} data=..."
        )
    return state
