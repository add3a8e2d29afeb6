"""The server: what it listens on, and uvicorn held to our limits."""

import asyncio
import contextlib
import errno
import ipaddress
import logging
import os
import re
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from exporter.web.connection import Clients, Connection, Limits, connection_limit
from exporter.web.handshake import Handshake, Security

_LISTEN_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[^\[\]]+)\]|(?P<host>[^:\[\]\s]*)):(?P<port>[0-9]{1,5})")
_LAST_PORT = 65535
_NO_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})


class ListenError(Exception):
    """An address could not be listened on; the text names it and says why."""


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where to listen; an empty host is every interface, port 0 a free port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen_address(text: str) -> ListenAddress:
    """Return the address written as `host:port`, `[IPv6]:port` or `:port`; the ValueError says what to write."""
    match = _LISTEN_ADDRESS.fullmatch(text)
    if match is None or int(match["port"]) > _LAST_PORT or not _is_ipv6(match["ipv6"] or "::"):
        raise ValueError(f'"{text}" is no listen address: write :10078, 127.0.0.1:10078 or [::1]:10078')
    return ListenAddress(match["ipv6"] or match["host"], int(match["port"]))


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def bind(addresses: Iterable[ListenAddress]) -> list[socket.socket]:
    """Return a listening socket for each address; raises ListenError, with none left open, where one cannot be had."""
    with contextlib.ExitStack() as unfinished:
        sockets = [unfinished.enter_context(_listen(address)) for address in addresses]
        for listening in sockets:
            # Connections take it over. asyncio does this only where a socket names its protocol, and these do not: a body
            # would wait for the client's word that it has the head, 40 ms on a connection that is kept.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        unfinished.pop_all()
        return sockets


def _listen(address: ListenAddress) -> socket.socket:
    try:
        return _listen_on_host(address) if address.host else _listen_everywhere(address.port)
    except UnicodeError as error:
        raise ListenError(f"cannot listen on {address}: not the name of a host") from error
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise ListenError(f"cannot listen on {address}: {reason}") from error


def _listen_on_host(address: ListenAddress) -> socket.socket:
    """Listen on a host's first IPv4 address, or else its first, as Go's net.Listen does (https://pkg.go.dev/net#Listen)."""
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, sockaddr = min(found, key=lambda info: info[0] != socket.AF_INET)
    return socket.create_server((str(sockaddr[0]), address.port), family=family)


def _listen_everywhere(port: int) -> socket.socket:
    """Listen on every interface by IPv6 and IPv4, or by IPv4 where the machine has no IPv6."""
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError as error:
            if error.errno not in _NO_IPV6:
                raise
    return socket.create_server(("0.0.0.0", port))  # noqa: S104 - an empty host says so


class WebServer:
    """Serves an ASGI application until `stop`; signals are left to whoever runs the event loop."""

    def __init__(
        self, app: ASGIApp, limits: Limits | None = None, *, security: Callable[[], Security] | None = None
    ) -> None:
        """Serve behind TLS where `security` is given; it is asked for each new connection."""
        limits = limits or Limits(connections=connection_limit(secure=security is not None))
        accepts = Connection if security is None else partial(Handshake, security=security)
        self._server = _Server(_uvicorn_config(app, limits, accepts), Clients(limits))

    async def serve(self, sockets: list[socket.socket]) -> None:
        """Serve on the sockets, and close them at the end; returns within `stop_seconds` + 1 s of `stop`."""
        try:
            await self._server.serve(sockets)
        finally:
            for connection in list(self._server.server_state.connections):
                connection.transport.abort()

    def stop(self) -> None:
        """Stop accepting, finish the requests in flight, close the connections; may be called more than once."""
        self._server.should_exit = True


def _uvicorn_config(app: ASGIApp, limits: Limits, accepts: Callable[..., asyncio.Protocol]) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=cast("type[asyncio.Protocol]", accepts),
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_config=None,
        # below: "Invalid HTTP request received.", once for each line of each port scan
        log_level=logging.ERROR,
        server_header=False,
        proxy_headers=False,
        # asyncio takes in so many at one go, before it can count them
        backlog=max(16, limits.connections // 4),
        timeout_keep_alive=limits.idle_seconds,
        timeout_graceful_shutdown=limits.stop_seconds,
        h11_max_incomplete_event_size=limits.head_bytes,
    )


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, clients: Clients) -> None:
        super().__init__(config)
        self.server_state = clients

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
