"""How does a trained network become a faster one with the same outputs? Batch norms fold into their convolutions."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from peakmark.model.blocks import ConvNormAct
from peakmark.model.detector import Detector


def fused(model: Detector) -> Detector:
    """Gives a copy for inference, in evaluation mode and without gradients; the model itself is left as it is."""
    model = copy.deepcopy(model).eval().requires_grad_(False)
    for module in model.modules():
        if isinstance(module, ConvNormAct) and isinstance(module.norm, nn.BatchNorm2d):
            with torch.no_grad():
                module.conv = fuse_conv_bn_eval(module.conv, module.norm)
            module.norm = nn.Identity()
    return model
