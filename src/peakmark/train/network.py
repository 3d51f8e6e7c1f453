"""What does a microbatch go through: the network as it is written, or as torch compiles it?

Only a training's own forward and backward are ever compiled; validation and prediction know nothing of it. The compiled
code reads the weights where they are and is no part of the state.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

import torch

from peakmark.events import Notice, Observer
from peakmark.machine.compiling import compiled, compiling
from peakmark.machine.devices import Arithmetic
from peakmark.machine.stopping import StopNow
from peakmark.model.detector import Detector
from peakmark.nouns.losses import HeadOutput


class Network(Protocol):
    """A network in training."""

    def ready_for(self, images_BCHW: torch.Tensor) -> bool:
        """Does once for a shape what has to be done for it; False where a stop came before that was done."""

    def __call__(self, images_BCHW: torch.Tensor) -> HeadOutput:
        """Gives the outputs for images as bytes, on the processor; their gradient leads to the weights."""


class PlainNetwork:
    """Computes operation by operation."""

    def __init__(self, model: Detector, arithmetic: Arithmetic) -> None:
        self._model = model
        self._arithmetic = arithmetic

    def ready_for(self, images_BCHW: torch.Tensor) -> bool:
        return True

    def __call__(self, images_BCHW: torch.Tensor) -> HeadOutput:
        with self._arithmetic.autocast():
            output: HeadOutput = self._model(self._arithmetic.prepare(images_BCHW))
        return output


class CompiledNetwork:
    """Computes whole microbatches by code made for their shape; a shorter one, at an epoch's end, as it is written.

    To compile for the few short ones of a run would take longer than they gain. Which is which follows from the shape
    alone, so a resumed run computes the same.
    """

    def __init__(
        self,
        model: Detector,
        arithmetic: Arithmetic,
        images: int,
        observe: Observer,
        at_once: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """`images`: of a whole microbatch. `at_once`: a stop raises StopNow inside."""
        self._plain = PlainNetwork(model, arithmetic)
        self._compiled = compiled(model, arithmetic)
        self._model = model
        self._arithmetic = arithmetic
        self._images = images
        self._observe = observe
        self._at_once = at_once
        self._ready: set[torch.Size] = set()

    def ready_for(self, images_BCHW: torch.Tensor) -> bool:
        shape = images_BCHW.shape
        if len(images_BCHW) != self._images or shape in self._ready:
            return True
        size = f"{shape[0]} images of {shape[2]} px"
        self._observe(Notice(f"The network is compiled for {size}: minutes the first time, seconds later."))
        began_at = time.monotonic()
        try:
            with self._at_once(), compiling():
                self._rehearse(images_BCHW)
        except StopNow:
            return False
        self._ready.add(shape)
        self._observe(Notice(f"It was compiled in {time.monotonic() - began_at:.0f} s."))
        return True

    def __call__(self, images_BCHW: torch.Tensor) -> HeadOutput:
        if len(images_BCHW) != self._images:
            return self._plain(images_BCHW)
        with self._arithmetic.autocast():
            output: HeadOutput = self._compiled(self._arithmetic.prepare(images_BCHW))
        return output

    def _rehearse(self, images_BCHW: torch.Tensor) -> None:
        """Goes forward and back once, which is when torch compiles, and leaves no trace in the state."""
        buffers = list(self._model.buffers())
        set_aside = [buffer.clone() for buffer in buffers]
        trained = [parameter for parameter in self._model.parameters() if parameter.requires_grad]
        try:
            output = self(images_BCHW)
            torch.autograd.grad(output.box_logits_BAR4.sum() + output.class_logits_BAC.sum(), trained)
        finally:
            # Batch norm moved its statistics.
            for buffer, before in zip(buffers, set_aside, strict=True):
                buffer.copy_(before)
