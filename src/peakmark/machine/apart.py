"""What may a training step ask of a device that computes by itself? To take numbers, and rarely to give some back.

A GPU does its work behind the processor's back, as long as the processor only hands it more. To read one number of it
is to wait until all is done, and then it stands idle until it is handed something new. So whoever trains sends with
`sent` and reads with `fetched`, nowhere else; `tests/unit/train/test_no_step_waits.py` holds it.
"""

from __future__ import annotations

import torch


def is_apart(device: torch.device) -> bool:
    """Whether a number there has to be waited for; those of the processor are simply there."""
    return device.type != "cpu"


def sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Gives a tensor of the processor on a device, without waiting for the copy; itself where it is there already."""
    if device.type != "cuda":
        return tensor.to(device)
    # From memory that the GPU reads by itself; torch gives it out again only when the copies from it are done.
    return tensor.pin_memory().to(device, non_blocking=True)


def fetched(values: torch.Tensor) -> list[float]:
    """Reads the numbers of a tensor (N,), waiting for the device until they are there."""
    numbers: list[float] = values.tolist()
    return numbers
