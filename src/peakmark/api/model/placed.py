"""Where does a model compute? On the best device there is, or on the one that was chosen for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch

from peakmark.machine.devices import settle
from peakmark.settings.fields import PredictSettings
from peakmark.settings.parse import parse


class OnADevice:
    """A model that can be told where to train, validate and predict."""

    _device: str | None = None

    @property
    def device(self) -> torch.device:
        """Where it trains, validates and predicts unless device= says otherwise."""
        return torch.device(settle(device=self._device, amp=False, deterministic=False).device)

    def to(self, device: str | int | torch.device) -> Self:
        """Trains, validates and predicts on this device from now on, unless device= says otherwise; gives itself.

        Raises SettingsError where it is no device, and MachineError where this machine hasn't got it.
        """
        wish = str(device) if isinstance(device, torch.device) else device
        named = parse(PredictSettings, {"model": "-", "device": wish}).settings.device
        settle(device=named, amp=False, deterministic=False)
        self._device = named
        return self

    def cpu(self) -> Self:
        """`to("cpu")`"""
        return self.to("cpu")

    def cuda(self, device: int = 0) -> Self:
        """`to` that GPU"""
        return self.to(device)

    def _placed(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings, with the device that `to` chose where they name none."""
        return {**({} if self._device is None else {"device": self._device}), **settings}
