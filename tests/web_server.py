"""A web server of this machine for tests of what is fetched: it resumes, cuts off, lies and redirects as it is told."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class Page:
    """What is served under a path, and how."""

    content: bytes = b""
    tag: str | None = '"one"'
    cuts: list[int] = field(default_factory=list)
    """After how many bytes of the body each of the next answers ends too early."""
    statuses: list[int] = field(default_factory=list)
    """What the next answers say instead of giving it."""
    redirects_to: str | None = None
    ranges: bool = True
    says_length: bool = True


class WebServer:
    """Serves pages; remembers what was asked."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.asked: list[tuple[str, str | None]] = []
        """Path and range of each request."""
        served = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def do_GET(self) -> None:
                served.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    def put(self, path: str, content: bytes = b"", **how: object) -> str:
        """Serves a page, and gives its address."""
        self.pages[path] = Page(content, **how)  # type: ignore[arg-type]
        return f"{self.address}{path}"

    @contextmanager
    def running(self) -> Iterator[WebServer]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        page = self.pages.get(request.path)
        self.asked.append((request.path, request.headers.get("Range")))
        if page is None or page.statuses:
            request.send_error(404 if page is None else page.statuses.pop(0))
            return
        if page.redirects_to is not None:
            request.send_response(302)
            request.send_header("Location", page.redirects_to)
            request.end_headers()
            return
        start = self._start(request, page)
        if start is not None and start >= len(page.content):
            request.send_error(416)
            return
        body = page.content[start or 0 :]
        request.send_response(200 if start is None else 206)
        if start is not None:
            request.send_header("Content-Range", f"bytes {start}-{len(page.content) - 1}/{len(page.content)}")
        if page.tag is not None:
            request.send_header("ETag", page.tag)
        if page.says_length:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: page.cuts.pop(0)] if page.cuts else body)

    def _start(self, request: BaseHTTPRequestHandler, page: Page) -> int | None:
        found = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range") or "")
        condition = request.headers.get("If-Range")
        if found is None or not page.ranges or (condition is not None and condition != page.tag):
            return None
        return int(found[1])


def data_on_a_server(server: WebServer, write_set: Callable[..., Any], folder: Path) -> Path:
    """Gives a data.yaml whose data are an archive on a server."""
    made = write_set(folder / "made", train=5, val=2).parent
    archive = shutil.make_archive(str(folder / "set"), "zip", made)
    url = server.put("/set.zip", Path(archive).read_bytes())
    (folder / "far.yaml").write_text((made / "data.yaml").read_text() + f"\ndownload: {url}\n")
    return folder / "far.yaml"
