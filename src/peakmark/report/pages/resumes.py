"""Where was a run gone on with, what was changed there, and did it go well? A section of the page, from the journal.

It must not judge anything: it shows what was planned and what the verdict was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any

from peakmark.nouns.run import Position
from peakmark.report.pages.markup import html_row, html_table, mapping
from peakmark.report.position import position_in_words
from peakmark.report.terminal.resume_table import EXACT

_UNTOUCHED = "carried over"


@dataclass(slots=True)
class _Resume:
    """What the journal says of one resume."""

    planned: Mapping[str, Any]
    verdict: Mapping[str, Any]

    @property
    def plan(self) -> Mapping[str, Any]:
        return mapping(self.planned.get("plan"))

    @property
    def where(self) -> str:
        epoch, images = self.planned.get("epoch"), self.planned.get("images")
        if not isinstance(epoch, int) or not isinstance(images, int):
            return "–"
        return position_in_words(
            Position(epoch - 1, images, "validate" if self.planned.get("phase") == "validate" else "train")
        )


def resumes_section(journal: Sequence[Mapping[str, Any]]) -> str:
    """Gives the section as HTML; empty for a run that was never gone on with."""
    resumes = _resumes(journal)
    if not resumes:
        return ""
    rows = [html_row(_cells(resume), "gone" if resume.planned.get("superseded") else "") for resume in resumes]
    note = (
        '<p class="quiet">Grey: a later resume went back to a place before it.</p>\n'
        if any(resume.planned.get("superseded") for resume in resumes)
        else ""
    )
    head = ["when", "where", "changed", "first epochs"]
    return (
        f'<h2>Resumes</h2>\n<div class="wide words sentences">{html_table(head, rows)}</div>\n{note}'
        f"{''.join(_parts(resume) for resume in resumes)}"
    )


def _resumes(journal: Sequence[Mapping[str, Any]]) -> list[_Resume]:
    resumes: list[_Resume] = []
    for told in journal:
        if told.get("event") == "ResumePlanned":
            resumes.append(_Resume(told, {}))
        elif told.get("event") == "SeamJudged" and resumes:
            resumes[-1].verdict = mapping(told.get("verdict"))
    return resumes


def _cells(resume: _Resume) -> Iterator[str]:
    yield escape(_moment(resume.planned.get("at")))
    yield escape(resume.where)
    changes, inexact = _texts(resume.plan.get("changes")), _texts(resume.plan.get("inexact"))
    exact = f"not bit for bit: {'; '.join(inexact)}" if inexact else EXACT
    yield "<br>".join(escape(change) for change in changes or ["nothing"]) + f'<p class="quiet">{escape(exact)}</p>'
    yield _judged(resume.verdict)


def _judged(verdict: Mapping[str, Any]) -> str:
    if not verdict:
        return "–"
    kind = str(verdict.get("kind", ""))
    text = f'<span class="{escape(kind.replace(" ", "-"))}">{escape(str(verdict.get("text", "")))}</span>'
    causes = [
        f"<li><b>{escape(str(cause.get('name')))}</b>: {escape(str(cause.get('evidence')))}"
        f"<br>Remedy: {escape(str(cause.get('remedy')))}</li>"
        for cause in _mappings(verdict.get("causes"))
    ]
    return text + (f"<ol>{''.join(causes)}</ol>" if causes else "")


def _parts(resume: _Resume) -> str:
    """What became of each part, folded up; nothing where all was carried over."""
    parts = _mappings(resume.plan.get("parts"))
    if all(part.get("fate") == _UNTOUCHED and not part.get("dangerous") for part in parts):
        return ""
    rows = [
        html_row([_marked(part), *(escape(str(part.get(key, ""))) for key in ("fate", "why", "moves"))])
        for part in parts
    ]
    head = ["part", "what happened", "why", "first epochs"]
    return (
        f"<details><summary>What became of each part {escape(resume.where)}</summary>"
        f'<div class="wide words sentences">{html_table(head, rows)}</div></details>\n'
    )


def _marked(part: Mapping[str, Any]) -> str:
    name = escape(str(part.get("part", "")))
    return f'<span class="broken">!&nbsp;{name}</span>' if part.get("dangerous") else name


def _moment(at: object) -> str:
    try:
        moment = datetime.fromisoformat(str(at)).astimezone(UTC)
    except ValueError:
        return "–"
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
