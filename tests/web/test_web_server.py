"""What the server takes from clients, hostile and careless ones included, and how it ends."""

import asyncio
import contextlib
import logging
import select
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable

import pytest
from starlette.types import Receive, Scope, Send

from exporter.web.connection import SENDS_AHEAD, Limits, connection_limit
from exporter.web.server import ListenAddress, ListenError, WebServer, bind, parse_listen_address
from tests.web.conftest import Running, Serve

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
GONE = (ConnectionError, ssl.SSLEOFError)
"""How a client learns that the server has ended the connection."""

BIG = 16 * 1024 * 1024


async def hello(scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer every request with its path."""
    body = scope["path"].encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def big(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer /big with more than any socket's buffers take."""
    if scope["path"] != "/big":
        await hello(scope, receive, send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": bytes(BIG)})


class Gate:
    """An application that answers when it is let, and says when it has been asked."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self._opened = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._loop = asyncio.get_running_loop()
        self.asked.set()
        await self._opened.wait()
        await hello(scope, receive, send)

    def open(self) -> None:
        """Let every answer go; call it once one has been asked for."""
        self._loop.call_soon_threadsafe(self._opened.set)


def read_to_end(client: socket.socket) -> bytes:
    """Return what comes until the server closes; a reset is an end too."""
    received = b""
    with contextlib.suppress(*GONE):
        while chunk := client.recv(65536):
            received += chunk
    return received


def read_answer(client: socket.socket, body: bytes) -> bytes:
    """Return what comes up to the end of this body."""
    received = b""
    while not received.endswith(b"\r\n\r\n" + body):
        chunk = client.recv(65536)
        assert chunk, received
        received += chunk
    return received


def ended(client: socket.socket, seconds: float = 10) -> bool:
    """Return whether the server resets or closes the connection in time, without reading from it."""
    poll = select.poll()
    poll.register(client, select.POLLRDHUP)
    return bool(poll.poll(seconds * 1000))


def elapsed(action: Callable[[], object]) -> float:
    started = time.monotonic()
    action()
    return time.monotonic() - started


# --- addresses


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (":10078", "", 10078),
        ("127.0.0.1:9000", "127.0.0.1", 9000),
        ("[::1]:9000", "::1", 9000),
        ("[fe80::1%eth0]:9000", "fe80::1%eth0", 9000),
        ("localhost:9000", "localhost", 9000),
        (":0", "", 0),
        (":65535", "", 65535),
    ],
)
def test_listen_addresses(text: str, host: str, port: int) -> None:
    """Every way of Prometheus to write an address is understood, and written back."""
    address = parse_listen_address(text)
    assert address == ListenAddress(host, port)
    assert str(address) == text


@pytest.mark.parametrize(
    "text", ["", "10078", "localhost", ":", ":http", ":65536", "::1:9000", "[::1]", "[x]:1", "a b:1", ":-1", ":\u0661"]
)
def test_bad_listen_addresses(text: str) -> None:
    """A mistake is told with what to write instead."""
    with pytest.raises(ValueError, match=r"write :10078, 127\.0\.0\.1:10078 or \[::1\]:10078"):
        parse_listen_address(text)


def test_busy_port() -> None:
    """A busy port is named with its reason, and what had been bound before it is free again."""
    [busy] = bind([ListenAddress("127.0.0.1", 0)])
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free_port = probe.getsockname()[1]
    busy_port = busy.getsockname()[1]
    with busy, pytest.raises(ListenError, match=f"^cannot listen on 127.0.0.1:{busy_port}: Address already in use$"):
        bind([ListenAddress("127.0.0.1", free_port), ListenAddress("127.0.0.1", busy_port)])
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", free_port)) != 0


def test_unknown_host() -> None:
    """A host that does not exist is a plain error as well."""
    with pytest.raises(ListenError, match=r"^cannot listen on nowhere\.invalid:1: \w"):
        bind([ListenAddress("nowhere.invalid", 1)])


def test_localhost_is_ipv4() -> None:
    """A name with both kinds of addresses is listened on at its IPv4 one, as with other exporters."""
    [listener] = bind([ListenAddress("localhost", 0)])
    with listener:
        assert listener.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_every_interface(host: str) -> None:
    """An empty host listens by IPv4 and by IPv6."""
    if ":" in host and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    [listener] = bind([ListenAddress("", 0)])
    with listener, socket.create_connection((host, listener.getsockname()[1]), timeout=10):
        pass


def test_connection_limit_leaves_descriptors() -> None:
    """Clients take at most half of the descriptors."""
    assert 1 <= connection_limit(secure=True) <= connection_limit() <= 1024


# --- time


def test_silent_connection_is_closed(serve: Serve) -> None:
    """Whoever connects and says nothing is closed."""
    with serve(hello, Limits(request_seconds=0.2)).connect() as client:
        assert read_to_end(client) == b""


def test_dripped_request_is_closed(serve: Serve) -> None:
    """A request has its time for the whole head, not for each byte of it."""
    with serve(hello, Limits(request_seconds=0.3)).connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nX: ")
        started = time.monotonic()
        with contextlib.suppress(*GONE):
            while not ended(client, 0.02):
                client.sendall(b"x")
        assert 0.2 < time.monotonic() - started < 5


def test_later_request_is_timed_from_its_first_byte(serve: Serve) -> None:
    """On a kept connection a request that does not come to its end is closed long before the idle time."""
    with serve(hello, Limits(request_seconds=0.3, idle_seconds=60)).connect() as client:
        client.sendall(GET)
        read_answer(client, b"/")
        client.sendall(b"GET")
        assert elapsed(lambda: read_to_end(client)) < 5


def test_pipelined_beginning_is_timed(serve: Serve) -> None:
    """The beginning of a request that came along with the one before it is timed as well."""
    with serve(hello, Limits(request_seconds=0.3, idle_seconds=60)).connect() as client:
        client.sendall(GET + b"GET")
        assert elapsed(lambda: read_to_end(client)) < 5


def test_idle_connection_is_closed(serve: Serve) -> None:
    """A kept connection outlives the time for a request, and is closed after its idle time."""
    with serve(hello, Limits(request_seconds=0.1, idle_seconds=1)).connect() as client:
        client.sendall(GET)
        read_answer(client, b"/")
        assert 0.5 < elapsed(lambda: read_to_end(client)) < 5


def test_slow_answer_is_not_cut(serve: Serve) -> None:
    """The time for a request ends with its head: an answer may take longer."""
    gate = Gate()
    with serve(gate, Limits(request_seconds=0.1)).connect() as client:
        client.sendall(GET)
        assert gate.asked.wait(10)
        assert not ended(client, 0.3)
        gate.open()
        read_answer(client, b"/")


def test_client_that_never_reads_is_dropped(serve: Serve) -> None:
    """An answer nobody takes is given up, and others are answered meanwhile."""
    running = serve(big, Limits(write_seconds=0.5))
    with running.connect(receive_buffer=4096) as deaf, running.connect() as prompt:
        deaf.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        prompt.sendall(GET)
        read_answer(prompt, b"/")
        assert ended(deaf)


# --- number


def test_unread_answers_are_few(serve: Serve) -> None:
    """Of many clients that do not read, the one that has not read longest goes: memory is bounded."""
    running = serve(big, Limits(write_seconds=60, unread=2))
    with contextlib.ExitStack() as stack:
        deaf = [stack.enter_context(running.connect(receive_buffer=4096)) for _ in range(3)]
        for client in deaf:
            client.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
            client.recv(1)
        assert ended(deaf[0])
        assert not ended(deaf[1], 0)
        assert not ended(deaf[2], 0)


def test_crowd_of_connections_does_not_lock_out(serve: Serve) -> None:
    """Of too many connections those that have waited longest are closed, and the newest is answered."""
    running = serve(hello, Limits(connections=4, request_seconds=60))
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(running.connect()) for _ in range(12)]
        for client in crowd[:8]:
            assert read_to_end(client) == b""
        crowd[-1].sendall(GET)
        read_answer(crowd[-1], b"/")


def test_request_under_way_is_not_thrown_out(serve: Serve) -> None:
    """A crowd of connections never costs a request its answer."""
    gate = Gate()
    running = serve(gate, Limits(connections=2, request_seconds=60))
    with contextlib.ExitStack() as stack:
        asking = stack.enter_context(running.connect())
        asking.sendall(GET)
        assert gate.asked.wait(10)
        crowd = [stack.enter_context(running.connect()) for _ in range(6)]
        read_to_end(crowd[0])
        gate.open()
        read_answer(asking, b"/")


def test_requests_under_way_leave_places(serve: Serve) -> None:
    """Requests that take long hold three quarters of the places at most: newcomers are answered however many there are."""
    gate = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (gate if scope["path"] == "/slow" else hello)(scope, receive, send)

    running = serve(app, Limits(connections=8, request_seconds=60))
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(running.connect()).sendall(GET.replace(b"/", b"/slow", 1))
        assert gate.asked.wait(10)
        with running.connect() as newcomer:
            newcomer.sendall(GET)
            read_answer(newcomer, b"/")
        gate.open()


# --- what is sent


def test_pipelined_requests_are_all_answered(serve: Serve) -> None:
    """Requests sent ahead are answered in their order."""
    with serve(hello).connect() as client:
        client.sendall(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(3)))
        received = read_answer(client, b"/2")
        assert [received.index(b"\r\n\r\n/%d" % number) for number in range(3)] == sorted(
            received.index(b"\r\n\r\n/%d" % number) for number in range(3)
        )


def test_requests_sent_ahead_are_marked(serve: Serve) -> None:
    """The application is told of a request behind which another has come already; the last one is like any other."""

    async def tell(scope: Scope, _receive: Receive, send: Send) -> None:
        await hello({**scope, "path": "/ahead" if SENDS_AHEAD in scope else "/alone"}, _receive, send)

    with serve(tell).connect() as client:
        client.sendall(GET * 3)
        received = read_answer(client, b"/alone")
        assert received.count(b"/ahead") == 2
        client.sendall(GET)
        assert b"/ahead" not in read_answer(client, b"/alone")


@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_endless_body_is_cut(serve: Serve, method: bytes) -> None:
    """A body that nobody asked for is neither kept nor read to its end: the answer says that it closes, and it does."""
    with serve(hello).connect() as client:
        client.sendall(method + b" / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        head = read_answer(client, b"/")
        assert b"connection: close\r\n" in head.lower()
        sent = 0
        with contextlib.suppress(*GONE):
            while sent < BIG:
                client.sendall(b"10000\r\n" + bytes(0x10000) + b"\r\n")
                sent += 0x10000
        assert sent < BIG


def test_body_is_not_asked_for(serve: Serve) -> None:
    """A client that waits for 100 Continue gets its answer at once instead."""
    with serve(hello).connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n")
        assert read_to_end(client).startswith(b"HTTP/1.1 200 ")


def test_body_that_came_along_keeps_the_connection(serve: Serve) -> None:
    """An empty POST, as curl sends it to /-/reload, leaves the connection usable."""
    with serve(hello).connect() as client:
        for _ in range(2):
            client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            assert b"connection: close" not in read_answer(client, b"/").lower()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 200_000,
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_bad_requests(serve: Serve, request_bytes: bytes) -> None:
    """What is no request, or too long for one, is a 400 and the end of the connection."""
    with serve(hello).connect() as client:
        with contextlib.suppress(*GONE):
            client.sendall(request_bytes)
        answer = read_to_end(client)
        assert answer.startswith(b"HTTP/1.1 400 ") or answer == b""


def test_nonsense_while_an_answer_is_made(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """A client that breaks its own request ends its connection, and leaves nothing in the log."""
    gate = Gate()
    running = serve(gate)
    with running.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert gate.asked.wait(10)
        client.sendall(b"nonsense\r\n")
        read_to_end(client)
    gate.open()
    running.stop()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_upgrade_is_ignored(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """An offer to upgrade is passed over, without a word in the log."""
    with serve(hello).connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        read_answer(client, b"/")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("scheme", ["http"], indirect=True)  # TLS ends both ways at once in asyncio
def test_half_closed_client_is_answered(serve: Serve) -> None:
    """Whoever ends its side after the request still gets the answer."""
    gate = Gate()
    with serve(gate).connect() as client:
        client.sendall(GET)
        assert gate.asked.wait(10)
        client.shutdown(socket.SHUT_WR)
        assert not ended(client, 0)
        gate.open()
        assert read_to_end(client).endswith(b"\r\n\r\n/")


# --- the end


def test_stop_finishes_requests_in_flight(serve: Serve) -> None:
    """After the stop an accepted scrape is answered in full, while idle connections close and new ones fail."""
    gate = Gate()
    running = serve(gate)
    with running.connect() as asking, running.connect() as idle:
        asking.sendall(GET)
        assert gate.asked.wait(10)
        running.server.stop()
        assert read_to_end(idle) == b""
        with pytest.raises(ConnectionError):
            running.connect()
        gate.open()
        answer = read_to_end(asking)
    assert b"connection: close\r\n" in answer.lower()
    assert answer.endswith(b"\r\n\r\n/")
    running.stop()


def test_stop_gives_up_in_the_end(serve: Serve) -> None:
    """Requests that never end and clients that never read hold the stop up for a few seconds at most."""
    gate = Gate()
    running, deaf_server = serve(gate, Limits(stop_seconds=1)), serve(big, Limits(stop_seconds=1))
    with running.connect() as asking, deaf_server.connect(receive_buffer=4096) as deaf:
        asking.sendall(GET)
        deaf.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        assert gate.asked.wait(10)
        deaf.recv(1)
        stop_both(running, deaf_server)  # each fails after 10 s


def stop_both(*servers: Running) -> None:
    for running in servers:
        running.stop()


def test_signals_are_left_alone() -> None:
    """Signals belong to whoever runs the event loop."""

    async def serve_and_look() -> None:
        before = signal.getsignal(signal.SIGTERM)
        server = WebServer(hello, Limits(stop_seconds=1))
        serving = asyncio.create_task(server.serve(bind([ListenAddress("127.0.0.1", 0)])))
        await asyncio.sleep(0)
        assert signal.getsignal(signal.SIGTERM) is before
        server.stop()
        await serving

    asyncio.run(serve_and_look())
