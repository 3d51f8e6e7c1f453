"""Where does a data.yaml say that its data can be fetched? By addresses; what is a program there is never run.

It must not fetch anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from peakmark.shown import as_shown

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_LIKE_A_PROGRAM = re.compile(r"\n|^\s*(import|from|bash|curl|wget|python|sh)\b")


@dataclass(frozen=True, slots=True)
class Download:
    """An archive on the web."""

    url: str
    sha256: str | None = None


def downloads_of(value: Any, problems: list[str], notes: list[str]) -> tuple[Download, ...]:
    """Reads the key download: an address, a mapping of url and sha256, or a list of these.

    A program, as the data.yamls of other tools have there, is passed over, which `notes` says.
    """
    if value in (None, "", [], False):
        return ()
    if isinstance(value, str) and _LIKE_A_PROGRAM.search(value):
        notes.append(
            "Its download: is a program, which is never run: fetch the data as it describes, or write the address of an"
            " archive there, as https://..."
        )
        return ()
    found = []
    for item in value if isinstance(value, list) else [value]:
        url, sha256 = (item.get("url"), item.get("sha256")) if isinstance(item, dict) else (item, None)
        if not isinstance(url, str) or not re.match(r"https?://", url):
            problems.append(
                f"download is {as_shown(repr(item))[:120]}; it must be the address of an archive, https://..., or"
                " {url: https://..., sha256: ...}"
            )
        elif sha256 is not None and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
            problems.append(
                f"sha256 of {as_shown(url)[:120]} is {sha256!r}; it must be 64 hexadecimal digits in quotes"
            )
        else:
            found.append(Download(url, sha256))
    return tuple(found)
