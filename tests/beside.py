"""Where does what lies beside a checkout lie? Data and the peer's files; absent for most users, and then tests skip.

Said once: a path counted from a test file is wrong as soon as the file moves, and the test then skips for ever.
"""

from __future__ import annotations

from pathlib import Path

SHARED = Path(__file__).resolve().parents[2] / "shared"
BCCD = SHARED / "data" / "bccd"
PEER = SHARED / "peers" / "ultralytics-8.4.190"
