"""How does a run get to W&B? By its client, to project and entity of WANDB_PROJECT and WANDB_ENTITY, as its users know.

WANDB_MODE=offline writes files into the run folder, which `wandb sync` sends later.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peakmark.loggers.logger import Ending, Point, RunFacts
from peakmark.loggers.place import folder_of
from peakmark.nouns.outcome import OVER


class WandB:
    """A run of a project. What it takes it sends on in a process of its own, so only its end says that all is there."""

    keeps_what_is_sent = False

    def __init__(self) -> None:
        self._run: Any = None

    def open(self, run: RunFacts, known_id: str | None) -> str:
        import wandb

        # Nothing of this process is of interest: it only copies numbers.
        quiet = wandb.Settings(
            console="off",
            silent=True,
            disable_git=True,
            disable_code=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
            init_timeout=30,
        )
        own_id = known_id or uuid.uuid4().hex[:8]
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or "peakmark",
            dir=os.environ.get("WANDB_DIR") or str(folder_of(run.folder, "wandb")),
            id=own_id,
            resume="allow",
            name=run.name,
            config={**run.settings, **{f"changed.{name}": text for name, text in run.changed.items()}},
            allow_val_change=True,
            settings=quiet,
        )
        self._run.define_metric("epoch")
        self._run.define_metric("*", step_metric="epoch")
        return own_id

    def send(self, points: Sequence[Point]) -> None:
        for point in points:
            # Its steps may only rise, while a resume may go back to an earlier epoch: so a step is a point's number,
            # and what the server has already, it doesn't take again.
            if point.number >= self._run.step:
                self._run.log({"epoch": point.epoch, **point.values}, step=point.number, commit=True)

    def close(self, ending: Ending | None) -> None:
        if ending is not None:
            self._run.summary.update({"outcome": ending.outcome, "text": ending.text})
        self._run.finish(exit_code=0 if ending is not None and ending.outcome in OVER else 1)

    @property
    def where(self) -> str:
        return f"W&B, {self._run.url}" if self._run.url else f"W&B, offline: wandb sync {Path(self._run.dir).parent}"


def server() -> str:
    """What a logged run's id belongs to. Asks nobody."""
    names = ("WANDB_BASE_URL", "WANDB_ENTITY", "WANDB_PROJECT")
    return ", ".join(["W&B", *(os.environ[name] for name in names if os.environ.get(name))])


def make() -> WandB:
    return WandB()
