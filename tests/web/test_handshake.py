"""Connections behind TLS before they have asked for anything: hostile ones too are counted, timed, and cost others nothing."""

import asyncio
import contextlib
import gc
import socket
import ssl
import threading
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import trustme
from starlette.types import Receive, Scope, Send

from exporter.web.connection import Limits
from exporter.web.server import ListenAddress, WebServer, bind
from tests.conftest import eventually
from tests.web.test_web_server import GET, GONE, ended, hello, read_answer, read_to_end


@dataclass
class TLS:
    """TLS that admits who has one of these names in the certificate, or everybody."""

    context: ssl.SSLContext
    names: frozenset[str] = frozenset()

    def admits(self, certificate: Mapping[str, Any]) -> bool:
        """Tell whether this is one of them."""
        return not self.names or not self.names.isdisjoint(name for _, name in certificate["subjectAltName"])


class Place:
    """A server whose TLS may change, and clients that trust it."""

    def __init__(self, limits: Limits) -> None:
        self.authority = trustme.CA()
        self.tls = TLS(self.server_context("localhost"))
        self.limits = limits
        self.asked = threading.Event()
        self._may_answer = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop

    def server_context(self, *names: str) -> ssl.SSLContext:
        """Return the server's side with a new certificate for these names."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.authority.issue_cert(*names).configure_cert(context)
        return context

    def client_context(self, *names: str) -> ssl.SSLContext:
        """Return the client's side, with a certificate for these names where there are any."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if names:
            self.authority.issue_cert(*names).configure_cert(context)
        return context

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            self._loop = asyncio.get_running_loop()
            self.asked.set()
            await self._may_answer.wait()
        await hello(scope, receive, send)

    def answer(self) -> None:
        """Let slow requests be answered, of which one has come."""
        self._loop.call_soon_threadsafe(self._may_answer.set)

    @contextlib.contextmanager
    def served(self) -> Iterator[None]:
        """Serve until the end."""
        sockets = bind([ListenAddress("127.0.0.1", 0)])
        self.port = sockets[0].getsockname()[1]
        self.server = WebServer(self._app, self.limits, security=lambda: self.tls)
        thread = threading.Thread(target=lambda: asyncio.run(self.server.serve(sockets)))
        thread.start()
        try:
            yield
        finally:
            self.server.stop()
            thread.join(10)
        assert not thread.is_alive()

    def plainly(self) -> socket.socket:
        """Return a connection on which nothing has been said; every wait on it fails after 10 s."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def securely(self, context: ssl.SSLContext | None = None, name: str = "localhost") -> ssl.SSLSocket:
        """Return a connection after its handshake."""
        return (context or self.client_context()).wrap_socket(self.plainly(), server_hostname=name)

    def is_served(self) -> bool:
        """Tell whether a newcomer is answered."""
        with self.securely() as client:
            client.sendall(GET)
            return read_answer(client, b"/").startswith(b"HTTP/1.1 200 ")


Prepare = Callable[..., Place]


@pytest.fixture
def prepare() -> Iterator[Prepare]:
    """Serve behind TLS until the end of the test."""
    with contextlib.ExitStack() as stack:

        def start(limits: Limits | None = None) -> Place:
            place = Place(limits or Limits())
            stack.enter_context(place.served())
            return place

        yield start


SLOW = GET.replace(b"/", b"/slow", 1)
HALF_A_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100)


@pytest.mark.parametrize("said", [b"", HALF_A_HELLO])
def test_handshake_that_never_ends_is_reset(prepare: Prepare, said: bytes) -> None:
    """Whoever does not end the handshake in the time for a request is gone after it."""
    place = prepare(Limits(request_seconds=0.3))
    with place.plainly() as client:
        client.sendall(said)
        assert ended(client)


def test_handshake_and_request_share_their_time(prepare: Prepare) -> None:
    """The time for the first request begins with the connection, not with the end of its handshake."""
    place = prepare(Limits(request_seconds=0.5, idle_seconds=60))
    with place.securely() as client:
        client.sendall(b"GET / HTTP/1.1\r\nX: ")
        assert ended(client)


@pytest.mark.parametrize("said", [GET, b"nonsense" * 1000, bytes(100_000), b"\x15\x03\x03\x00\x02\x02\x28"])
def test_what_is_no_handshake_ends_the_connection(prepare: Prepare, said: bytes) -> None:
    """Plain HTTP, noise and alerts end their connection at once, and the next client is served."""
    place = prepare()
    with place.plainly() as client:
        with contextlib.suppress(*GONE):
            client.sendall(said)
        assert ended(client, 5)
    assert place.is_served()


def test_crowd_in_the_handshake_does_not_lock_out(prepare: Prepare) -> None:
    """Connections count from their acceptance: of too many silent ones those that came first are reset."""
    place = prepare(Limits(connections=4, request_seconds=60))
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(place.plainly()) for _ in range(30)]
        assert all(ended(client) for client in crowd[:26])
        assert place.is_served()


def test_newcomer_that_finds_no_place_is_gone(prepare: Prepare) -> None:
    """Where every place is taken by requests under way the newcomer is reset, and nothing of it is left."""
    place = prepare(Limits(connections=1, request_seconds=60))
    with place.securely() as asking:
        asking.sendall(SLOW)
        assert place.asked.wait(10)
        for _ in range(3):
            with contextlib.suppress(*GONE), place.plainly() as newcomer:  # which may be reset as it connects
                assert ended(newcomer)
        place.answer()
        read_answer(asking, b"/slow")
    held = place.server._server.server_state
    eventually(lambda: not held.connections, "nobody is held")


def test_clients_that_leave_are_forgotten(prepare: Prepare) -> None:
    """Who leaves before, in or after the handshake takes no place any more."""
    place = prepare(Limits(request_seconds=60))
    for said in (b"", HALF_A_HELLO, b"nonsense"):
        with place.plainly() as client:
            client.sendall(said)
    with place.securely():
        pass
    eventually(lambda: not place.server._server.server_state.connections, "nobody is held")


def test_nothing_is_left_of_a_handshake(prepare: Prepare) -> None:
    """A handshake that ends in whatever way gives back its memory at once, without a collection: there may be many a second."""
    place = prepare(Limits(request_seconds=0.3))
    gc.collect()
    gc.disable()
    try:
        for said in (b"", HALF_A_HELLO, b"nonsense" * 10):
            with place.plainly() as client:
                client.sendall(said)
                ended(client)
            with place.plainly() as client:
                client.sendall(said)
        assert place.is_served()
        eventually(lambda: not [each for each in gc.get_objects() if isinstance(each, SSLProtocol)], "nothing is left")
    finally:
        gc.enable()


def test_next_connection_has_the_new_certificate(prepare: Prepare) -> None:
    """A change counts for the next connection, and ends none that is there."""
    place = prepare()
    with place.securely() as before:
        place.tls = TLS(place.server_context("renewed"))
        with place.securely(name="renewed") as after:
            for client in (before, after):
                client.sendall(GET)
                read_answer(client, b"/")
        with pytest.raises(ssl.SSLCertVerificationError):
            place.securely()


def test_client_that_is_not_admitted_is_not_answered(prepare: Prepare) -> None:
    """A verified client is asked for its name, and sent away without a word of HTTP if it is not among the allowed ones."""
    place = prepare()
    context = place.server_context("localhost")
    context.verify_mode = ssl.CERT_REQUIRED
    place.authority.configure_trust(context)
    place.tls = TLS(context, frozenset({"prometheus"}))
    with place.securely(place.client_context("prometheus")) as client:
        client.sendall(GET)
        read_answer(client, b"/")
    for stranger in (place.client_context("stranger"), place.client_context()):
        with contextlib.suppress(OSError), place.securely(stranger) as client:
            client.sendall(GET)
            assert read_to_end(client) == b""


def test_stop_waits_for_no_handshake(prepare: Prepare) -> None:
    """Connections in the handshake end with the server."""
    place = prepare(Limits(request_seconds=60))
    with place.plainly() as silent, place.plainly() as half:
        half.sendall(HALF_A_HELLO)
        assert place.is_served()
        place.server.stop()
        assert ended(silent, 5)
        assert ended(half, 5)
