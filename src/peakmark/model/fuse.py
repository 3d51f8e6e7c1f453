"""How does a trained network become a faster one with the same outputs? Batch norms fold into their convolutions."""

from __future__ import annotations

import copy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from peakmark.model.blocks import ConvNormAct
from peakmark.model.detector import Detector


def fused(model: Detector) -> Detector:
    """Gives a copy for inference, in evaluation mode and without gradients; the model itself is left as it is."""
    model = copy.deepcopy(model).eval().requires_grad_(False)
    for module in model.modules():
        if isinstance(module, ConvNormAct) and isinstance(module.norm, nn.BatchNorm2d):
            conv, norm = module.conv, module.norm
            assert norm.running_mean is not None
            assert norm.running_var is not None
            conv.weight, conv.bias = fuse_conv_bn_weights(
                conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
            )
            module.norm = nn.Identity()
    return model
