"""What the contracts share: the words that users type."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def commands() -> tuple[str, ...]:
    """Frozen: one may come, none may go."""
    return (
        "train", "resume", "val", "predict", "track", "audit", "compare", "gate", "diagnose", "inspect", "select",
        "promote", "strip", "replay", "import", "convert", "export", "benchmark", "report", "watch",
    )  # fmt: skip
