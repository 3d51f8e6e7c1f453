"""Makes model files as the peer's program writes them, plain and altered, with what it computes from each of them.

usage: PEER_PYTHON foreign_files.py FOLDER
Beside NAME.pt lies NAME.npz: an image of noise and the decoded outputs, as the peer's program gives them after reading
that file; where it can't, NAME.txt with its words. Run by the peer's python; read by benchmarks/foreign_files.py.
"""
# mypy: ignore-errors

import copy
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from ultralytics import YOLO

SIDE_PX = 96
torch.set_num_threads(1)  # as it is read again: another number rounds otherwise
folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)


def made(name: str, classes: int | None = None) -> YOLO:
    """A model with weights and statistics of which each matters."""
    torch.manual_seed(sum(map(ord, name)))
    yolo = YOLO(name, verbose=False)
    if classes is not None:
        kind = type(yolo.model)
        yolo.model = kind(cfg=name, nc=classes, verbose=False)
    norms = [module for module in yolo.model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.7, 1.4)
        nn.init.uniform_(norm.bias, -0.3, 0.3)
        norm.momentum = 1.0
    # Statistics as of a training: without them values grow from layer to layer until all scores are 0 or 1.
    yolo.model.train()
    with torch.no_grad():
        yolo.model(torch.rand(8, 3, 2 * SIDE_PX, 2 * SIDE_PX))
        for module in yolo.model.modules():
            # The last layers of a head: as after a training, neither all bins nor all classes are sure.
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.normal_(module.weight, std=0.3 * module.in_channels**-0.5)
                nn.init.uniform_(module.bias, -1, 1)
    yolo.model.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return yolo


def compute(path: Path) -> None:
    """Reads a file with the peer's program and writes down what it gives."""
    torch.manual_seed(1)
    channels = 1 if "grey" in path.name else 3
    images = torch.rand(2, channels, SIDE_PX, SIDE_PX)
    try:
        model = YOLO(path).model.float().eval()
        with torch.inference_mode():
            out = model(images)
        decoded = out[0] if isinstance(out, list | tuple) else out
        np.savez(path.with_suffix(".npz"), input=images.numpy(), decoded=decoded.numpy())
    except Exception as error:  # noqa: BLE001
        path.with_suffix(".txt").write_text(f"{type(error).__name__}: {error}"[:500])


def save(name: str, yolo: YOLO, change=lambda model: None) -> None:
    """Writes a file in the program's own way, after a change of its model."""
    yolo = copy.deepcopy(yolo)
    change(yolo.model)
    path = folder / f"{name}.pt"
    yolo.ckpt = {}
    yolo.save(path)
    compute(path)


def each(kind, **said):
    def change(model: nn.Module) -> None:
        for module in model.modules():
            if isinstance(module, kind):
                module.__dict__.update(said)

    return change


def one(path: str, **said):
    return lambda model: model.get_submodule(path).__dict__.update(said)


def put(path: str, child: nn.Module):
    def change(model: nn.Module) -> None:
        owner, _, name = path.rpartition(".")
        model.get_submodule(owner)._modules[name] = child

    return change


def first_of_chain_is_gone(model: nn.Module) -> None:
    model.get_submodule("model.4").m = model.get_submodule("model.4").m[1:]


def relu_everywhere(model: nn.Module) -> None:
    for path, module in list(model.named_modules()):
        if hasattr(module, "act"):
            put(f"{path}.act", nn.ReLU())(model)


for scale in "nsmlx":
    save(f"scale-{scale}", made(f"yolov8{scale}.yaml", 3))
plain = made("yolov8n.yaml", 3)
save("fused", plain, lambda model: model.fuse(verbose=False))
fused_large = made("yolov8m.yaml", 7)
save("fused-m", fused_large, lambda model: model.fuse(verbose=False))
for classes in (1, 2, 80, 150):
    save(f"classes-{classes}", made("yolov8n.yaml", classes))
save("eps-of-all", plain, each(nn.BatchNorm2d, eps=1e-5))
save("eps-of-one", plain, one("model.4.cv1.bn", eps=0.1))
save("momentum", plain, each(nn.BatchNorm2d, momentum=0.1))
save("no-activation-in-pooling", plain, put("model.9.cv1.act", nn.Identity()))
save("relu-in-one-layer", plain, put("model.6.m.0.cv2.act", nn.ReLU()))
save(
    "relu-everywhere",
    plain,
    lambda m: [put(f"{p}.act", nn.ReLU())(m) for p, x in list(m.named_modules()) if hasattr(x, "act")],
)
save("leaky", plain, put("model.0.act", nn.LeakyReLU(0.1)))
save("hardswish", plain, put("model.2.cv1.act", nn.Hardswish()))
save("stride", plain, one("model.0.conv", stride=(1, 1)))
save("stride-of-two", plain, lambda m: (one("model.0.conv", stride=(1, 1))(m), one("model.1.conv", stride=(4, 4))(m)))
save("padding", plain, one("model.2.m.0.cv1.conv", padding=(2, 2), dilation=(2, 2)))
save("padding-mode", plain, one("model.1.conv", padding_mode="reflect", _reversed_padding_repeated_twice=[1] * 4))
save("pooling", plain, put("model.9.m", nn.MaxPool2d(3, 1, 1)))
save("upsampling", plain, one("model.10", mode="bilinear"))
save("no-shortcut", plain, one("model.2.m.0", add=False))
save("shortcut-in-neck", plain, one("model.12.m.0", add=True))
save("order-of-joining", plain, one("model.11", f=[6, -1]))
save("missing-layer", plain, first_of_chain_is_gone)
save("bins", plain, lambda m: m.model[-1].dfl.conv.weight.data.mul_(2))
save("double", plain, lambda m: m.double())
for name in (
    "yolov8n-seg",
    "yolov8n-pose",
    "yolov8n-cls",
    "yolov8n-obb",
    "yolo11n",
    "yolov5n",
    "yolov8n-p2",
    "yolov8n-ghost",
    "yolov10n",
    "yolov9t",
    "yolo12n",
    "yolov8n-worldv2",
    "yolov3-tiny",
    "yolo26n",
):
    try:
        other = made(f"{name}.yaml")
    except Exception as error:  # noqa: BLE001
        print("not made:", name, error)
        continue
    save(f"other-{name}", other)
grey = type(plain.model)(cfg="yolov8n.yaml", nc=3, ch=1, verbose=False)
other = copy.deepcopy(plain)
other.model = grey
save("grey", other)
images = torch.rand(2, 3, SIDE_PX, SIDE_PX)
with torch.inference_mode():
    decoded = plain.model.float().eval()(images)[0]
for name, weights in {
    "state-dict": plain.model.state_dict(),
    "state-dict-inside": {"model": plain.model.state_dict()},
    "state-dict-of-yolo": plain.state_dict(),
}.items():
    torch.save(weights, folder / f"{name}.pt")
    np.savez(folder / f"{name}.npz", input=images.numpy(), decoded=decoded.numpy())
