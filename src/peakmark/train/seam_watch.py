"""Who looks at the first epochs after a resume, and what is done where the run broke?

It must not know how a verdict comes about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from peakmark.events import EpochEnded, Event, Observer, SeamJudged
from peakmark.machine.stopping import StopRequest
from peakmark.nouns import Cause, History, Verdict
from peakmark.resume.continuity import as_proven, judge
from peakmark.resume.diagnosis import NOTHING_FOUND

OnBreak = Literal["warn", "pause", "stop"]


@dataclass(slots=True)
class SeamWatch:
    """Judges every watched epoch, tells of a break at once and of everything else when the last one has ended."""

    first_epoch: int
    epochs: int
    expected: Mapping[str, tuple[float, float]]
    proven: bool
    """Nothing was changed and the digests agree: then nothing can be broken."""
    on_break: OnBreak
    diagnose: Callable[[History, Verdict], tuple[Cause, ...]]
    _told: bool = field(default=False, init=False)

    def __call__(self, event: Event, history: History, tell: Observer, stop: StopRequest) -> None:
        if self._told or not isinstance(event, EpochEnded):
            return
        epoch = event.record.epoch
        verdict = self._verdict(history)
        is_last = epoch + 1 >= self.first_epoch + self.epochs or epoch + 1 >= event.epochs or event.decision.stop
        if verdict.kind != "broken" and not is_last:
            return
        self._told = True
        tell(SeamJudged(verdict, epoch))
        if verdict.kind == "broken" and self.on_break != "warn":
            stop.ask("paused" if self.on_break == "pause" else "broken")

    def _verdict(self, history: History) -> Verdict:
        verdict = judge(history, first_epoch=self.first_epoch, watch=self.epochs, expected=self.expected)
        if self.proven:
            return as_proven(verdict)
        if verdict.kind != "broken":
            return verdict
        causes = self.diagnose(history, verdict)
        return replace(verdict, causes=causes, text=verdict.text if causes else f"{verdict.text} {NOTHING_FOUND}")
