"""Which of a network's boxes are detections? Those above the confidence, of which suppression keeps the best.

The same for every network, whatever computed its boxes: torch here, or another program's runtime. It must not know any.
Shape letters: B images, A anchors, C classes, N candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from peakmark.geometry.suppression import suppress
from peakmark.nouns.images import Detections
from peakmark.settings.fields import Settings


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What counts as a detection."""

    confidence: float
    """Scores above it count."""
    iou: float
    """Overlap above which the weaker of two boxes of a class is dropped."""
    max_detections: int
    """Of an image."""
    agnostic: bool = False
    """Whether the weaker of two is dropped whatever their classes are."""
    classes: tuple[int, ...] | None = None
    """Of which classes detections count; None for all. The others drop nobody, and take up no place among the most."""

    def unusual(self) -> tuple[str, ...]:
        """Says what of them is another than in a usual validation, by the names of the settings."""
        own = {"conf": self.confidence, "iou": self.iou, "max_det": self.max_detections}
        said = [f"{name}={value:g}" for name, value in own.items() if value != Settings.model_fields[name].default]
        chosen = () if self.classes is None else (f"classes=[{','.join(map(str, self.classes))}]",)
        return (*said, *(("agnostic_nms=True",) if self.agnostic else ()), *chosen)

    def counting(self, classes: int, device: torch.device) -> torch.Tensor | None:
        """(C,) whether each of the model's classes counts; None where all do."""
        if self.classes is None:
            return None
        counts_C = torch.zeros(classes, dtype=torch.bool, device=device)
        counts_C[list(self.classes)] = True
        return counts_C


@dataclass(frozen=True, slots=True)
class Candidates:
    """Boxes whose scores lie above the confidence, of a chunk, before suppression."""

    boxes_xyxy_px: torch.Tensor
    """(N, 4) float32, in px of the images as they were given"""
    scores: torch.Tensor
    """(N,)"""
    classes: torch.Tensor
    """(N,)"""
    image: torch.Tensor
    """(N,) which of the chunk"""


def candidates_in(
    boxes_BA4: torch.Tensor, scores_BAC: torch.Tensor, thresholds: Thresholds, *, one_class_per_box: bool
) -> Candidates:
    """Gives what lies above the confidence among decoded boxes, xyxy in px, and scores 0 to 1.

    `one_class_per_box`: as a person wants to see it, where the metric (False) takes every class of a box above the
    confidence as a detection of its own.
    """
    counts_C = thresholds.counting(scores_BAC.shape[2], scores_BAC.device)
    if one_class_per_box:
        best_BA, class_BA = scores_BAC.max(dim=2)
        counts_BA = best_BA > thresholds.confidence
        image, anchor = (counts_BA if counts_C is None else counts_BA & counts_C[class_BA]).nonzero(as_tuple=True)
        scores, classes = best_BA[image, anchor], class_BA[image, anchor]
    else:
        counts_BAC = scores_BAC > thresholds.confidence
        counts_BAC = counts_BAC if counts_C is None else counts_BAC & counts_C
        image, anchor, classes = counts_BAC.nonzero(as_tuple=True)
        scores = scores_BAC[image, anchor, classes]
    return Candidates(boxes_BA4[image, anchor], scores, classes, image)


def suppressed(found: Candidates, thresholds: Thresholds, images: int) -> list[Detections]:
    """Gives what stays of the candidates of a chunk of so many images, image by image, on the host."""
    kept_by_image = suppress(
        found.boxes_xyxy_px,
        found.scores,
        torch.zeros_like(found.classes) if thresholds.agnostic else found.classes,
        found.image,
        images=images,
        iou_threshold=thresholds.iou,
        max_kept=thresholds.max_detections,
    )
    # To the host in one go: each copy from a GPU is a wait.
    kept = torch.cat(kept_by_image)
    ends = np.cumsum([len(each) for each in kept_by_image])[:-1]
    of_all = (found.boxes_xyxy_px, found.scores, found.classes)
    columns = (np.split(column[kept].cpu().numpy(), ends) for column in of_all)
    return [Detections(*of_image) for of_image in zip(*columns, strict=True)]


def joined(parts: Sequence[Candidates]) -> Candidates:
    """All candidates, those of the first view first: of equal scores the one that comes first stays."""
    if len(parts) == 1:
        return parts[0]
    return Candidates(
        torch.cat([part.boxes_xyxy_px for part in parts]),
        torch.cat([part.scores for part in parts]),
        torch.cat([part.classes for part in parts]),
        torch.cat([part.image for part in parts]),
    )
