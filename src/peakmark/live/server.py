"""Who may look at runs, and what do they get? A small web application over folders, which only reads.

An address holds a token that nobody can guess; whoever doesn't have it learns nothing, not even that a server is here.
The server listens to this machine alone unless it is told otherwise. It must not know how a page is made.
"""

from __future__ import annotations

import hmac
import secrets
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from peakmark.errors import MachineError, PeakmarkError, how_to_install
from peakmark.live.pages import RunList, run_page, run_parts
from peakmark.record.folder import RunFolder

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

LOOPBACK: Final = "127.0.0.1"
_TOKEN_BYTES: Final = 18
_HEADERS: Final = {
    "Cache-Control": "no-store",
    # The address is the key: no other page may learn it from a link, nor show this one inside of itself.
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "frame-ancestors 'none'",
}
_LACKING: Final = f"peakmark watch needs starlette and uvicorn: {how_to_install('watch')}."


def new_token() -> str:
    """Gives a token for an address, which nobody can guess."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def listen(host: str, port: int) -> socket.socket:
    """Takes a port (0: a free one). Raises `MachineError` where it is taken or may not be."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise MachineError(
            f"Can't listen at {host}, port {port}: {error.strerror or error}. Take another port; port=0 is a free one."
        ) from error


def address_of(server: socket.socket, token: str) -> str:
    """Gives the address that a person opens."""
    host, port = server.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/{token}/"


def application(places: Sequence[Path], token: str) -> Starlette:
    """Gives the application that shows the runs in these folders. Raises `MachineError` where starlette is missing."""
    try:
        from starlette.applications import Starlette  # noqa: PLC0415 - an extra
        from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse  # noqa: PLC0415
        from starlette.routing import Route  # noqa: PLC0415
    except ImportError as error:
        raise MachineError(_LACKING) from error

    runs = RunList(places)

    def missing() -> Response:
        return PlainTextResponse("There is nothing here.\n", status_code=404, headers=_HEADERS)

    # Plain functions, which starlette runs in threads: reading files must not keep other requests waiting.
    def all_runs(request: Request) -> Response:
        return HTMLResponse(runs.page(), headers=_HEADERS) if knows(request) else missing()

    def rows(request: Request) -> Response:
        return JSONResponse({"rows": runs.rows()}, headers=_HEADERS) if knows(request) else missing()

    def knows(request: Request) -> bool:
        return hmac.compare_digest(str(request.path_params["token"]).encode(), token.encode())

    def named(request: Request) -> RunFolder | None:
        return runs.find(request.path_params["key"]) if knows(request) else None

    def one_run(request: Request) -> Response:
        run = named(request)
        if run is None:
            return missing()
        try:
            return HTMLResponse(run_page(run), headers=_HEADERS)
        except PeakmarkError as error:
            return PlainTextResponse(f"{error}\n", status_code=500, headers=_HEADERS)

    def state(request: Request) -> Response:
        run = named(request)
        if run is None:
            return missing()
        try:
            return JSONResponse(run_parts(run, request.query_params.get("seen", "")), headers=_HEADERS)
        except PeakmarkError as error:
            return PlainTextResponse(f"{error}\n", status_code=500, headers=_HEADERS)

    def nothing(request: Request, error: Exception) -> Response:
        return missing()

    routes = [
        Route("/{token}/", all_runs),
        Route("/{token}/state.json", rows),
        Route("/{token}/runs/{key}/", one_run),
        Route("/{token}/runs/{key}/state.json", state),
    ]
    return Starlette(routes=routes, exception_handlers={404: nothing, 405: nothing})


def server_of(places: Sequence[Path], token: str) -> Any:
    """Gives uvicorn's server of the application; it runs by `run(sockets=[...])` until `should_exit` is set.

    Raises `MachineError` where uvicorn or starlette is missing.
    """
    try:
        import uvicorn  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MachineError(_LACKING) from error
    # No log of requests: their addresses hold the token. No more than what a person's browser asks for at once.
    return uvicorn.Server(
        uvicorn.Config(
            application(places, token),
            log_level="warning",
            access_log=False,
            lifespan="off",
            server_header=False,
            date_header=False,
            limit_concurrency=32,
            timeout_graceful_shutdown=1,
        )
    )
