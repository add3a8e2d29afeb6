"""The paths: metrics, health, reload and the status page, wired to the rest by callables."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from exporter.schedule.status import Status
from exporter.web import status_api
from exporter.web.compression import compress
from exporter.web.connection import SENDS_AHEAD
from exporter.web.negotiation import ContentCoding, ExpositionFormat, choose_coding, choose_format
from exporter.web.shared import Shared
from exporter.web.status_page import StatusPage

Endpoint = Callable[[Request], Awaitable[Response]]
Reload = Callable[[], Awaitable[None]]
Expose = Callable[[ExpositionFormat, Collection[str] | None], bytes]
"""(format, names of families or samples, None for all) -> exposition"""

HEALTHY_PATH = "/-/healthy"
READY_PATH = "/-/ready"
API_PATH = "/api/v1/status"
RELOAD_PATH = "/-/reload"

_TELEMETRY_PATH = re.compile(r"/(?!-/)[^{}?#%\s]*")  # braces would be parameters of the route
_NOT_STORED = {"Cache-Control": "no-store"}
_NAME = "name[]"  # the parameter of client libraries that asks for families or samples by name
_MOST_NAMES = 1000


class ReloadError(Exception):
    """The configuration could not be read anew; the text says why, and the old one goes on."""


def create_app(
    *,
    expose: Expose,
    status: Callable[[], Status],
    stuck: Callable[[], str | None],
    ready: Callable[[], bool],
    reload: Reload | None,
    telemetry_path: str = "/metrics",
    max_requests: int = 40,
) -> Starlette:
    """Return the ASGI application.

    All callables run in the event loop's thread. `stuck` says why the polling makes no progress, or None; `reload`
    raises ReloadError, and None makes its path a 404. Of scrapes, status pages and their JSON at most `max_requests` are
    in flight, 0 for no limit, as in node_exporter.
    """
    check_telemetry_path(telemetry_path)
    limit = _RequestLimit(max_requests)
    # metrics at "/" take the place of the status page
    pages = {
        "/": _page_endpoint(status, telemetry_path),
        API_PATH: _api_endpoint(status),
        telemetry_path: _metrics_endpoint(expose),
    }
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


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a scrape asks for."""

    exposition_format: ExpositionFormat
    coding: ContentCoding | None
    names: frozenset[str] | None

    @property
    def headers(self) -> dict[str, str]:
        encoding = {} if self.coding is None else {"Content-Encoding": self.coding.value}
        return {"Content-Type": self.exposition_format.content_type, "Vary": "Accept, Accept-Encoding", **encoding}


def _metrics_endpoint(expose: Expose) -> Endpoint:
    def make(wanted: _Wanted) -> bytes:
        body = expose(wanted.exposition_format, wanted.names)
        return body if wanted.coding is None else compress(body, wanted.coding)

    bodies = Shared(make)

    async def metrics(request: Request) -> Response:
        names = frozenset(request.query_params.getlist(_NAME)) if _NAME in request.query_params else None
        if names is not None and len(names) > _MOST_NAMES:
            return _plain(f"Too many names: ask for at most {_MOST_NAMES} by {_NAME}, or for all by none.", 400)
        exposition_format = choose_format(_header(request, "accept"))
        wanted = _Wanted(exposition_format, choose_coding(_header(request, "accept-encoding")), names)
        return Response(bodies.get(wanted), headers=wanted.headers)

    return metrics


def _page_endpoint(status: Callable[[], Status], telemetry_path: str) -> Endpoint:
    page = StatusPage(
        telemetry_path=telemetry_path, api_path=API_PATH, healthy_path=HEALTHY_PATH, ready_path=READY_PATH
    )
    return _status_endpoint(lambda: page.render(status()), "text/html", page.headers)


def _api_endpoint(status: Callable[[], Status]) -> Endpoint:
    return _status_endpoint(lambda: status_api.render(status()), "application/json", status_api.HEADERS)


def _status_endpoint(render: Callable[[], str | bytes], media_type: str, headers: Mapping[str, str]) -> Endpoint:
    bodies: Shared[None, str | bytes] = Shared(lambda _: render())

    async def endpoint(_request: Request) -> Response:
        return Response(bodies.get(None), media_type=media_type, headers=headers)

    return endpoint


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
    lock = asyncio.Lock()
    waiting: asyncio.Task[None] | None = None

    async def in_turn() -> None:
        nonlocal waiting
        async with lock:
            waiting = None  # who asks from now on is answered by the next one: the files may have changed meanwhile
            await reload()

    async def reload_once(_request: Request) -> Response:
        nonlocal waiting
        waiting = waiting or asyncio.create_task(in_turn())
        try:
            await asyncio.shield(waiting)
        except ReloadError as error:
            return _plain(f"Not reloaded: {error}", 500)
        return _plain("Reloaded.")

    return [Route(RELOAD_PATH, _answering(reload_once), methods=["POST", "PUT"])]


class _RequestLimit:
    """Lets so many requests in at a time; half of the places are kept for connections that do not send ahead, as Prometheus's."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._in_flight = 0

    def around(self, endpoint: Endpoint) -> Endpoint:
        async def limited(request: Request) -> Response:
            if 0 < self._places(request) <= self._in_flight:
                return _plain(f"Too many requests, {self._most} is the limit of --web.max-requests: try again.", 503)
            self._in_flight += 1
            try:
                await asyncio.sleep(0)  # what has arrived is taken in first: a crowd is counted, and shares its answers
                return await endpoint(request)
            finally:
                self._in_flight -= 1

        return limited

    def _places(self, request: Request) -> int:
        return (self._most + 1) // 2 if SENDS_AHEAD in request.scope else self._most


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
