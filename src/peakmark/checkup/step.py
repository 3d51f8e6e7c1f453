"""Does the device compute a training step as it should: near the exact numbers, the same each time, by which kernels?

A step of a small network on real images is computed on the device in float32 and held, stage by stage, against the same
network on the processor in float64. Where a stage strays, it is named: a kernel that computes something else would
otherwise show as a training that learns a little worse.
"""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from peakmark.data.device_images import DeviceImages
from peakmark.data.loader import Microbatch, TrainLoader
from peakmark.distributed.processes import ALONE
from peakmark.loss.detection import Objective, detection_loss
from peakmark.machine.devices import Arithmetic, settle
from peakmark.model.detector import Detector, build_detector
from peakmark.model.norm_statistics import StatisticsByWindow
from peakmark.model.scales import SCALES
from peakmark.nouns.batch import Batch
from peakmark.nouns.checkup import Finding
from peakmark.nouns.losses import Gains, HeadOutput
from peakmark.run.build import first_segment, new_state
from peakmark.run.open_data import OpenData, open_cache
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import VERSION, Recipe, recipe
from peakmark.train.network import PlainNetwork
from peakmark.train.schedule import Rates
from peakmark.train.step import Stepper, weighted
from peakmark.train.windows import Window

MODEL = "yolov8n"
SAME_PIXELS = 0.999
"""Share of the pixels that torch augments to the very values of OpenCV's; 99.996 % where it was measured."""
BOUNDS = {"forward": 1e-4, "loss": 1e-4, "gradients": 1e-2}
"""How far float32 may be from float64, as a share of what is computed: some 50 times of what a processor shows."""
_KERNEL = re.compile(r"^(\S+) does not have a deterministic implementation")


@dataclass(frozen=True, slots=True)
class Computed:
    """What a step comes to, on the processor in float64."""

    forward: torch.Tensor
    loss: torch.Tensor
    gradients: torch.Tensor

    @staticmethod
    def of(output: HeadOutput, terms_T: torch.Tensor, model: Detector) -> Computed:
        found = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        logits = torch.cat((output.box_logits_BAR4.detach().flatten(), output.class_logits_BAC.detach().flatten()))
        return Computed(*(part.double().cpu() for part in (logits, terms_T, torch.cat(found))))

    def stages(self) -> dict[str, torch.Tensor]:
        return {"forward": self.forward, "loss": self.loss, "gradients": self.gradients}


class StepCheck:
    """A step on one device, with what it is held against."""

    def __init__(self, settings: Settings, data: OpenData, device: str) -> None:
        self._settings, self._data = settings, data
        self._objective = Objective(Gains.of(dict(settings)), VERSION)
        self._arithmetic = settle(device=device, amp=False, deterministic=True)
        self._model = build_detector(SCALES[MODEL], len(data.names), settings.seed).train()
        index, side_px = data.train_index, settings.imgsz
        self._batch = self._made(TrainLoader(index, open_cache(index, side_px, "off"), settings, 0, VERSION))

    def _made(self, loader: TrainLoader) -> Batch:
        return next(iter(loader.batches(0, [Microbatch(0, self._settings.batch)], mosaic_open=True)))

    def findings(self) -> Iterator[Finding]:
        """Yields what each look came to."""
        yield self.augmentation()
        with self._arithmetic.in_force():
            yield self.kernels()
            _without_tensor_float()
            exact = self._computed(replace(self._arithmetic, device="cpu"), double=True)
            first, again = self._computed(self._arithmetic), self._computed(self._arithmetic)
        yield from closeness(first, exact)
        yield repeatability(first, again)

    def augmentation(self) -> Finding:
        """Holds torch's augmentation on the device (cache=device) against OpenCV's."""
        index, side_px = self._data.train_index, self._settings.imgsz
        images = DeviceImages(index, side_px, self._arithmetic.device)
        found = self._made(TrainLoader(index, images, self._settings, 0, VERSION)).images_BCHW.cpu()
        same = float((found == self._batch.images_BCHW).float().mean())
        says = f"torch on {self._arithmetic.device} gives {same:.2%} of OpenCV's pixels (bound: {SAME_PIXELS:.1%})."
        if same < SAME_PIXELS:
            return Finding("augmentation", "failed", says, "Don't take cache=device here, and report it as a defect.")
        return Finding("augmentation", "ok", says)

    def kernels(self) -> Finding:
        """Makes an update in torch's deterministic mode, which tells of every operator that has no such kernel."""
        settings = self._settings
        segment = first_segment(settings, self._recipe(), None)
        state = new_state(settings, copy.deepcopy(self._model), self._arithmetic, segment)
        network = PlainNetwork(state.model, self._arithmetic)
        torch.use_deterministic_algorithms(True, warn_only=True)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            statistics = StatisticsByWindow(state.model, VERSION, ALONE)
            Stepper(state, network, self._objective, settings.clip_grad, statistics).attempt(
                Window((Microbatch(0, len(self._batch)),), 1.0),
                iter((self._batch,)),
                Rates(0.01, 0.01, 0.9),
                watch=lambda computed, batch: None,
                stop_requested=lambda: False,
            )
        return judged_kernels([str(warning.message) for warning in told])

    def _recipe(self) -> Recipe:
        return recipe(self._settings, classes=len(self._data.names), images=len(self._data.train_index))

    def _computed(self, arithmetic: Arithmetic, *, double: bool = False) -> Computed:
        model = arithmetic.place(copy.deepcopy(self._model))
        if double:
            model = model.double()
            # The head hands on float32 whatever it computes in; its input is in float64.
            output: HeadOutput = model(self._batch.images_BCHW.double() / 255)
        else:
            output = PlainNetwork(model, arithmetic)(self._batch.images_BCHW)
        loss, terms_T = weighted(detection_loss(output, self._batch, version=VERSION), self._objective.gains)
        torch.autograd.backward(loss)
        return Computed.of(output, terms_T, model)


def _without_tensor_float() -> None:
    """Convolutions in whole float32: rounded to TensorFloat-32, as in a run, a faulty kernel would go unnoticed."""
    convolutions = getattr(torch.backends.cudnn, "conv", None)
    if hasattr(convolutions, "fp32_precision"):
        convolutions.fp32_precision = "ieee"  # type: ignore[union-attr]
    else:
        torch.backends.cudnn.allow_tf32 = False


def closeness(found: Computed, exact: Computed) -> Iterator[Finding]:
    """Holds a step in float32 against the exact one, stage by stage."""
    for stage, value in found.stages().items():
        expected = exact.stages()[stage]
        off = float((value - expected).norm() / expected.norm())
        says = f"In float32 {off:.1e} from the processor's float64 (bound: {BOUNDS[stage]:.0e})."
        # A number that is none is not near either.
        if not off <= BOUNDS[stage]:
            yield Finding(stage, "failed", says, "Don't train on this device: update its driver and PyTorch first.")
        else:
            yield Finding(stage, "ok", says)


def repeatability(first: Computed, again: Computed) -> Finding:
    """Says whether the same step gave the same bits, and if not, from which stage on."""
    differ = [stage for stage, value in first.stages().items() if not torch.equal(value, again.stages()[stage])]
    if differ:
        return Finding(
            "same bits",
            "failed",
            f"The same step computed twice differs, first in its {differ[0]}.",
            "Runs can't be repeated or resumed to the last bit here: update the driver and PyTorch.",
        )
    return Finding("same bits", "ok", "The same step computed twice gives the same bits.")


def judged_kernels(told: list[str]) -> Finding:
    """Names the operators that torch warned of."""
    named = sorted({match[1] for text in told if (match := _KERNEL.match(text))})
    if named:
        return Finding(
            "kernels",
            "failed",
            f"No deterministic kernel on this device for: {', '.join(named)}.",
            "Runs repeat and resume here to the last digits, not to the last bit; another PyTorch may have the kernel.",
        )
    return Finding("kernels", "ok", "Every operator of an update has a deterministic kernel here.")
