"""How does a file get here from the web, whole and provably the one that was meant? By https, in parts where need be.

What an interrupted fetch has brought stays beside the target, and the next one asks for the rest; the server's own mark
of the content (ETag, or the date of its last change) says whether the two belong together. The target gets its name
when all of it is there, of the length that the server said and with the digest that was asked for.

Python's own client is used: libraries that fetch into a cache (pooch) can neither resume nor bound what comes.
It must not know what is in the files, nor whether the user agreed to fetching them.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from peakmark.errors import MachineError
from peakmark.files import durable
from peakmark.shown import as_shown

Progress = Callable[[int, int | None], object]
"""Told how many bytes are there, and of how many where the server said so."""
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
"""Where http is as good: a test's server, a mirror behind a tunnel."""
_TRIES = 5
"""In a row that bring nothing new; one that brings something begins the count anew."""
_FIRST_PAUSE_S = 1.0
_TIMEOUT_S = 30.0
_BLOCK_BYTES = 1 << 18
_WORTH_ANOTHER_TRY = (408, 425, 429, 500, 502, 503, 504)
_PARTIAL, _NOTHING_LEFT = 206, 416
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MOST_REDIRECTS = 10


def fetch(
    url: str,
    target_path: Path,
    *,
    sha256: str | None = None,
    most_bytes: int,
    progress: Progress = lambda done, total: None,
) -> str:
    """Fetches a file to `target_path`, which it replaces when all of it is there, and gives its SHA-256 in hex.

    Only by https, or from this very machine. A fetch that was cut off is resumed, by this call a few times and by later
    ones. Raises MachineError where the address can't be reached, holds more than `most_bytes`, or something of another
    digest than `sha256`; what stood under the name stands then.
    """
    check_address(url)
    wanted = None if sha256 is None else sha256.lower()
    if wanted is not None and not _DIGEST.fullmatch(wanted):
        raise MachineError(f"sha256={as_shown(wanted)[:80]} is no SHA-256: write its 64 hexadecimal digits.")
    with durable.PartialFile(target_path) as part:
        transfer = _Transfer(url, target_path, part, wanted is not None, most_bytes, progress)
        found = transfer.run()
        if wanted is not None and found != wanted:
            # What was resumed may be parts of two files: the next fetch begins anew.
            part.begin_anew()
            raise MachineError(
                f"{_shown(url)} is another file than was asked for: its SHA-256 is {found}, not {wanted}. Nothing was"
                " kept. Compare the digest with the one that its publisher names, and the address."
            )
        part.finish()
        durable.remove(transfer.mark_file)
    return found


def check_address(url: str) -> None:
    """Raises MachineError where nothing is fetched from such an address."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise MachineError(f"{as_shown(url)[:200]} is no address: {error}. Write it as https://host/path.") from error
    if not host or parts.scheme not in ("https", "http") or re.search(r"[\s\x00-\x1f]", url):
        raise MachineError(f"{as_shown(url)[:200]} is no address of a file on the web: write it as https://host/path.")
    if parts.username is not None or parts.password is not None:
        raise MachineError(
            f"{_shown(url)} has a name or password in it, which would be seen and stored: fetch that file yourself."
        )
    if parts.scheme == "http" and host not in _THIS_MACHINE:
        raise MachineError(
            f"{_shown(url)} is not encrypted, so anybody on the way could change the file: write https://, or fetch it"
            " yourself."
        )


class _TryAgainError(Exception):
    """Something that may be over in a moment; the message is the reason."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """What the server said of the content that a part is of."""

    url: str
    tag: str | None
    total_bytes: int | None


class _Transfer:
    """A fetch: what is there, and how the rest comes."""

    def __init__(
        self,
        url: str,
        target: Path,
        part: durable.PartialFile,
        is_proven: bool,
        most_bytes: int,
        progress: Progress,
    ) -> None:
        self._url, self._target, self._part = url, target, part
        self._is_proven = is_proven
        self._most_bytes, self._progress = most_bytes, progress
        self.mark_file = part.path.with_name(f"{part.path.name}.json")
        self._mark = self._read_mark()
        self._digest = hashlib.sha256()
        self._done = 0

    def run(self) -> str:
        """Brings what is missing and gives the digest of all."""
        self._take_what_is_there()
        failures, pause_s = 0, _FIRST_PAUSE_S
        while not self._is_whole():
            before = self._done
            try:
                self._try()
                break
            except _TryAgainError as error:
                failures = 1 if self._done > before else failures + 1
                pause_s = _FIRST_PAUSE_S if self._done > before else 2 * pause_s
                if failures == _TRIES:
                    raise MachineError(self._words(f"{error}")) from error
            time.sleep(pause_s)
        return self._digest.hexdigest()

    def _words(self, reason: str) -> str:
        kept = f" {self._done / 1e6:.1f} MB are kept: the next call goes on from there." if self._can_resume() else ""
        return (
            f"{_shown(self._url)} can't be fetched: {as_shown(reason)[:200]}. Check the address and the connection, or"
            f" fetch it yourself to {self._target}.{kept}"
        )

    # --- what is there already

    def _read_mark(self) -> _Mark | None:
        try:
            said = json.loads(self.mark_file.read_text())
            mark = _Mark(said["url"], said["tag"], said["total_bytes"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        kinds = isinstance(mark.tag, str | None) and isinstance(mark.total_bytes, int | None)
        return mark if kinds and mark.url == _digest_of(self._url) else None

    def _take_what_is_there(self) -> None:
        if not self._can_resume():
            self._begin_anew()
            return
        content = self._part.content()
        while block := content.read(_BLOCK_BYTES):
            self._digest.update(block)
            self._done += len(block)
        if self._mark is not None and self._mark.total_bytes is not None and self._done > self._mark.total_bytes:
            self._begin_anew()

    def _can_resume(self) -> bool:
        """A part of unknown content may only be added to where the digest of the whole tells in the end."""
        return self._mark is not None and (self._mark.tag is not None or self._is_proven)

    def _is_whole(self) -> bool:
        return self._mark is not None and self._done == self._mark.total_bytes

    def _begin_anew(self) -> None:
        self._part.begin_anew()
        self._digest, self._done = hashlib.sha256(), 0

    # --- what comes

    def _try(self) -> None:
        """Raises _TryAgainError, and MachineError where there is no use in it."""
        asked = {"User-Agent": "peakmark", "Accept-Encoding": "identity"}
        if self._done and self._can_resume():
            asked["Range"] = f"bytes={self._done}-"
            if self._mark is not None and self._mark.tag is not None:
                asked["If-Range"] = self._mark.tag
        with self._answer_to(asked) as answer:
            total = self._begin(answer)
            self._check_size(total or 0)
            if total is not None:
                durable.check_free_space(self._target.parent, total - self._done)
            self._progress(self._done, total)
            while block := _read(answer):
                self._check_size(self._done + len(block))
                self._part.append(block)
                self._digest.update(block)
                self._done += len(block)
                self._progress(self._done, total)
        if total is not None and self._done != total:
            raise _TryAgainError(f"the connection ended after {self._done:,} of {total:,} bytes")

    def _answer_to(self, headers: dict[str, str]) -> http.client.HTTPResponse:
        try:
            answer = _opener().open(urllib.request.Request(self._url, headers=headers), timeout=_TIMEOUT_S)
        except urllib.error.HTTPError as error:
            with error:
                self._refuse(error)
        except urllib.error.URLError as error:
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                words = f"its certificate is not valid ({error.reason.verify_message})"
                raise MachineError(self._words(words)) from error
            raise _TryAgainError(str(error.reason)) from error
        except (http.client.HTTPException, OSError) as error:
            raise _TryAgainError(str(error) or type(error).__name__) from error
        assert isinstance(answer, http.client.HTTPResponse)
        return answer

    def _refuse(self, error: urllib.error.HTTPError) -> NoReturn:
        reason = f"the server says {error.code} {error.reason}"
        if error.code == _NOTHING_LEFT:
            self._begin_anew()
            raise _TryAgainError(reason) from error
        if error.code in _WORTH_ANOTHER_TRY:
            raise _TryAgainError(reason) from error
        raise MachineError(self._words(reason)) from error

    def _begin(self, answer: http.client.HTTPResponse) -> int | None:
        """Sees to it that what comes belongs behind what is there, and gives the size of the whole where it is said."""
        tag = _tag_of(answer)
        if answer.status == _PARTIAL:
            found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
            if found is None or int(found[1]) != self._done:
                self._begin_anew()
                raise _TryAgainError("the server sends another part than was asked for")
            total = None if found[2] == "*" else int(found[2])
        else:
            self._begin_anew()
            length = answer.headers.get("Content-Length", "")
            total = int(length) if length.isdecimal() else None
        self._mark = _Mark(_digest_of(self._url), tag, total)
        durable.write_text(self.mark_file, json.dumps(asdict(self._mark)))
        return total

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._most_bytes:
            self._begin_anew()
            raise MachineError(
                f"{_shown(self._url)} is larger than {self._most_bytes / 1e6:,.0f} MB, the most that is expected there;"
                " nothing was kept. Check the address, or fetch it yourself."
            )


def _read(answer: http.client.HTTPResponse) -> bytes:
    try:
        return answer.read(_BLOCK_BYTES)
    except (http.client.HTTPException, OSError) as error:
        raise _TryAgainError(str(error) or type(error).__name__) from error


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows to where a file may be fetched from, and nowhere else: a server could point at a file of this machine."""

    max_redirections = _MOST_REDIRECTS

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        check_address(newurl)
        if urlsplit(newurl).hostname in _THIS_MACHINE and urlsplit(req.full_url).hostname not in _THIS_MACHINE:
            raise MachineError(f"{_shown(req.full_url)} points at this very machine. Check the address.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_SafeRedirects)


def _tag_of(answer: http.client.HTTPResponse) -> str | None:
    """What only this content has: a weak ETag is shared by contents that differ in bytes."""
    tag = answer.headers.get("ETag")
    if tag and not tag.startswith("W/"):
        return tag
    return answer.headers.get("Last-Modified")


def _digest_of(url: str) -> str:
    """Of an address: it may hold a key, which the disk need not keep."""
    return hashlib.sha256(url.encode()).hexdigest()


def _shown(url: str) -> str:
    """An address without what may be a key."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return as_shown(f"{parts.scheme}://{host}{port}{parts.path}")[:300]


def in_kilobytes(tell: Callable[[int, int], object]) -> Callable[[int, int | None], None]:
    """Makes a `progress` of who is told kilobytes there, and of how many; nothing where that isn't known."""

    def progress(done: int, total: int | None) -> None:
        if total is not None:
            tell(done // 1000, total // 1000)

    return progress
