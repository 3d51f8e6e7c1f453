"""What does an annotation file of a stranger hold? XML and JSON, read so that nothing in them is obeyed or wears out.

XML with a document type is refused before anything of it is read: entities are how a kilobyte becomes gigabytes, and
how a file on this machine is read into it. The parser is expat, which Python brings; defusedxml is not needed for that,
and gives no line numbers. It must not know what the values mean.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

from peakmark.files.given_path import is_special

_MOST_XML_BYTES = 16 << 20
"""An image with 10,000 objects takes 3 MB."""
_MOST_JSON_BYTES = 4 << 30
"""COCO's training set takes 450 MB."""
_DEEPEST_XML = 50


class BadFileError(ValueError):
    """A file that can't be read; the message is the end of a sentence that names the file."""


@dataclass(slots=True)
class Element:
    """One element of an XML file."""

    tag: str
    line: int
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, tag: str) -> Iterator[Element]:
        return (child for child in self.children if child.tag == tag)

    def first(self, *path: str) -> Element | None:
        """Gives the first element down a path of tags."""
        here: Element | None = self
        for tag in path:
            here = next(here.all(tag), None) if here is not None else None
        return here

    def text_of(self, *path: str) -> str:
        """Gives the text of the first element down a path; empty where there is none."""
        found = self.first(*path)
        return found.text.strip() if found is not None else ""


def read_xml(file: Path) -> Element:
    """Gives the root of an XML file. Raises BadFileError."""
    content = _content(file, _MOST_XML_BYTES)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    top = Element("", 0)
    open_elements = [top]

    def start(tag: str, _: dict[str, str]) -> None:
        if len(open_elements) > _DEEPEST_XML:
            raise BadFileError(f"line {parser.CurrentLineNumber}: its elements are nested too deep")
        element = Element(tag, parser.CurrentLineNumber)
        open_elements[-1].children.append(element)
        open_elements.append(element)

    def end(_: str) -> None:
        open_elements.pop()

    def text(data: str) -> None:
        open_elements[-1].text += data

    def document_type(*_: Any) -> None:
        # Before the first entity is declared: what a document type holds is never read.
        raise BadFileError(
            f"line {parser.CurrentLineNumber}: it declares a document type, which no annotation needs and which can"
            " make a small file endless; take that part out"
        )

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = text, document_type
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise BadFileError(f"line {error.lineno}: it is no XML ({reason})") from error
    except (LookupError, ValueError) as error:
        if isinstance(error, BadFileError):
            raise
        raise BadFileError(f"it is in an encoding that can't be read ({error}); save it as UTF-8") from error
    return top.children[0]


def read_json(file: Path) -> Any:
    """Gives the values of a JSON file. Raises BadFileError; a key that is there twice is one, since one would win."""
    content = _content(file, _MOST_JSON_BYTES)
    try:
        return json.loads(content.removeprefix(b"\xef\xbb\xbf"), object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise BadFileError(f"line {error.lineno}: it is no JSON ({error.msg})") from error
    except UnicodeDecodeError as error:
        raise BadFileError(f"it is no UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except RecursionError as error:
        raise BadFileError("its values are nested too deep") from error
    except ValueError as error:
        if isinstance(error, BadFileError):
            raise
        raise BadFileError(f"it holds a number that can't be read ({error})") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadFileError(f"the key {twice[:80]!r} is there twice in one object")
    return values


def _content(file: Path, most_bytes: int) -> bytes:
    if is_special(file):
        raise BadFileError("it is a pipe or a device and no regular file")
    try:
        with open(file, "rb") as stream:
            content = stream.read(most_bytes + 1)
    except OSError as error:
        raise BadFileError(f"it can't be read ({error.strerror})") from error
    if len(content) > most_bytes:
        raise BadFileError(f"it has more than {most_bytes / 1e6:,.0f} MB")
    return content
