"""What does a detector put out, and what is its error?

Shape letters: B images of a batch, A anchors, C classes, R bins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    import torch

    from peakmark.geometry.anchors import AnchorGrid

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class HeadOutput:
    """The raw outputs of the detector for a batch, and the anchors they belong to."""

    box_logits_BAR4: torch.Tensor
    """(B, A, 4 x R): left, top, right, bottom, each a distribution over R bins, in strides"""
    class_logits_BAC: torch.Tensor
    grid: AnchorGrid


@dataclass(frozen=True, slots=True)
class LossTerms(Generic[Value], Mapping[str, Value]):
    """A value for each term of the loss, by its name, in the order in which terms are added, saved and shown.

    The terms have their names here and nowhere else: `loss/detection.py` computes each, the setting of the same name
    weighs it, and whoever adds, saves or shows them goes through the names.
    """

    box: Value
    """How far the boxes are from covering their truths: 1 - CIoU"""
    cls: Value
    """How wrong the class scores are: binary cross-entropy"""
    dfl: Value
    """How far the distributions of the sides are from their true distances: distribution focal loss"""

    def __getitem__(self, name: str) -> Value:
        if name not in TERMS:  # another attribute is no term
            raise KeyError(name)
        value: Value = getattr(self, name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(TERMS)

    def __len__(self) -> int:
        return len(TERMS)


TERMS = tuple(term.name for term in fields(LossTerms))


@dataclass(frozen=True, slots=True)
class Gains(LossTerms[float]):
    """What each term is multiplied by."""

    @staticmethod
    def of(settings: Mapping[str, Any]) -> Gains:
        """Those of a run, from its settings by name. Raises KeyError where one is missing."""
        return Gains(**{name: settings[name] for name in TERMS})


@dataclass(frozen=True, slots=True)
class LossSums(LossTerms["torch.Tensor"]):
    """Unweighted sums of the terms over a batch, and the sum of target scores they are divided by."""

    target_scores: torch.Tensor


@dataclass(frozen=True, slots=True)
class Losses(LossTerms[float]):
    """The terms as they are logged: with their gains, divided by the sum of target scores."""


NO_LOSSES = Losses(**dict.fromkeys(TERMS, 0.0))
"""Where nothing was added up yet."""
