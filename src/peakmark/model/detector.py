"""What is a YOLOv8 detector? Backbone, neck and head, written out in the order of the published layer table.

The numbers in the comments are the indices of that table; `freeze` counts by them. Shapes: B batch, A anchors,
C classes, R bins. It knows no loss and no data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from peakmark.errors import ModelFileError
from peakmark.geometry.anchors import anchor_grid, boxes_from_distributions
from peakmark.machine.streams import stream
from peakmark.model.blocks import SPPF, C2f, Conv, ConvNormAct, Doubled
from peakmark.model.scales import Scale
from peakmark.nouns.losses import HeadOutput

STRIDES = (8, 16, 32)
BINS = 16
LAYERS = 23
CLASS_BIAS = "head.cls.0.2.bias"
"""A value for each class, in the state dict of every detector."""


class Backbone(nn.Module):
    """From an image to feature maps at strides 8, 16 and 32."""

    def __init__(self, scale: Scale) -> None:
        super().__init__()
        c64, c128, c256, c512, c1024 = (scale.channels(c) for c in (64, 128, 256, 512, 1024))
        n3, n6 = scale.repeats(3), scale.repeats(6)
        self.stem = ConvNormAct(3, c64, 3, 2)  # 0
        self.down2 = ConvNormAct(c64, c128, 3, 2)  # 1
        self.stage2 = C2f(c128, c128, n3, shortcut=True)  # 2
        self.down3 = ConvNormAct(c128, c256, 3, 2)  # 3
        self.stage3 = C2f(c256, c256, n6, shortcut=True)  # 4
        self.down4 = ConvNormAct(c256, c512, 3, 2)  # 5
        self.stage4 = C2f(c512, c512, n6, shortcut=True)  # 6
        self.down5 = ConvNormAct(c512, c1024, 3, 2)  # 7
        self.stage5 = C2f(c1024, c1024, n3, shortcut=True)  # 8
        self.pyramid = SPPF(c1024, c1024)  # 9

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        p3 = self.stage3(self.down3(self.stage2(self.down2(self.stem(images)))))
        p4 = self.stage4(self.down4(p3))
        p5 = self.pyramid(self.stage5(self.down5(p4)))
        return p3, p4, p5


class Neck(nn.Module):
    """Carries what the coarse maps know down to the fine ones, and back up."""

    def __init__(self, scale: Scale) -> None:
        super().__init__()
        c256, c512, c1024 = (scale.channels(c) for c in (256, 512, 1024))
        n3 = scale.repeats(3)
        self.upsample = Doubled()  # 10, 13
        self.down_p4 = C2f(c1024 + c512, c512, n3, shortcut=False)  # 12 (11 joins)
        self.out_p3 = C2f(c512 + c256, c256, n3, shortcut=False)  # 15 (14 joins)
        self.up_p4 = ConvNormAct(c256, c256, 3, 2)  # 16
        self.out_p4 = C2f(c256 + c512, c512, n3, shortcut=False)  # 18 (17 joins)
        self.up_p5 = ConvNormAct(c512, c512, 3, 2)  # 19
        self.out_p5 = C2f(c512 + c1024, c1024, n3, shortcut=False)  # 21 (20 joins)

    def forward(self, p3: torch.Tensor, p4: torch.Tensor, p5: torch.Tensor) -> tuple[torch.Tensor, ...]:
        middle = self.down_p4(torch.cat((self.upsample(p5), p4), dim=1))
        fine = self.out_p3(torch.cat((self.upsample(middle), p3), dim=1))
        medium = self.out_p4(torch.cat((self.up_p4(fine), middle), dim=1))
        coarse = self.out_p5(torch.cat((self.up_p5(medium), p5), dim=1))
        return fine, medium, coarse


class Head(nn.Module):
    """Two branches per level: distances to the four sides as distributions over bins, and a logit per class."""

    def __init__(self, channels: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        box_hidden = max(16, channels[0] // 4, 4 * BINS)
        class_hidden = max(channels[0], min(classes, 100))
        self.classes = classes
        self.box = nn.ModuleList(_branch(c, box_hidden, 4 * BINS) for c in channels)
        self.cls = nn.ModuleList(_branch(c, class_hidden, classes) for c in channels)
        # A parameter that doesn't train, not a buffer: the published parameter counts include it.
        self.bins = nn.Parameter(torch.empty(BINS), requires_grad=False)

    def forward(self, levels: tuple[torch.Tensor, ...]) -> HeadOutput:
        box = [_by_anchor(branch(level)) for branch, level in zip(self.box, levels, strict=True)]
        cls = [_by_anchor(branch(level)) for branch, level in zip(self.cls, levels, strict=True)]
        sizes = [(level.shape[2], level.shape[3]) for level in levels]
        # float32 from here on in every precision: decoding, losses and suppression read these.
        return HeadOutput(
            torch.cat(box, dim=1).float(),
            torch.cat(cls, dim=1).float(),
            anchor_grid(sizes, STRIDES, levels[0].device),
        )


def _branch(in_channels: int, hidden: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        ConvNormAct(in_channels, hidden, 3), ConvNormAct(hidden, hidden, 3), Conv(hidden, out_channels, 1)
    )


def _by_anchor(level_BCHW: torch.Tensor) -> torch.Tensor:
    """(B, C, H, W) to (B, H x W, C); free of copies for channels-last maps."""
    return level_BCHW.permute(0, 2, 3, 1).flatten(1, 2)


class Detector(nn.Module):
    """The whole network: images (B, 3, H, W), 0 to 1, RGB, H and W multiples of 32, to raw head outputs.

    Made without values: it is built by one of the functions below, which give it some.
    """

    def __init__(self, scale: Scale, classes: int) -> None:
        super().__init__()
        self.architecture = scale.name
        self.backbone = Backbone(scale)
        self.neck = Neck(scale)
        self.head = Head((scale.channels(256), scale.channels(512), scale.channels(1024)), classes)
        # A notebook may have set another default: fused in float64, weights of float32 give other last digits.
        self.float()

    def forward(self, images: torch.Tensor) -> HeadOutput:
        out: HeadOutput = self.head(self.neck(*self.backbone(images)))
        return out

    def layers(self) -> dict[int, nn.Module]:
        """The modules by their index in the published table; joins and upsampling hold no weights and are left out."""
        b, n = self.backbone, self.neck
        in_backbone = (b.stem, b.down2, b.stage2, b.down3, b.stage3, b.down4, b.stage4, b.down5, b.stage5, b.pyramid)
        in_neck = {12: n.down_p4, 15: n.out_p3, 16: n.up_p4, 18: n.out_p4, 19: n.up_p5, 21: n.out_p5}
        return dict(enumerate(in_backbone)) | in_neck | {22: self.head}


def decode(output: HeadOutput) -> tuple[torch.Tensor, torch.Tensor]:
    """Gives boxes (B, A, 4) xyxy in px of the input and scores (B, A, C), 0 to 1, without gradient; in float32."""
    # Image by image: torch rounds the last numbers of a tensor otherwise than the rest, and which of an image's are the
    # last would depend on what follows it in the batch. Into one tensor: to stack them takes as long again.
    logits_BAC = output.class_logits_BAC.detach()
    scores_BAC = torch.empty_like(logits_BAC)
    for logits_AC, scores_AC in zip(logits_BAC, scores_BAC, strict=True):
        torch.sigmoid(logits_AC, out=scores_AC)
    return boxes_from_distributions(output.box_logits_BAR4, output.grid), scores_BAC


def tensors_of(model: Detector) -> list[torch.Tensor]:
    """All that an evaluation of the model depends on: parameters and buffers, in one order."""
    return [*model.parameters(), *model.buffers()]


# --- how one is made --------------------------------------------------------------------------------------------------


def build_detector(scale: Scale, classes: int, seed: int) -> Detector:
    """Builds a detector with fresh weights, a pure function of scale, classes and seed."""
    model = Detector(scale, classes)
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, nn.Conv2d):
                _initialise_convolution(module, name, seed)
        model.head.bins.copy_(torch.arange(BINS, dtype=torch.float32))
        _initialise_biases(model.head)
    return model


def detector_from_weights(scale: Scale, weights: Mapping[str, torch.Tensor]) -> Detector:
    """Builds a detector with a copy of a state dict, for as many classes as that is for.

    Raises ModelFileError where these are not the weights of this scale.
    """
    model = Detector(scale, classes_of(weights))
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        words = " ".join(str(error).split())[:200]
        raise ModelFileError(f"These weights are not those of a {scale.name}: {words}") from error
    return model


def detector_on_meta(scale: Scale, classes: int) -> Detector:
    """Builds a detector whose weights have names, shapes and types, but no values: it takes no memory."""
    with torch.device("meta"):
        return Detector(scale, classes)


def classes_of(weights: Mapping[str, torch.Tensor]) -> int:
    """How many classes a detector's state dict is for. Raises ModelFileError where it is no such state dict."""
    bias = weights.get(CLASS_BIAS)
    if not isinstance(bias, torch.Tensor):
        raise ModelFileError(
            f"This is no state dict of a Peakmark detector: {CLASS_BIAS} is not in it. Of what torch.load gives for"
            ' a checkpoint, take the entry ["model"].'
        )
    return len(bias)


def _initialise_convolution(conv: nn.Conv2d, name: str, seed: int) -> None:
    fan_in = conv.in_channels * conv.kernel_size[0] * conv.kernel_size[1]
    bound = 1 / math.sqrt(fan_in)
    draws = stream(seed, f"weights/{name}").uniform(-bound, bound, tuple(conv.weight.shape))
    conv.weight.copy_(torch.from_numpy(draws.astype(np.float32)))


def _initialise_biases(head: Head) -> None:
    """Starts the class scores at the rate of objects to expect, so that the first losses are not spent on learning it.

    About five objects of any class in a 640 px image, spread over the cells of each level (the prior of focal loss,
    arXiv 1708.02002, section 4.1, as the YOLO family sets it).
    """
    for box, cls, stride in zip(head.box, head.cls, STRIDES, strict=True):
        for branch, value in ((box, 1.0), (cls, math.log(5 / head.classes / (640 / stride) ** 2))):
            last = branch[-1] if isinstance(branch, nn.Sequential) else branch
            assert isinstance(last, nn.Conv2d)
            assert last.bias is not None
            last.bias.fill_(value)
