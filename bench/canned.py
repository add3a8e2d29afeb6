"""A Cognito that costs next to nothing: every user has the same history, written beforehand, in users' own event ids.

`exporter.simulator` is a whole world, and slower than what is to be measured. `GET /` tells what was asked so far.
"""

import argparse
import asyncio
import json
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.process import HOST, Server, free_port
from exporter.event.event import AuthEvent, Context, Risk
from exporter.simulator.wire import wire_event
from exporter.simulator.world import auth_event

POOL_ID = "eu-west-1_Simulated"
EVENTS_OPERATION, POOL_OPERATION = "AdminListUserAuthEvents", "DescribeUserPool"
PAGE = 60
_AGE_OF_NEWEST = 7200.0  # seconds: outside the recent window, as most of a history is
_BETWEEN_EVENTS = 60.0
_TARGET = re.compile(rb"(?im)^x-amz-target: *\w+\.(\w+)")
_LENGTH = re.compile(rb"(?im)^content-length: *(\d+)")
_HEAD = "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: {}\r\nx-amzn-RequestId: canned\r\n\r\n"
_USERNAME = b"@username@"
_POOL = json.dumps({"UserPool": {"Id": POOL_ID, "UserPoolAddOns": {"AdvancedSecurityMode": "ENFORCED"}}}).encode()

_TYPES = ("SignIn", "SignIn", "SignIn", "PasswordChange", "ForgotPassword")
_RESPONSES = ("Pass", "Pass", "Fail")
_RISKS = (
    Risk("NoRisk", None, compromised_credentials=False),
    Risk("NoRisk", None, compromised_credentials=False),
    Risk("AccountTakeover", "Low", compromised_credentials=False),
    Risk("AccountTakeover", "High", compromised_credentials=False),
)
_COUNTRIES = ("United Kingdom", "Germany", "France", "Brazil", "Japan", "India", "Canada")


class CannedCognito(Server):
    """The server in a process of its own; every user has `events` events."""

    def __init__(self, events: int = 0) -> None:
        port = free_port()
        super().__init__("bench.canned", f"--port={port}", f"--events={events}", port=port)

    def figures(self) -> Mapping[str, Any]:
        """Return `requests` by operation, `first` (monotonic, None before one for events), `connections` that asked."""
        figures: Mapping[str, Any] = json.loads(self.get())
        return figures

    def served(self, operation: str = EVENTS_OPERATION) -> int:
        """Return how many requests of an operation were answered."""
        return int(self.figures()["requests"].get(operation, 0))


class History:
    """The pages of a history, newest first; the user's name is in the event ids, which are as long as Cognito's."""

    def __init__(self, events: int, now: float) -> None:
        self._events = [wire_event(_event(number, now)) for number in range(events)]
        self._pages: dict[tuple[int, int], bytes] = {}

    def page(self, username: str, token: str | None, limit: int) -> bytes:
        """Return the page of a user at a token, with so many events at most."""
        place = int(token or 0), limit
        if place not in self._pages:
            self._pages[place] = _page(self._events, *place)
        return self._pages[place].replace(_USERNAME, username.encode())


def _page(events: Sequence[Any], start: int, limit: int) -> bytes:
    end = start + limit
    more = {"NextToken": str(end)} if end < len(events) else {}
    return json.dumps({"AuthEvents": events[start:end], **more}).encode()


def _event(number: int, now: float) -> AuthEvent:
    return auth_event(
        now - _AGE_OF_NEWEST - number * _BETWEEN_EVENTS,
        event_id=f"{number:08x}-0000-4000-8000-{_USERNAME.decode()}",
        event_type=_TYPES[number % len(_TYPES)],
        response=_RESPONSES[number % len(_RESPONSES)],
        risk=_RISKS[number % len(_RISKS)],
        context=Context("192.0.2.99", "Chrome 126, Windows 10", "+00:00", "Somewhere", _COUNTRIES[number % 7]),
    )


class Desk:
    """Answers operations, and counts them."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._requests: Counter[str] = Counter()
        self._first: float | None = None
        self.asking: set[asyncio.Protocol] = set()
        self._operations: Mapping[str, Callable[[bytes], bytes]] = {
            EVENTS_OPERATION: self._events,
            POOL_OPERATION: lambda _: _POOL,
            "": lambda _: self._figures(),
        }

    def answer(self, operation: str, body: bytes) -> bytes:
        """Return the body of an answer."""
        self._requests[operation] += 1
        return self._operations[operation](body)

    def _events(self, body: bytes) -> bytes:
        if self._first is None:
            self._first = time.monotonic()
        asked = json.loads(body)
        return self._history.page(asked["Username"], asked.get("NextToken"), asked.get("MaxResults") or PAGE)

    def _figures(self) -> bytes:
        figures = {"requests": self._requests, "first": self._first, "connections": len(self.asking)}
        return json.dumps(figures).encode()


class Connection(asyncio.Protocol):
    """One connection: takes requests out of what is received, in whatever pieces it comes."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._received = b""
        self._transport = asyncio.Transport()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where answers go."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - narrows the type that asyncio gives
        self._transport = transport

    def connection_lost(self, _error: Exception | None) -> None:
        """Count it no more."""
        self._desk.asking.discard(self)

    def data_received(self, data: bytes) -> None:
        """Answer every whole request."""
        self._received += data
        while (request := self._next()) is not None:
            body = self._desk.answer(*request)
            self._transport.write(_HEAD.format(len(body)).encode() + body)

    def _next(self) -> tuple[str, bytes] | None:
        head, blank, rest = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if not blank or len(rest) < size:
            return None
        self._received = rest[size:]
        target = _TARGET.search(head)
        if target is None:
            return "", b""
        self._desk.asking.add(self)
        return target[1].decode(), rest[:size]


async def _serve(port: int, events: int) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    desk = Desk(History(events, time.time()))
    server = await loop.create_server(lambda: Connection(desk), HOST, port, backlog=1024)
    await stop.wait()
    server.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m bench.canned", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--events", type=int, default=0, help="events in every user's history")
    flags = parser.parse_args(arguments)
    asyncio.run(_serve(flags.port, flags.events))
    return 0


if __name__ == "__main__":
    sys.exit(main())
