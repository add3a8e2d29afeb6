"""What clients send, as bytes: each is answered in HTTP or cut off, nothing is logged as an error, and others are served."""

import asyncio
import re
import socket
import threading
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import bcrypt
import httpx
import structlog
from starlette.types import ASGIApp
from structlog.testing import capture_logs

from exporter.metrics.exposition import Exposition
from exporter.metrics.instruments import Instruments
from exporter.web.app import create_app
from exporter.web.guard import Guard
from exporter.web.negotiation import ExpositionFormat
from exporter.web.passwords import Passwords
from exporter.web.server import ListenAddress, WebServer, bind
from exporter.web.web_files import WebConfigFiles
from tests.fuzz.check import Check, bounded
from tests.metrics.test_exposition import STATUS

USER = ("alice", "secret")
_COST = 4  # the least that bcrypt has: a password is checked with each request
_ANSWER = re.compile(rb"HTTP/1\.1 ([1-5]\d\d) [ -~]*\r\n(?:[!-9;-~]+: ?[^\r\n\0]*\r\n)*\r\n")
_FORMATS = {ExpositionFormat.TEXT: Exposition.text, ExpositionFormat.OPENMETRICS: Exposition.openmetrics}
_Logs = Sequence[MutableMapping[str, Any]]


@contextmanager
def http_requests(folder: Path) -> Iterator[Check]:
    """Check requests to a server that asks for passwords, and to one that does not."""
    file = folder / "web.yaml"
    hashed = bcrypt.hashpw(USER[1].encode(), bcrypt.gensalt(_COST)).decode()
    file.write_text(f"basic_auth_users: {{{USER[0]}: '{hashed}'}}\n")
    with capture_logs() as logs, ExitStack() as running:
        files = WebConfigFiles(file, structlog.get_logger())
        running.callback(files.close)
        asks = [running.enter_context(_served(app)) for app in (_app(), Guard(_app(), files, Passwords()))]
        yield bounded(lambda data: _check_all(asks, data, logs))


def _app() -> ASGIApp:
    own = Instruments()
    own.built("1.2.3", "abc", "3.11.0")
    exposition = Exposition(own.sections)

    async def reload() -> None:
        """Reload without a mistake."""

    return create_app(
        expose=lambda wanted, names: _FORMATS[wanted](exposition, names),
        status=lambda: STATUS,
        stuck=lambda: None,
        ready=lambda: True,
        reload=reload,
    )


@contextmanager
def _served(app: ASGIApp) -> Iterator[Callable[[bytes], None]]:
    """Serve an application; yield what sends bytes to it, and sees that others are served after them."""
    sockets = bind([ListenAddress("127.0.0.1", 0)])
    address = sockets[0].getsockname()
    server = WebServer(app)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets)))
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{address[1]}", auth=USER, trust_env=False) as others:
            yield lambda data: _check(address, others, data)
    finally:
        server.stop()
        thread.join()


def _check_all(asks: Sequence[Callable[[bytes], None]], data: bytes, logs: _Logs) -> None:
    for ask in asks:
        ask(data)
    assert not [entry for entry in logs if entry["log_level"] in {"error", "critical"}]


def _check(address: tuple[str, int], others: httpx.Client, data: bytes) -> None:
    answer = _answered(address, data)
    head = _ANSWER.match(answer)
    assert not answer or (head is not None and head[1] != b"500")
    for path in ("/-/healthy", "/metrics"):
        assert others.get(path).status_code == 200


def _answered(address: tuple[str, int], data: bytes) -> bytes:
    """Return all that comes until the server closes; it may have enough of a client before that has sent everything."""
    with socket.create_connection(address, 15) as client:
        with suppress(OSError):  # closed already, which a shutdown tells in a way of its own
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        parts = []
        with suppress(ConnectionError):
            while part := client.recv(65_536):
                parts.append(part)
        return b"".join(parts)
