"""The paths of the exporter, over real HTTP."""

import asyncio
import gzip
import logging
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Collection

import httpx
import pytest
import structlog
import zstandard
from starlette.applications import Starlette
from starlette.types import Message

from exporter.schedule.status import Status
from exporter.web.app import Expose, ReloadError, create_app
from exporter.web.connection import SENDS_AHEAD
from exporter.web.negotiation import ExpositionFormat
from tests.web.conftest import Serve

STATUS = Status(
    version="1.2.3",
    now=2000.0,
    started=1000.0,
    pools=(),
    budgets=(),
    max_staleness=900.0,
    recent_window=3600.0,
    ready=True,
    stuck=None,
    reload_error=None,
)
EXPOSITIONS = {ExpositionFormat.TEXT: b"up 1\n" * 100, ExpositionFormat.OPENMETRICS: b"up 1\n" * 100 + b"# EOF\n"}


@pytest.fixture
def scheme() -> str:
    """Return what is spoken: TLS changes nothing about the paths."""
    return "http"


def app_with(
    *,
    expose: Expose = lambda wanted, _names: EXPOSITIONS[wanted],
    status: Callable[[], Status] = lambda: STATUS,
    stuck: Callable[[], str | None] = lambda: None,
    ready: Callable[[], bool] = lambda: True,
    reload: Callable[[], Awaitable[None]] | None = None,
    telemetry_path: str = "/metrics",
    max_requests: int = 40,
) -> Starlette:
    """Return an application in which all is well but for what is given."""
    return create_app(
        expose=expose,
        status=status,
        stuck=stuck,
        ready=ready,
        reload=reload,
        telemetry_path=telemetry_path,
        max_requests=max_requests,
    )


async def nothing() -> None:
    """Reload without a mistake."""


def failing(*_: object) -> bytes:
    """Fail as no user should see."""
    raise RuntimeError("a secret of the machine room")


# --- paths and methods


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/", 200, None),
        ("GET", "/api/v1/status", 200, None),
        ("POST", "/api/v1/status", 405, "GET, HEAD"),
        ("GET", "/metrics", 200, None),
        ("GET", "/metrics?name[]=up", 200, None),
        ("GET", "/-/healthy", 200, None),
        ("GET", "/-/ready", 200, None),
        ("POST", "/-/reload", 200, None),
        ("PUT", "/-/reload", 200, None),
        ("GET", "/-/reload", 405, "POST, PUT"),
        ("HEAD", "/-/reload", 405, "POST, PUT"),
        ("POST", "/metrics", 405, "GET, HEAD"),
        ("OPTIONS", "/metrics", 405, "GET, HEAD"),
        ("DELETE", "/", 405, "GET, HEAD"),
        ("PUT", "/-/healthy", 405, "GET, HEAD"),
        ("POST", "/-/ready", 405, "GET, HEAD"),
        ("GET", "/metrics/", 404, None),
        ("GET", "/nothing", 404, None),
        ("POST", "/nothing", 404, None),
        ("GET", "//metrics", 404, None),
        ("GET", "/%FF", 404, None),
    ],
)
def test_paths(serve: Serve, method: str, path: str, status: int, allow: str | None) -> None:
    """Each path knows its methods and tells them to another one; nothing else is there, and nothing redirects."""
    answer = httpx.request(method, serve(app_with(reload=nothing)).url + path)
    assert (answer.status_code, answer.headers.get("allow")) == (status, allow)
    if status >= 400:
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE"])
def test_reload_without_the_flag(serve: Serve, method: str) -> None:
    """Without --web.enable-lifecycle there is no such path, whatever the method."""
    assert httpx.request(method, serve(app_with()).url + "/-/reload").status_code == 404


@pytest.mark.parametrize("path", ["/", "/api/v1/status", "/metrics", "/-/healthy", "/-/ready"])
def test_head(serve: Serve, path: str) -> None:
    """HEAD says what GET would, without the body."""
    url = serve(app_with()).url + path
    get, head = httpx.get(url), httpx.head(url)
    assert head.content == b""
    assert head.status_code == get.status_code
    for name in ("content-type", "content-length"):
        assert head.headers[name] == get.headers[name]


def test_metrics_at_the_root(serve: Serve) -> None:
    """A telemetry path of / takes the place of the status page."""
    url = serve(app_with(telemetry_path="/")).url
    assert httpx.get(url + "/").content == EXPOSITIONS[ExpositionFormat.TEXT]
    assert httpx.get(url + "/metrics").status_code == 404


@pytest.mark.parametrize("path", ["", "metrics", "/-/healthy", "/-/x", "/a b", "/{name}", "/a?b", "/a#b", "/%41"])
def test_bad_telemetry_paths(path: str) -> None:
    """A telemetry path that could not be served is refused at the start, with an example."""
    with pytest.raises(ValueError, match="write a path such as /metrics"):
        app_with(telemetry_path=path)


# --- metrics


@pytest.mark.parametrize(
    ("accept", "expected"),
    [("*/*", ExpositionFormat.TEXT), ("application/openmetrics-text; version=1.0.0", ExpositionFormat.OPENMETRICS)],
)
def test_formats(serve: Serve, accept: str, expected: ExpositionFormat) -> None:
    """The body, its type, and what caches have to know go together."""
    answer = httpx.get(serve(app_with()).url + "/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"] == expected.content_type
    assert answer.headers["vary"] == "Accept, Accept-Encoding"
    assert answer.content == EXPOSITIONS[expected]


def test_accept_in_several_lines(serve: Serve) -> None:
    """A header in several lines is one list."""
    headers = [("Accept", "text/plain;q=0.5"), ("Accept", "application/openmetrics-text")]
    answer = httpx.get(serve(app_with()).url + "/metrics", headers=headers)
    assert answer.headers["content-type"] == ExpositionFormat.OPENMETRICS.content_type


UNPACK: dict[str | None, Callable[[bytes], bytes]] = {
    None: bytes,
    "gzip": gzip.decompress,
    "zstd": zstandard.decompress,
}


@pytest.mark.parametrize(
    ("accept_encoding", "encoding"),
    [("gzip", "gzip"), ("gzip, zstd", "zstd"), ("gzip;q=0", None), ("identity", None)],
)
def test_compression(serve: Serve, accept_encoding: str, encoding: str | None) -> None:
    """The metrics are compressed for those who want it, and only for them."""
    url = serve(app_with()).url + "/metrics"
    with httpx.stream("GET", url, headers={"Accept-Encoding": accept_encoding}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers.get("content-encoding") == encoding
    assert int(answer.headers["content-length"]) == len(raw)
    assert UNPACK[encoding](raw) == EXPOSITIONS[ExpositionFormat.TEXT]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", None),
        ("?x=1", None),
        ("?name[]=up", {"up"}),
        ("?name%5B%5D=up&name[]=a_bucket&name[]=up", {"up", "a_bucket"}),
        ("?name[]=", {""}),
    ],
)
def test_names_asked_for(serve: Serve, query: str, names: set[str] | None) -> None:
    """Names are taken as client libraries take them; none mean everything."""
    asked: list[Collection[str] | None] = []
    running = serve(app_with(expose=lambda _, names: asked.append(names) or b""))  # type: ignore[func-returns-value]
    assert httpx.get(f"{running.url}/metrics{query}").status_code == 200
    assert asked == [names]


def test_too_many_names(serve: Serve) -> None:
    """More names than there are families of anything are a wrong call, which says what to do."""
    query = "&".join(f"name[]={number}" for number in range(1001))
    answer = httpx.get(f"{serve(app_with()).url}/metrics?{query}")
    assert answer.status_code == 400
    assert "at most 1000" in answer.text


@pytest.mark.parametrize("path", ["/", "/metrics"])
def test_failure_is_a_plain_500(serve: Serve, path: str) -> None:
    """What fails inside is in the log and not in the answer, and the next request is served."""
    running = serve(app_with(expose=failing, status=failing))  # type: ignore[arg-type] # it returns nothing at all
    with structlog.testing.capture_logs() as logs:
        answer = httpx.get(running.url + path)
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert "secret" not in answer.text
    assert [(entry["event"], entry["path"]) for entry in logs] == [("request failed", path)]
    assert httpx.get(running.url + "/-/healthy").status_code == 200


# --- health


@pytest.mark.parametrize(("reason", "status"), [(None, 200), ("no poll has begun for 10m", 503)])
def test_healthy(serve: Serve, reason: str | None, status: int) -> None:
    """Healthy is 503 with the reason when polling is stuck."""
    answer = httpx.get(serve(app_with(stuck=lambda: reason)).url + "/-/healthy")
    assert answer.status_code == status
    assert answer.text == ("Healthy.\n" if reason is None else f"{reason}\n")


@pytest.mark.parametrize(("ready", "status"), [(True, 200), (False, 503)])
def test_ready(serve: Serve, ready: bool, status: int) -> None:
    """Ready follows the exporter's own word."""
    assert httpx.get(serve(app_with(ready=lambda: ready)).url + "/-/ready").status_code == status


# --- reload


def test_reload_fails_with_the_reason(serve: Serve) -> None:
    """A reload that fails says why."""

    async def refuse() -> None:
        raise ReloadError("config.yaml:3:5 user_pools[0].id: required")

    answer = httpx.post(serve(app_with(reload=refuse)).url + "/-/reload")
    assert answer.status_code == 500
    assert answer.text == "Not reloaded: config.yaml:3:5 user_pools[0].id: required\n"


def test_one_reload_at_a_time() -> None:
    """Who asks while a reload is under way shares the next one with all who do: two for any crowd, never two at once."""
    under_way: list[int] = []
    most: list[int] = []

    async def scene() -> list[int]:
        begun, going = asyncio.Event(), asyncio.Event()

        async def reload() -> None:
            begun.set()
            under_way.append(1)
            most.append(len(under_way))
            await going.wait()
            under_way.pop()

        app = app_with(reload=reload)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
            first = asyncio.create_task(client.post("/-/reload"))
            await begun.wait()
            later = [asyncio.create_task(client.post("/-/reload")) for _ in range(100)]
            for _ in range(10):
                await asyncio.sleep(0)
            going.set()
            return [answer.status_code for answer in await asyncio.gather(first, *later)]

    assert asyncio.run(scene()) == [200] * 101
    assert most == [1, 1]


# --- limits


def gather(app: Starlette, method: str, path: str, number: int) -> Counter[int]:
    """Return how often each status came of so many requests that arrive in one instant."""

    async def ask() -> Counter[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
            answers = await asyncio.gather(*(client.request(method, path) for _ in range(number)))
        return Counter(answer.status_code for answer in answers)

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("path", "most", "expected"),
    [
        ("/metrics", 3, {200: 3, 503: 7}),
        ("/", 3, {200: 3, 503: 7}),
        ("/metrics", 0, {200: 10}),
        ("/api/v1/status", 3, {200: 3, 503: 7}),
        ("/-/healthy", 3, {200: 10}),
    ],
)
def test_max_requests(path: str, most: int, expected: dict[int, int]) -> None:
    """Beyond the limit the answer is 503 at once; health is always answered."""
    assert gather(app_with(max_requests=most), "GET", path, 10) == expected


def test_who_sends_ahead_leaves_room_for_others() -> None:
    """Connections that send many requests ahead take half of the places, and whoever does not is still answered."""
    app = app_with(max_requests=4)

    async def ask(*, ahead: bool) -> int:
        scope: dict[str, object] = {
            "type": "http", "method": "GET", "path": "/metrics", "raw_path": b"/metrics", "query_string": b"",
            "headers": [], "http_version": "1.1", "scheme": "http", "root_path": "", "client": None, "server": None,
        }  # fmt: skip
        statuses: list[int] = []

        async def send(message: Message) -> None:
            statuses.append(message.get("status", 0))

        await app({**scope, SENDS_AHEAD: True} if ahead else scope, nothing_received, send)
        return statuses[0]

    async def crowd() -> list[int]:
        return list(await asyncio.gather(*(ask(ahead=ahead) for ahead in [True] * 5 + [False] * 3)))

    assert asyncio.run(crowd()) == [200, 200, 503, 503, 503, 200, 200, 503]


async def nothing_received() -> Message:
    """Receive a request without a body."""
    return {"type": "http.request"}


def test_limit_is_free_again(serve: Serve) -> None:
    """Every end of a request makes room for the next, a failing one included."""
    running = serve(app_with(expose=failing, max_requests=1))
    assert [httpx.get(running.url + "/metrics").status_code for _ in range(3)] == [500, 500, 500]


def test_many_scrapes_at_once(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """Parallel scrapes over real connections are each answered, by the metrics or by 503."""
    url = serve(app_with(max_requests=2)).url + "/metrics"
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(httpx.get(url).status_code)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(statuses) == 16
    assert 200 in statuses
    assert set(statuses) <= {200, 503}
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
