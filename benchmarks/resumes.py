"""Does a run on real data go on as it should? Interrupted, made longer, given another optimizer, and broken on purpose.

usage: python benchmarks/resumes.py DATA_YAML PROJECT [--epochs 30] [key=value ...]

Four stories, each told in a line of the table:
1. killed inside an epoch in the middle, resumed: equal to the uninterrupted run?
2. finished, made half as long again with the rate and phase it ended with: inside the band?
3. optimizer=SGD, in its last third turned to AdamW with lr0=0.001 cos_lr=True: inside the band?
4. the same with ten times the rate, and with its optimizer state lost: found?
A run that is in PROJECT already is not trained again, so the script can be stopped and started.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peakmark
from peakmark import YOLO
from peakmark.checkpoint.reader import read
from peakmark.checkpoint.writer import save
from peakmark.events import EpochEnded, Event, MicrobatchDone, ResumePlanned, SeamJudged
from peakmark.nouns.resume import ChangePlan, Continuity


class Watcher:
    """Remembers what is told of a seam, prints epochs, and presses Ctrl-C where it is told to."""

    def __init__(self, stop: Callable[[Event], bool] = lambda event: False) -> None:
        self.verdict: Continuity | None = None
        self.plan: ChangePlan | None = None
        self._stop = stop

    def __call__(self, event: Event) -> None:
        if isinstance(event, SeamJudged):
            self.verdict = event.verdict
        if isinstance(event, ResumePlanned):
            self.plan = event.plan
        if isinstance(event, EpochEnded):
            numbers = event.record.metrics or {}
            print(f"  epoch {event.record.epoch + 1}: mAP50-95 {numbers.get('map50_95', float('nan')):.4f}", flush=True)
        if self._stop(event):
            os.kill(os.getpid(), signal.SIGINT)


def inside(epoch: int) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, MicrobatchDone) and event.epoch == epoch and event.images_done > 64


def after(epoch: int) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, EpochEnded) and event.record.epoch == epoch


def judged(event: Event) -> bool:
    return isinstance(event, SeamJudged)


def digests(run: Path) -> dict[str, str]:
    found: dict[str, str] = peakmark.inspect(run / "weights/last.pt")["digests"]
    return found


class Stories:
    """Runs in one folder, with the settings they share."""

    def __init__(self, data: str, project: Path, epochs: int, wishes: dict[str, Any]) -> None:
        self._given = {"data": data, "project": project, "epochs": epochs, "plots": False, **wishes}
        self._project = project
        self._epochs = epochs

    def _trained(self, name: str, watcher: Watcher, **wishes: Any) -> Path:
        if not (self._project / name).is_dir():
            print(name)
            YOLO("yolov8n.yaml").train(observer=watcher, name=name, **self._given, **wishes)
        return self._project / name

    def _copied(self, run: Path, name: str) -> Path:
        shutil.rmtree(self._project / name, ignore_errors=True)
        print(name)
        return Path(shutil.copytree(run, self._project / name))

    def interrupted(self) -> str:
        whole = self._trained("whole", Watcher())
        stopped = self._trained("stopped", Watcher(inside(self._epochs // 2)))
        YOLO().resume(stopped, observer=(watcher := Watcher()))
        same = digests(stopped) == digests(whole)
        verdict = watcher.verdict.kind if watcher.verdict else "none"
        return f"{'equal to the last bit' if same else 'DIFFERENT'}; the band says {verdict}"

    def made_longer(self) -> str:
        run = self._copied(self._trained("whole", Watcher()), "longer")
        watcher = Watcher()
        YOLO().resume(run, observer=watcher, epochs=self._epochs * 3 // 2)
        return told(watcher.verdict)

    def changed(self, name: str, *, without_moments: bool = False, **changes: Any) -> str:
        last_third = self._epochs * 2 // 3
        run = self._copied(self._trained("sgd", Watcher(after(last_third - 1)), optimizer="SGD", lr0=0.01), name)
        if without_moments:
            file = run / "weights/last.pt"
            state = read(file)
            save(dataclasses.replace(state, optimizer={**state.optimizer, "state": {}}), file)
        watcher = Watcher(judged)
        YOLO().resume(run, observer=watcher, yes=True, **changes)
        assert watcher.plan is not None
        dangers = ", ".join(part.part for part in watcher.plan.dangers)
        return f"before the first step: {f'danger: {dangers}' if dangers else 'no danger'}; {told(watcher.verdict)}"


def told(verdict: Continuity | None) -> str:
    if verdict is None:
        return "no verdict"
    causes = f"; causes: {', '.join(cause.name for cause in verdict.causes)}" if verdict.causes else ""
    return f"{verdict.kind}: {verdict.text}{causes}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data")
    parser.add_argument("project", type=Path)
    parser.add_argument("--epochs", type=int, default=30)
    known, pairs = parser.parse_known_args()
    stories = Stories(known.data, known.project, known.epochs, dict(pair.split("=", 1) for pair in pairs))
    rows = [
        ("killed inside an epoch in the middle, resumed", stories.interrupted()),
        ("made half as long again (schedule=hold)", stories.made_longer()),
        ("SGD to AdamW lr0=0.001 cos_lr=True", stories.changed("adamw", optimizer="AdamW", lr0=0.001, cos_lr=True)),
        ("the same with lr0=0.01", stories.changed("adamw-x10", optimizer="AdamW", lr0=0.01, cos_lr=True)),
        ("SGD with ten times the rate", stories.changed("sgd-x10", lr0=0.1)),
        ("SGD, its optimizer state lost", stories.changed("sgd-lost", without_moments=True)),
    ]
    print("\n| story | what came of it |\n|---|---|")
    for story, outcome in rows:
        print(f"| {story} | {outcome} |")


if __name__ == "__main__":
    main()
