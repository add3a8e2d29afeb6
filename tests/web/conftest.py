"""A real server on a free port of 127.0.0.1, in a thread of its own."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from starlette.types import ASGIApp

from exporter.web.connection import Limits
from exporter.web.server import ListenAddress, WebServer, bind


@dataclass(frozen=True)
class Running:
    """A server that is being tested."""

    server: WebServer
    thread: threading.Thread
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self, *, receive_buffer: int | None = None) -> socket.socket:
        """Return a connection; every wait on it fails after 10 s."""
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


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve an application until the end of the test."""
    started: list[Running] = []

    def start(app: ASGIApp, limits: Limits | None = None) -> Running:
        sockets = bind([ListenAddress("127.0.0.1", 0)])
        server = WebServer(app, limits)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets)))
        running = Running(server, thread, sockets[0].getsockname()[1])
        thread.start()
        started.append(running)
        return running

    yield start
    for running in started:
        running.stop()
