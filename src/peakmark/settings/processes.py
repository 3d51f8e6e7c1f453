"""How many processes are to compute a run, and on which devices? What the settings say, before anybody looks."""

from __future__ import annotations

from peakmark.settings.fields import Settings


def devices_of(settings: Settings) -> tuple[str | None, ...]:
    """Gives the devices that are named, one for each process; None is the best there is."""
    device = settings.device
    if device is None or "," not in device:
        return (device,)
    return tuple(f"cuda:{number}" for number in device.split(","))


def processes_of(settings: Settings) -> int:
    """Gives how many processes are asked for."""
    return settings.processes or len(devices_of(settings))


def own_device(settings: Settings, local_rank: int) -> str | None:
    """Gives the device of one of the processes on a machine."""
    devices = devices_of(settings)
    if len(devices) > 1:
        return devices[local_rank % len(devices)]
    # torchrun starts several and says which of them this is; of `cpu`, or of one GPU, all have the same.
    return devices[0]
