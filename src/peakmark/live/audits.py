"""What did an audit of a run's data find? Read from the folders of audits that lie beside the run.

It must not know how anything is found.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from peakmark.report.pages.run_files import mapping, mappings

_FILE: Final = "audit.json"


@dataclass(frozen=True, slots=True)
class ShownAudit:
    folder: str
    findings: Sequence[tuple[str, str]]
    """Severity and text of each, worst first"""


def audit_of(run: Path, data: object) -> ShownAudit | None:
    """Gives the newest audit beside a run that looked at the same data; None where there is none."""
    found = sorted(run.parent.glob(f"*/{_FILE}"), key=_changed_ns, reverse=True)
    for path in found:
        audit = _read(path)
        if data is not None and audit.get("data") == data:
            findings = mappings(audit.get("findings"))
            told = [(str(each.get("severity")), str(each.get("text"))) for each in findings]
            return ShownAudit(path.parent.name, told)
    return None


def _changed_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _read(path: Path) -> Mapping[str, Any]:
    try:
        return mapping(mapping(json.loads(path.read_text(encoding="utf-8"))).get("audit"))
    except (OSError, ValueError):
        return {}  # it is being written, or somebody edited it: another one may be whole
