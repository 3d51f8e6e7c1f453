"""What did a look at this machine find? Findings, each with what to do about it.

Importing this file loads no torch, so that the command line starts fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Verdict = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found."""

    name: str
    """What was looked at, in a word or two"""
    verdict: Verdict
    """failed: a run here may be lost, or its numbers may be wrong. warning: something is slower or missing"""
    says: str
    """A sentence"""
    advice: str = ""
    """What to do, a sentence; empty where there is nothing to do"""


@dataclass(frozen=True, slots=True)
class Checkup:
    """All findings, in the order in which they were looked for."""

    device: str
    findings: tuple[Finding, ...]
    seconds: float
    """How long it took"""
    stage_ms_per_image: Mapping[str, float] = field(default_factory=dict)
    """Of a training on the device, by stage; empty where none was timed"""

    @property
    def failed(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.verdict == "failed")

    @property
    def sound(self) -> bool:
        """Whether nothing failed."""
        return not self.failed
