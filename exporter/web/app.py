"""The paths: metrics, health, reload and the status page, wired to the rest by callables."""

import asyncio
import gzip
import re
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from exporter.schedule.status import Status
from exporter.web.negotiation import ExpositionFormat, accepts_gzip, choose_format
from exporter.web.status_page import StatusPage

Endpoint = Callable[[Request], Awaitable[Response]]
Reload = Callable[[], Awaitable[None]]

HEALTHY_PATH = "/-/healthy"
READY_PATH = "/-/ready"
RELOAD_PATH = "/-/reload"

_TELEMETRY_PATH = re.compile(r"/(?!-/)[^{}?#%\s]*")  # braces would be parameters of the route
_NOT_STORED = {"Cache-Control": "no-store"}
_COMPRESSION_LEVEL = 5  # of 9: level 9 takes three times as long for a few per cent less


class ReloadError(Exception):
    """The configuration could not be read anew; the text says why, and the old one goes on."""


def create_app(
    *,
    expose: Callable[[ExpositionFormat], bytes],
    status: Callable[[], Status],
    stuck: Callable[[], str | None],
    ready: Callable[[], bool],
    reload: Reload | None,
    telemetry_path: str = "/metrics",
    max_requests: int = 40,
) -> Starlette:
    """Return the ASGI application.

    All callables run in the event loop's thread. `stuck` says why the polling makes no progress, or None; `reload`
    raises ReloadError, and None makes its path a 404. Of scrapes and status pages at most `max_requests` are in flight,
    0 for no limit, as in node_exporter.
    """
    check_telemetry_path(telemetry_path)
    limit = _RequestLimit(max_requests)
    # metrics at "/" take the place of the status page
    pages = {"/": _page_endpoint(status, telemetry_path), telemetry_path: _metrics_endpoint(expose)}
    routes = [
        *(Route(path, _answering(limit.around(endpoint))) for path, endpoint in pages.items()),
        Route(HEALTHY_PATH, _answering(_healthy_endpoint(stuck))),
        Route(READY_PATH, _answering(_ready_endpoint(ready))),
        *_reload_routes(reload),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _refused})
    app.router.redirect_slashes = False
    return app


def check_telemetry_path(path: str) -> str:
    """Return the path if the metrics can be served there; the ValueError says what to write."""
    if not _TELEMETRY_PATH.fullmatch(path):
        raise ValueError(f'"{path}" cannot be the telemetry path: write a path such as /metrics, not below /-/')
    return path


def _metrics_endpoint(expose: Callable[[ExpositionFormat], bytes]) -> Endpoint:
    # zlib leaves the interpreter to others while it works; a thread of our own never waits behind calls to AWS
    compressor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="gzip")

    async def metrics(request: Request) -> Response:
        exposition_format = choose_format(_header(request, "accept"))
        headers = {"Content-Type": exposition_format.content_type, "Vary": "Accept, Accept-Encoding"}
        body = expose(exposition_format)
        if accepts_gzip(_header(request, "accept-encoding")):
            body = await asyncio.get_running_loop().run_in_executor(compressor, gzip.compress, body, _COMPRESSION_LEVEL)
            headers["Content-Encoding"] = "gzip"
        return Response(body, headers=headers)

    return metrics


def _page_endpoint(status: Callable[[], Status], telemetry_path: str) -> Endpoint:
    page = StatusPage(telemetry_path=telemetry_path, healthy_path=HEALTHY_PATH, ready_path=READY_PATH)

    async def status_page(_request: Request) -> Response:
        return Response(page.render(status()), media_type="text/html", headers=page.headers)

    return status_page


def _healthy_endpoint(stuck: Callable[[], str | None]) -> Endpoint:
    async def healthy(_request: Request) -> Response:
        reason = stuck()
        return _plain("Healthy.") if reason is None else _plain(reason, 503)

    return healthy


def _ready_endpoint(ready: Callable[[], bool]) -> Endpoint:
    async def is_ready(_request: Request) -> Response:
        return _plain("Ready.") if ready() else _plain("Not ready: the users to poll are not known yet.", 503)

    return is_ready


def _reload_routes(reload: Reload | None) -> Sequence[Route]:
    if reload is None:
        return []
    lock = asyncio.Lock()  # the second of two waits: what it answers is true of the files as they are then

    async def reload_once(_request: Request) -> Response:
        async with lock:
            try:
                await reload()
            except ReloadError as error:
                return _plain(f"Not reloaded: {error}", 500)
        return _plain("Reloaded.")

    return [Route(RELOAD_PATH, _answering(reload_once), methods=["POST", "PUT"])]


class _RequestLimit:
    """Lets so many requests in at a time; they are answered in turn, and other work gets its turn in between."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._in_flight = 0
        self._turn = asyncio.Lock()

    def around(self, endpoint: Endpoint) -> Endpoint:
        async def limited(request: Request) -> Response:
            if 0 < self._most <= self._in_flight:
                return _plain(f"At {self._most} requests, the limit of --web.max-requests: try again.", 503)
            self._in_flight += 1
            try:
                return await self._answer(endpoint, request)
            finally:
                self._in_flight -= 1

        return limited

    async def _answer(self, endpoint: Endpoint, request: Request) -> Response:
        async with self._turn:
            await asyncio.sleep(0)  # first take in what has arrived: a crowd is counted, not served one by one unseen
            return await endpoint(request)


def _answering(endpoint: Endpoint) -> Endpoint:
    """Return the endpoint with a plain 500 for whatever fails in it; the reason is in the log."""
    log = structlog.get_logger()

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Exception:
            log.exception("request failed", path=request.url.path)
            return _plain("Something went wrong here: the exporter's log says what.", 500)

    return answer


async def _refused(_request: Request, error: Exception) -> Response:
    """Answer 404 and 405 in plain text, `Allow` in a stable order."""
    refusal = cast("HTTPException", error)
    allow = (refusal.headers or {}).get("Allow")
    headers = {"Allow": ", ".join(sorted(allow.split(", ")))} if allow else {}
    return _plain(f"{refusal.detail}.", refusal.status_code, headers)


def _plain(text: str, status_code: int = 200, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(f"{text}\n", status_code, {**_NOT_STORED, **(headers or {})})


def _header(request: Request, name: str) -> str | None:
    """Return a header as one list, however many lines it came in (RFC 9110, section 5.3)."""
    return ",".join(request.headers.getlist(name)) or None
