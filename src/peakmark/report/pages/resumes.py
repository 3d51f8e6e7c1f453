"""Where was a run resumed, what was changed there, and did it go well? A section of the page, from the journal.

It must not judge anything: it shows what was planned and what the verdict was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from peakmark.nouns.run import Position
from peakmark.report.pages.run_files import mapping, mappings, texts
from peakmark.report.position import position_in_words
from peakmark.report.terminal.resume_table import EXACT

_UNTOUCHED = "carried over"


@dataclass(frozen=True, slots=True)
class ShownPart:
    """What became of a part of the run."""

    name: str
    fate: str
    why: str
    moves: str
    """In the first epochs."""
    is_dangerous: bool


@dataclass(frozen=True, slots=True)
class ShownCause:
    name: str
    evidence: str
    remedy: str


@dataclass(frozen=True, slots=True)
class ShownVerdict:
    kind: str
    text: str
    causes: Sequence[ShownCause]


@dataclass(frozen=True, slots=True)
class ShownResume:
    when: str
    where: str
    changes: Sequence[str]
    exactness: str
    verdict: ShownVerdict | None
    """None as long as nothing is judged."""
    parts: Sequence[ShownPart]
    """Empty where all was carried over."""
    is_superseded: bool
    """Whether a later resume went back to a place before it."""


def resumes_in(journal: Sequence[Mapping[str, Any]]) -> list[ShownResume]:
    """Gives the resumes in their order; none for a run that was never resumed."""
    planned: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = []
    for told in journal:
        if told.get("event") == "ResumePlanned":
            planned.append((told, {}))
        elif told.get("event") == "SeamJudged" and planned:
            planned[-1] = (planned[-1][0], mapping(told.get("verdict")))
    return [_resume(told, verdict) for told, verdict in planned]


def _resume(planned: Mapping[str, Any], verdict: Mapping[str, Any]) -> ShownResume:
    plan = mapping(planned.get("plan"))
    inexact = texts(plan.get("inexact"))
    return ShownResume(
        when=_moment(planned.get("at")),
        where=_place(planned),
        changes=texts(plan.get("changes")) or ["nothing"],
        exactness=f"not bit for bit: {'; '.join(inexact)}" if inexact else EXACT,
        verdict=_verdict(verdict) if verdict else None,
        parts=_parts(mappings(plan.get("parts"))),
        is_superseded=bool(planned.get("superseded")),
    )


def _verdict(verdict: Mapping[str, Any]) -> ShownVerdict:
    causes = [
        ShownCause(str(cause.get("name")), str(cause.get("evidence")), str(cause.get("remedy")))
        for cause in mappings(verdict.get("causes"))
    ]
    return ShownVerdict(str(verdict.get("kind", "")), str(verdict.get("text", "")), causes)


def _parts(parts: Sequence[Mapping[str, Any]]) -> list[ShownPart]:
    if all(part.get("fate") == _UNTOUCHED and not part.get("dangerous") for part in parts):
        return []
    return [
        ShownPart(
            name=str(part.get("part", "")),
            fate=str(part.get("fate", "")),
            why=str(part.get("why", "")),
            moves=str(part.get("moves", "")),
            is_dangerous=bool(part.get("dangerous")),
        )
        for part in parts
    ]


def _place(planned: Mapping[str, Any]) -> str:
    epoch, images = planned.get("epoch"), planned.get("images")
    if not isinstance(epoch, int) or not isinstance(images, int):
        return "–"
    return position_in_words(Position(epoch - 1, images, "validate" if planned.get("phase") == "validate" else "train"))


def _moment(at: object) -> str:
    try:
        moment = datetime.fromisoformat(str(at)).astimezone(UTC)
    except ValueError:
        return "–"
    return f"{moment:%Y-%m-%d %H:%M} UTC"
