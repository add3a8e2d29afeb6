"""One client's connection, held to limits of time and number that uvicorn alone does not set."""

import asyncio
import resource
import socket
import struct
from dataclasses import dataclass, field
from typing import Any, Protocol

import h11
from uvicorn import Config
from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

SENDS_AHEAD = "exporter.sends_ahead"
"""In the ASGI scope of a request behind which more has come already."""

_MOST_CONNECTIONS = 1024
_MOST_SECURE = 256  # asyncio gives each TLS connection a buffer of 256 KiB
_SHARE_UNDER_WAY = 0.75
_LAST_CALL = 0.05  # seconds
_NO_LINGER = struct.pack("ii", 1, 0)


def connection_limit(*, secure: bool = False) -> int:
    """Return how many connections to hold: half of the descriptors go to AWS, the state and what is being accepted."""
    most = _MOST_SECURE if secure else _MOST_CONNECTIONS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if soft == resource.RLIM_INFINITY else max(1, min(most, soft // 2))


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may take, in seconds and in numbers.

    `request_seconds`: from connecting, or from a later request's first byte, to the end of the request's head.
    `idle_seconds`: between two requests. `write_seconds`: until an answer has been taken. `stop_seconds`: until the
    requests in flight are given up at the end. `head_bytes`: of a request. `connections`: held at all. `unread`:
    connections with an answer that the client has not taken, each of which holds a copy of it.
    """

    request_seconds: float = 10.0
    idle_seconds: int = 120
    write_seconds: float = 30.0
    stop_seconds: int = 3
    head_bytes: int = 64 * 1024
    connections: int = field(default_factory=connection_limit)
    unread: int = 64


class Client(Protocol):
    """A connection, at whatever stage."""

    @property
    def transport(self) -> asyncio.Transport:
        """The way to the client."""
        ...

    def shutdown(self) -> None:
        """Finish what is under way, and end."""
        ...

    def reset(self) -> None:
        """End now."""
        ...


class Clients(ServerState):
    """All connections; where there are too many, the one that has waited longest goes.

    Refusing the newest instead would let whoever opens connections and says nothing lock Prometheus out. Thrown out
    itself, it connects anew: Go's client does so by itself when an idle connection turns out to be closed
    (https://pkg.go.dev/net/http#Transport).
    """

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self.limits = limits
        self._waiting: dict[Client, None] = {}  # without a request, in the order they began to wait
        self._asking: dict[Client, None] = {}  # with a request under way
        self._unread: dict[Client, None] = {}  # with an answer not yet taken, in that order

    def comes(self, connection: Client) -> None:
        """Take in a new connection."""
        if len(self.connections) > self.limits.connections:
            _reset_oldest(self._waiting or self._unread or {connection: None})
        self.waits(connection)

    def waits(self, connection: Client) -> None:
        """Note that a connection is without a request from now on."""
        self._asking.pop(connection, None)
        self._waiting[connection] = None

    def asks(self, connection: Client) -> None:
        """Note that a connection's request is under way: it is not thrown out for another.

        But for a quarter of all places, which such requests do not take: else newcomers would have none, Prometheus among them.
        """
        if len(self._asking) < _SHARE_UNDER_WAY * self.limits.connections:
            self._waiting.pop(connection, None)
            self._asking[connection] = None

    def leaves_unread(self, connection: Client) -> None:
        """Note that a client does not take its answer as fast as it is written."""
        self._unread[connection] = None
        if len(self._unread) > self.limits.unread:
            _reset_oldest(self._unread)

    def has_read(self, connection: Client) -> None:
        """Note that a client has taken all that was written."""
        self._unread.pop(connection, None)

    def forget(self, connection: Client) -> None:
        """Drop a connection that is gone."""
        self._waiting.pop(connection, None)
        self._asking.pop(connection, None)
        self._unread.pop(connection, None)


def _reset_oldest(connections: dict[Client, None]) -> None:
    oldest = next(iter(connections))
    del connections[oldest]
    oldest.reset()


def reset(transport: asyncio.Transport) -> None:
    """End a connection now; without lingering, or the kernel keeps what is unsent for minutes (socket(7))."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()


class Connection(H11Protocol):
    """uvicorn's protocol with deadlines. h11, not httptools: its buffers are bounded, and what it takes is strict."""

    def __init__(
        self,
        config: Config,
        server_state: Clients,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._clients = server_state
        self._request_deadline: asyncio.TimerHandle | None = None
        self._write_deadline: asyncio.TimerHandle | None = None
        self._ending = False  # this request is the connection's last

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        transport.set_write_buffer_limits(high=0)  # pause_writing then means: something is left unread
        self.begin(transport, until=self.loop.time() + self._clients.limits.request_seconds)

    def begin(self, transport: asyncio.Transport, *, until: float) -> None:
        """Wait for the first request, at most until then by the loop's clock."""
        super().connection_made(transport)
        self._clients.comes(self)
        self._request_deadline = self.loop.call_at(until, transport.close)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._under_way:
            self._await_request()

    def handle_events(self) -> None:
        """Look at what has come; called for new data, and again for a request that came before its turn."""
        super().handle_events()
        if self._under_way:
            self._cancel_request_deadline()
            if self.conn.trailing_data[0]:
                self.scope[SENDS_AHEAD] = True  # type: ignore[literal-required] # a key of our own
            else:  # Prometheus never sends ahead; who does is not protected by it
                self._clients.asks(self)
            if self._ending or self.conn.their_state is h11.SEND_BODY:  # nobody here reads bodies
                self._close_after_answer()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._under_way:
            self._clients.waits(self)
            if self.conn.trailing_data[0]:
                self._await_request()

    def eof_received(self) -> bool:  # type: ignore[override] # uvicorn declares that it returns nothing
        """Keep the connection for the answer that a client which has ended its side still waits for."""
        self._ending = True
        if self._under_way:
            self._close_after_answer()
        return self._under_way and self.scheme == "http"  # TLS has no half-closed connections

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_deadline is None:
            self._write_deadline = self.loop.call_later(self._clients.limits.write_seconds, self.reset)
        self._clients.leaves_unread(self)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._cancel_write_deadline()
        self._clients.has_read(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # uvicorn leaves it where the connection broke
        self._cancel_request_deadline()
        self._cancel_write_deadline()
        self._clients.forget(self)

    def shutdown(self) -> None:
        """Finish what is under way; close a waiting connection once a request already in its socket has been read."""
        self._ending = True
        if self._under_way:
            self._close_after_answer()
        else:
            self.loop.call_later(_LAST_CALL, self._close_waiting)

    def reset(self) -> None:
        """End the connection now."""
        reset(self.transport)

    def send_400_response(self, msg: str) -> None:
        """Answer 400 where no answer has begun: h11 cannot begin a second one."""
        if self.conn.our_state is h11.IDLE:
            super().send_400_response(msg)
            return
        if self._under_way:
            self.cycle.disconnected = True
        self.reset()

    def _should_upgrade(self) -> bool:
        return False  # RFC 9110, section 7.8: a server may ignore Upgrade; uvicorn would log two warnings a request

    @property
    def _under_way(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _close_after_answer(self) -> None:
        self.cycle.keep_alive = False
        if CLOSE_HEADER not in self.cycle.default_headers:
            self.cycle.default_headers = [*self.cycle.default_headers, CLOSE_HEADER]

    def _close_waiting(self) -> None:
        if not self._under_way:
            self.transport.close()

    def _await_request(self) -> None:
        if self._request_deadline is None:
            seconds = self._clients.limits.request_seconds
            self._request_deadline = self.loop.call_later(seconds, self.transport.close)

    def _cancel_request_deadline(self) -> None:
        if self._request_deadline is not None:
            self._request_deadline.cancel()
            self._request_deadline = None

    def _cancel_write_deadline(self) -> None:
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None
