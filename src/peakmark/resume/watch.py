"""Who looks at the first epochs after a resume, and what is done where the run broke?

It must not know how a verdict comes about, only when one is due and what somebody wants done about it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from peakmark.events import EpochEnded, Event, Observer, SeamJudged
from peakmark.machine.stopping import StopRequest
from peakmark.nouns.resume import Cause, Continuity
from peakmark.nouns.run import History
from peakmark.record.folder import RunFolder
from peakmark.record.journal import read as read_journal
from peakmark.resume.compare import Planned
from peakmark.resume.health.causes import with_command
from peakmark.resume.health.continuity import as_proven, continuity_of
from peakmark.resume.health.diagnosis import NOTHING_FOUND, diagnose, resumptions
from peakmark.settings.fields import ResumeSettings

OnBreak = Literal["warn", "pause", "stop"]


@dataclass(slots=True)
class SeamWatch:
    """Looks at every watched epoch; tells of a break at once, and of everything else when the last one has ended."""

    first_epoch: int
    epochs: int
    on_break: OnBreak
    look: Callable[[History], Continuity]
    _told: bool = field(default=False, init=False)

    def __call__(self, event: Event, history: History, tell: Observer, stop: StopRequest) -> None:
        if self._told or not isinstance(event, EpochEnded):
            return
        epoch = event.record.epoch
        is_last = epoch + 1 >= min(self.first_epoch + self.epochs, event.epochs) or event.decision.stop
        verdict = self.look(history)
        if verdict.kind != "broken" and not is_last:
            return
        self._told = True
        tell(SeamJudged(verdict, epoch))
        if verdict.kind == "broken" and self.on_break != "warn":
            stop.ask("paused" if self.on_break == "pause" else "broken")


def looking_at(
    journal: Path, *, watch: int, found: Sequence[Cause], data_changes: Sequence[str]
) -> Callable[[History], Continuity]:
    """Gives what judges the seam of the newest resume in a journal, with the causes where it broke.

    The journal knows what was announced, also by a resume just before this one that changed more than it did.
    """

    def look(history: History) -> Continuity:
        events = read_journal(journal)
        told = resumptions(events)
        if not told:
            return Continuity(
                "too early", f"{journal} doesn't tell of this resume, so its first epochs can't be judged."
            )
        resumption = told[-1]
        verdict = continuity_of(history, first_epoch=resumption.first_epoch, watch=watch, expected=resumption.expected)
        if resumption.proven:
            return as_proven(verdict)
        if verdict.kind != "broken":
            return verdict
        causes = diagnose(history, events, verdict, resumption, found=found, data_changes=data_changes)
        run = RunFolder(journal.parent)
        way_back = run.way_back(resumption.first_epoch)
        causes = tuple(with_command(each, run.path, way_back) for each in causes)
        return replace(verdict, causes=causes, text=verdict.text if causes else f"{verdict.text} {NOTHING_FOUND}")

    return look


def seam_watch(planned: Planned, folder: RunFolder, wishes: ResumeSettings) -> tuple[SeamWatch, ...]:
    """Gives who watches a resume's first epochs; nobody where that isn't wished."""
    if not wishes.watch:
        return ()
    found, others = planned.seam.contradictions, planned.data_changes
    look = looking_at(folder.journal, watch=wishes.watch, found=found, data_changes=others)
    return (SeamWatch(planned.checkpoint.position.epoch, wishes.watch, wishes.on_break, look),)
