"""How else is a metric written? On screens, in files, and by the programs and papers of the field.

`mAP50-95`, `mAP@0.5:0.95`, `metrics/mAP50-95(B)`, `AP75`, `APs` and `F1` name metrics; read as arithmetic, the first
would be "map50 minus 95". So they become the names that formulas use before anything is parsed. It must not know what a
formula is.
"""

from __future__ import annotations

import re
from typing import Final

_BETWEEN_LIMITS: Final = r"\s?(?:-|–|:|_|to)\s?"
_HALF: Final = r"0?\.50?|50"
_NEAR_ONE: Final = r"0?\.95|95"
_AP: Final = r"(?:m(?:ean)?_?)?ap"
_AT: Final = r"(?:_|@|\s@\s)?"
_SIZES: Final = {"small": "s(?:mall)?", "medium": "m(?:edium)?", "large": "l(?:arge)?"}

_SPELLINGS: Final[tuple[tuple[str, str], ...]] = (
    # mAP50-95, map@.5:.95, mAP_0.5:0.95, AP@[.5:.05:.95], AP@[IoU=0.50:0.95]. With spaces around the dash it is
    # arithmetic, and refused by what it can reach.
    ("map50_95", rf"{_AP}{_AT}(?:{_HALF})(?:-|–|:|_)(?:{_NEAR_ONE})"),
    ("map50_95", rf"{_AP}{_AT}\[\s?(?:iou\s?=\s?)?(?:{_HALF}){_BETWEEN_LIMITS}(?:0?\.05\s?:\s?)?(?:{_NEAR_ONE})\s?\]"),
    ("map50", rf"{_AP}{_AT}(?:{_HALF}|\[(?:iou\s?=\s?)?(?:{_HALF})\])"),
    ("map75", rf"{_AP}{_AT}(?:0?\.75|75|\[(?:iou\s?=\s?)?0?\.75\])"),
    *((f"map_{size}", rf"{_AP}_?{short}") for size, short in _SIZES.items()),
    *((f"recall_{size}", rf"(?:ar|recall)_?{short}") for size, short in _SIZES.items()),
    ("recall_100", r"(?:m?ar|recall)[_@]?100"),
    ("recall_10", r"(?:m?ar|recall)[_@]?10"),
    ("recall_1", r"(?:m?ar|recall)[_@]?1"),
    ("map50_95", _AP),
    ("precision", r"precision|prec|mp|p"),
    ("recall", r"recall|rec|mr|r"),
    ("f1", r"m?f1(?:[-_]?score)?"),
    ("confidence", r"confidence|conf"),
)
"""The name that formulas use, and a regular expression of all ways to write it; the first that fits counts."""

_SPELLING: Final = re.compile(
    r"(?<![\w.@/\[])(?:metrics/)?(?:"
    + "|".join(rf"(?P<_{number}>{spelling})" for number, (_, spelling) in enumerate(_SPELLINGS))
    + r")(?:\(b\))?(?![\w.@/(:])",
    re.IGNORECASE,
)
_ONE_CLASS: Final = re.compile(r"\[[^\[\]]*\]")
_MAY_BE_A_RANGE: Final = re.compile(rf"(?<![\w.]){_AP}{_AT}(?:{_HALF})-0?\.95(?![\w.])", re.IGNORECASE)


def with_names(text: str) -> str:
    """Writes every metric in a formula's text by the name that formulas use; the names of classes stay as they are.

    Raises ValueError, as the end of a sentence, where a text may mean a metric as well as a difference.
    """
    if (unclear := _MAY_BE_A_RANGE.search(text)) and "@" not in unclear[0] and "50" in unclear[0]:
        written = unclear[0]
        apart = written.replace("-", " - ")
        raise ValueError(f"holds {written}: write map50_95 for the metric, or {apart} with spaces for a difference")
    parts, start = [], 0
    for one_class in _ONE_CLASS.finditer(text):
        # What stands in brackets behind a metric is a class; behind an @ it is a range of overlaps.
        if not text[: one_class.start()].rstrip().endswith("@"):
            parts += [_SPELLING.sub(_name, text[start : one_class.start()]), one_class[0]]
            start = one_class.end()
    return "".join((*parts, _SPELLING.sub(_name, text[start:])))


def _name(found: re.Match[str]) -> str:
    assert found.lastgroup is not None  # the expression is made of named groups alone
    return _SPELLINGS[int(found.lastgroup[1:])][0]
