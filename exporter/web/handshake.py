"""A connection behind TLS from its acceptance on: counted and timed like any other before a word of HTTP has come."""

import asyncio
import ssl
import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

import structlog
from uvicorn import Config

from exporter.web.connection import Clients, Connection, reset

_SHUTDOWN_SECONDS = 1.0  # that a client has to say goodbye at the end of TLS; it need not


class Security(Protocol):
    """What TLS a new connection gets."""

    @property
    def context(self) -> ssl.SSLContext:
        """The server's side of a handshake."""
        ...

    def admits(self, certificate: Mapping[str, Any]) -> bool:
        """Tell whether a client with this verified certificate, empty where it has none, may go on."""
        ...


class Handshake(asyncio.Protocol):
    """Accepts one client, has the handshake done, and hands the connection over to a `Connection`.

    asyncio's own TLS servers tell of a connection only after its handshake: until then it would be held by nobody's limit. Nor
    can they take another certificate for the next one; `security` is asked for each.
    """

    def __init__(
        self,
        config: Config,
        server_state: Clients,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        security: Callable[[], Security],
    ) -> None:
        self._connection = Connection(config, server_state, app_state, _loop)
        self._clients = server_state
        self._security = security
        self._loop = _loop or asyncio.get_running_loop()
        self._early = bytearray()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake of a client that was accepted."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.pause_reading()  # the client speaks first, and what it says is for TLS
        self._deadline = self._loop.call_later(self._clients.limits.request_seconds, self.reset)
        self._securing = self._loop.create_task(self._secure())
        self._clients.connections.add(self)  # type: ignore[arg-type] # uvicorn calls nothing but its shutdown
        self._clients.comes(self)  # which may reset it at once

    def data_received(self, data: bytes) -> None:
        """Keep what came together with the end of the handshake: the loop's next turn hands it over."""
        self._early += data

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a client that has gone, or whose handshake failed."""
        if exc is not None:
            structlog.get_logger().debug("a TLS handshake failed", error=str(exc) or type(exc).__name__)
        self._leave()

    def shutdown(self) -> None:
        """End at once, as the server ends: nothing has been asked yet."""
        self.reset()

    def reset(self) -> None:
        """End the connection now."""
        self._securing.cancel()
        reset(self.transport)
        self._leave()

    async def _secure(self) -> None:
        security = self._security()
        seconds = self._clients.limits.request_seconds
        try:
            secured = await self._loop.start_tls(
                self.transport, self, security.context, server_side=True,
                ssl_handshake_timeout=seconds, ssl_shutdown_timeout=_SHUTDOWN_SECONDS,
            )  # fmt: skip
        except (OSError, asyncio.CancelledError) as error:  # ssl.SSLError among them; asyncio has closed the transport
            error.__traceback__ = None  # its frames, which it is held by, hold asyncio's buffer of 256 KiB
            if isinstance(error, asyncio.CancelledError):
                raise
            self.connection_lost(error)
            return
        if secured is None or secured.is_closing():
            return
        if not security.admits(secured.get_extra_info("peercert") or {}):
            secured.abort()
            return
        self._hand_over(secured)

    def _hand_over(self, secured: asyncio.Transport) -> None:
        connection, until = self._connection, self._deadline.when()
        self._leave()
        secured.set_protocol(connection)
        secured.set_write_buffer_limits(high=sys.maxsize)
        connection.begin(secured, until=until)
        self.transport.set_protocol(_Flow(cast("asyncio.BufferedProtocol", self.transport.get_protocol()), connection))
        self.transport.set_write_buffer_limits(high=0)
        if self._early:
            connection.data_received(bytes(self._early))

    def _leave(self) -> None:
        self._deadline.cancel()
        self._clients.connections.discard(self)
        self._clients.forget(self)


class _Flow(asyncio.BufferedProtocol):
    """Stands before asyncio's TLS and tells the connection, too, when the socket takes no more.

    TLS by itself tells only of what it has not given to the socket's transport, which takes in any amount.
    """

    def __init__(self, tls: asyncio.BufferedProtocol, connection: Connection) -> None:
        self._tls = tls
        self._connection = connection

    def get_buffer(self, sizehint: int) -> bytearray:
        return cast("bytearray", self._tls.get_buffer(sizehint))

    def buffer_updated(self, nbytes: int) -> None:
        self._tls.buffer_updated(nbytes)

    def eof_received(self) -> bool | None:
        return self._tls.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._tls.connection_lost(exc)

    def pause_writing(self) -> None:
        self._tls.pause_writing()
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._tls.resume_writing()
        self._connection.resume_writing()
