"""Do restored weights give the numbers that were logged of them? Validated again where they had been validated.

Digests prove that the state is the file's. This asks more: whether this machine, with these libraries and these data,
sees the same model as the one that wrote it. It must not know what the run goes on to do.
"""

from __future__ import annotations

from typing import Literal

from peakmark.errors import ModelFileError
from peakmark.events import Notice, Observer
from peakmark.loss.detection import Objective
from peakmark.nouns.losses import Gains
from peakmark.resume.compare import Planned
from peakmark.run.open_data import open_validation_set
from peakmark.state.state import RunState
from peakmark.validation.validation import validate_weights

_ORDINARY = 0.005
_WRONG = 0.03
"""mAP50-95: another device moves it by less than the first, and more than the second is no rounding."""


def probed(
    planned: Planned, state: RunState, wish: Literal["quick", "full"] | None, observe: Observer
) -> tuple[str, ...]:
    """Validates the restored weights where that is wished, or where something else than the run was changed."""
    if wish == "quick" or (wish is None and not planned.plan.inexact):
        return ()
    return (validated_again(planned, state, observe),)


def validated_again(planned: Planned, state: RunState, observe: Observer) -> str:
    """Says in a sentence what came of it. Raises ModelFileError where the weights are plainly not those of the log."""
    logged, val_index = planned.checkpoint.metrics, planned.data.val_index
    if logged is None:
        return "The weights were not validated where the run stopped, so only their digests were compared."
    if val_index is None or val_index.fingerprint != planned.checkpoint.provenance["data"]["val"]:
        return "The validation data are others than the run's, so only the digests of its weights were compared."
    old, arithmetic = planned.before.settings, planned.after.arithmetic
    data = open_validation_set(old, val_index, planned.checkpoint.names, arithmetic)
    observe(Notice(f"The restored weights are validated again, on {len(val_index):,} images."))
    recipe = planned.before.recipe
    objective = Objective(Gains.of(dict(old)), recipe.version, recipe.class_weights)
    evaluation = validate_weights(state.ema, data, arithmetic, objective).evaluation
    # Compared as text: NaN, for a size of object that does not occur, equals itself there.
    if all(repr(evaluation.metrics[name]) == repr(value) for name, value in logged.items()):
        same = f"the logged mAP50-95 {logged['map50_95']:.4f} to the last digit"
        return f"Validated again, the restored weights give {same}."
    moved = abs(evaluation.metrics["map50_95"] - logged["map50_95"])
    said = f"Validated again, the restored weights give mAP50-95 {evaluation.metrics['map50_95']:.4f} instead of"
    said = f"{said} {logged['map50_95']:.4f}"
    if moved > _WRONG:
        raise ModelFileError(
            f"{said}: this is not the model of the log, so nothing was changed. probe=quick skips this."
        )
    if moved > _ORDINARY:
        observe(Notice(f"{said}: more than another device or library explains.", serious=True))
    return f"{said}: {'; '.join(planned.plan.inexact) or 'this machine did not compute the same twice'}."
