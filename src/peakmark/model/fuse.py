"""How does a trained network become a faster one with the same outputs? Batch norms fold into their convolutions.

On a processor the activations do so as well.
"""

from __future__ import annotations

from typing import cast

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from peakmark.machine.onednn import PackedConvolution, packs_convolutions
from peakmark.model.blocks import Conv, ConvNormAct
from peakmark.model.detector import Detector


def fused(model: Detector) -> Detector:
    """Gives a copy for inference, in evaluation mode and without gradients; the model itself is left as it is."""
    model = cast(Detector, _copied(model)).eval()
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


def _copied(module: nn.Module) -> nn.Module:
    """Gives the same modules with tensors of their own, which want no gradients.

    `copy.deepcopy` copies the dozen tables of hooks of each module as well, and takes twice as long as all else here.
    """
    own = module.__new__(type(module))
    # Tables of its own for what is exchanged below: in those of the original, its batch norms would be gone.
    own.__dict__ = module.__dict__ | {
        "_parameters": {
            name: tensor if tensor is None else nn.Parameter(tensor.detach().clone(), requires_grad=False)
            for name, tensor in module._parameters.items()
        },
        "_buffers": {name: tensor if tensor is None else tensor.clone() for name, tensor in module._buffers.items()},
        "_modules": {name: child if child is None else _copied(child) for name, child in module._modules.items()},
    }
    return own


def packed(model: Detector) -> Detector:
    """Gives a fused model that is on the processor, in its final precision, its convolutions and activations in one.

    The model itself is used up. Where torch can't do it here, the model is given back as it is.
    """
    if packs_convolutions():
        _pack_inside(model)
    return model


def _pack_inside(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, ConvNormAct):
            setattr(module, name, PackedConvolution(child.conv, silu=True))
        elif isinstance(child, Conv):
            setattr(module, name, PackedConvolution(child, silu=False))
        else:
            _pack_inside(child)
