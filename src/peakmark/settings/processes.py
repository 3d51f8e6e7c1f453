"""How many processes are to compute a run, and on which devices? What the settings say, before anybody looks."""

from __future__ import annotations

from peakmark.errors import SettingsError
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


def names_gpus(settings: Settings) -> bool:
    """Whether GPUs are named, each of which one process can have."""
    return settings.device is not None and settings.device != "cpu"


def own_device(settings: Settings, local_rank: int, on_this_machine: int) -> str | None:
    """Gives the device of one of the processes on a machine; None is the best there is, a GPU of its own perhaps.

    Raises SettingsError where two processes would share a GPU: NCCL moves nothing between them then.
    """
    devices = devices_of(settings)
    if names_gpus(settings) and len(devices) < on_this_machine:
        raise SettingsError(
            [
                f"device={settings.device}: {on_this_machine} processes on this machine need a GPU each; leave device"
                " out, or name as many."
            ]
        )
    return devices[local_rank] if len(devices) > 1 else devices[0]
