"""Does the device measure weights as the processor does? A validation of the same weights on both, in float32."""

from __future__ import annotations

from pathlib import Path

from peakmark.checkpoint.reader import read
from peakmark.evaluate.validator import Validated
from peakmark.loss.detection import Objective
from peakmark.machine.devices import settle
from peakmark.model.detector import detector_from_weights
from peakmark.model.scales import SCALES
from peakmark.nouns.checkup import Finding
from peakmark.nouns.losses import Gains
from peakmark.run.open_data import OpenData, open_validation_set
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import VERSION
from peakmark.validation.validation import validate_weights

FARTHEST_MAP = 0.005
FARTHEST_LOSS = 1e-3
"""As a share of the loss."""


def compare_metrics(weights: Path, settings: Settings, data: OpenData, device: str) -> Finding:
    """Validates a checkpoint on both; `data` has a validation set. Raises ModelFileError where it can't be read."""
    there, here = (_validated(weights, settings, data, where) for where in (device, "cpu"))
    off_map = abs(there.evaluation.metrics["map50_95"] - here.evaluation.metrics["map50_95"])
    ours, theirs = there.evaluation.losses, here.evaluation.losses
    off_loss = max(abs(ours[name] - loss) / loss for name, loss in theirs.items()) if ours and theirs else 0.0
    says = (
        f"The same weights on {device} and the processor: mAP50-95 {off_map:.4f} apart (bound: {FARTHEST_MAP}), losses"
        f" {off_loss:.0e} (bound: {FARTHEST_LOSS:.0e})."
    )
    if off_map <= FARTHEST_MAP and off_loss <= FARTHEST_LOSS:
        return Finding("metrics", "ok", says)
    return Finding("metrics", "failed", says, "Don't choose weights by numbers of this device: update its driver.")


def _validated(weights: Path, settings: Settings, data: OpenData, device: str) -> Validated:
    checkpoint = read(weights)
    arithmetic = settle(device=device, amp=False, deterministic=True)
    assert data.val_index is not None
    opened = open_validation_set(settings, data.val_index, data.names, arithmetic)
    model = detector_from_weights(SCALES[checkpoint.architecture], checkpoint.model).eval()
    return validate_weights(model, opened, arithmetic, Objective(Gains.of(dict(settings)), VERSION))
