"""A real server on a free port of 127.0.0.1, in a thread of its own, with TLS and without."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import trustme
from starlette.types import ASGIApp

from exporter.web.connection import Limits
from exporter.web.server import ListenAddress, WebServer, bind


@dataclass(frozen=True)
class ServerTLS:
    """TLS that admits everybody whose handshake succeeds."""

    context: ssl.SSLContext

    def admits(self, _certificate: Mapping[str, Any]) -> bool:
        return True


@dataclass(frozen=True)
class Running:
    """A server that is being tested; `client_tls` is for connections to it."""

    server: WebServer
    thread: threading.Thread
    port: int
    client_tls: ssl.SSLContext | None

    @property
    def url(self) -> str:
        return f"{'https' if self.client_tls else 'http'}://127.0.0.1:{self.port}"

    def connect(self, *, receive_buffer: int | None = None) -> socket.socket:
        """Return a connection, its handshake done where there is TLS; every wait on it fails after 10 s."""
        client = self.connect_plainly(receive_buffer=receive_buffer)
        if self.client_tls is None:
            return client
        try:
            return self.client_tls.wrap_socket(client, server_hostname="localhost")
        except OSError:
            client.close()
            raise

    def connect_plainly(self, *, receive_buffer: int | None = None) -> socket.socket:
        """Return a connection on which nothing has been said."""
        client = socket.socket()
        if receive_buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(10)
        try:
            client.connect(("127.0.0.1", self.port))
        except OSError:
            client.close()
            raise
        return client

    def stop(self) -> None:
        self.server.stop()
        self.thread.join(10)
        assert not self.thread.is_alive()


Serve = Callable[..., Running]


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Return an authority that has certified the server."""
    return trustme.CA()


@pytest.fixture(params=["http", "https"])
def scheme(request: pytest.FixtureRequest) -> str:
    """Return what the server speaks; a test that asks for it runs for both."""
    return str(request.param)


@pytest.fixture
def serve(scheme: str, authority: trustme.CA) -> Iterator[Serve]:
    """Serve an application until the end of the test."""
    started: list[Running] = []
    server_tls, client_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server_tls)
    authority.configure_trust(client_tls)
    is_secure = scheme == "https"

    def start(app: ASGIApp, limits: Limits | None = None) -> Running:
        sockets = bind([ListenAddress("127.0.0.1", 0)])
        server = WebServer(app, limits, security=(lambda: ServerTLS(server_tls)) if is_secure else None)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets)))
        running = Running(server, thread, sockets[0].getsockname()[1], client_tls if is_secure else None)
        thread.start()
        started.append(running)
        return running

    yield start
    for running in started:
        running.stop()
