"""How do runs look while they are watched? The list of runs, and the page of one: report.html's with a part that lives.

It must not know how a page is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from peakmark.errors import PeakmarkError
from peakmark.live.audits import ShownAudit, audit_of
from peakmark.live.finding import runs_in
from peakmark.live.state import LiveState, Told, decisions_of, disk_use, said_at_start, state_of, story_of
from peakmark.markup import render
from peakmark.record.folder import RunFolder
from peakmark.record.journal import read as read_journal
from peakmark.report.pages.page import RunPage, page_as_html, page_of
from peakmark.report.pages.run_files import mapping
from peakmark.report.pages.so_far import summary_of
from peakmark.report.pages.words import spoken

_HERE: Final = "live/templates"
_MOST_TOLD: Final = 30
_PARTS: Final = {
    "facts": "facts", "how-sure": "how_sure", "classes": "classes", "epochs": "epochs", "story": "resumes",
}  # fmt: skip
"""Sections of the page that change while a run goes, each with its template."""


@dataclass(frozen=True, slots=True)
class LiveRun:
    """What the living part of a run's page shows."""

    state: LiveState
    decisions: Sequence[Told]
    story: Sequence[Told]
    more_told: int
    at_start: Sequence[str]
    disk: Sequence[tuple[str, str]]
    audit: ShownAudit | None


@dataclass(frozen=True, slots=True)
class ListedRun:
    key: str
    state: LiveState | None
    """None where the run can't be read"""
    error: str


class RunList:
    """The runs in some folders, as a table; of a run that is at rest its files are read once."""

    def __init__(self, places: Sequence[Path]) -> None:
        self._places = places
        self._at_rest: dict[Path, tuple[str, LiveState]] = {}

    def find(self, key: str) -> RunFolder | None:
        """Gives the run that has this key in addresses."""
        return runs_in(self._places).get(key)

    def page(self) -> str:
        """Gives the page of all runs."""
        return render(f"{_HERE}/list.html.j2", runs=self._listed(), **spoken())

    def rows(self) -> str:
        """Gives the part of that page that changes."""
        return render(f"{_HERE}/rows.html.j2", runs=self._listed(), **spoken())

    def _listed(self) -> list[ListedRun]:
        listed = []
        for key, run in runs_in(self._places).items():
            try:
                listed.append(ListedRun(key, self._state(run), ""))
            except PeakmarkError as error:
                # One damaged folder must not hide all other runs.
                listed.append(ListedRun(key, None, f"{run.path}: {error}"))
        return listed

    def _state(self, run: RunFolder) -> LiveState:
        version, known = version_of(run.path), self._at_rest.get(run.path)
        if known is not None and known[0] == version:
            return known[1]
        state = state_of(run, read_journal(run.journal))
        if state.state in ("ended", "waiting", "broken"):
            self._at_rest[run.path] = (version, state)
        return state


def run_page(run: RunFolder) -> str:
    """Gives the page of a run. Raises `MachineError` where a file of it can't be read."""
    return page_as_html(page_of(run.path), f"{_HERE}/run.html.j2", live=_live(run), version=version_of(run.path))


def run_parts(run: RunFolder, seen: str) -> dict[str, Any]:
    """Gives what of that page may have changed; where the files are those of the version that was `seen`, only the
    living part, which depends on the time as well. Raises `MachineError`.
    """
    version = version_of(run.path)
    parts: dict[str, Any] = {"version": version, "live": render(f"{_HERE}/live.html.j2", live=_live(run), **spoken())}
    if version == seen:
        return parts
    page = page_of(run.path)
    data = {**page.data, "gallery": page.data["gallery"] is not None}
    return {**parts, "data": data, "html": {name: _part(template, page) for name, template in _PARTS.items()}}


def version_of(folder: Path) -> str:
    """Gives a text that is another one once a file that the page is made of has changed."""
    run = RunFolder(folder)
    return "-".join(map(_size_and_time, (run.journal, run.results_csv, run.summary, run.gallery)))


def _size_and_time(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_size:x}.{found.st_mtime_ns:x}"


def _part(template: str, page: RunPage) -> str:
    return render(f"report/pages/templates/{template}.html.j2", page=page, **spoken())


def _live(run: RunFolder) -> LiveRun:
    journal = read_journal(run.journal)
    story = story_of(journal)
    data = mapping(summary_of(run, journal).get("settings")).get("data")
    return LiveRun(
        state=state_of(run, journal),
        decisions=decisions_of(journal)[:_MOST_TOLD],
        story=story[:_MOST_TOLD],
        more_told=max(0, len(story) - _MOST_TOLD),
        at_start=said_at_start(journal),
        disk=disk_use(run),
        audit=audit_of(run.path, data),
    )
