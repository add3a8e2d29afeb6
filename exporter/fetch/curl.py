"""HTTP requests by libcurl, over connections that are kept open: one attempt each, within bounds of time and size.

No other module knows pycurl. A call of botocore's own way over urllib3 takes 0.24 ms of processor time in Python,
http.client takes 0.10, libcurl 0.03; and while it works, other threads do.
"""

import os
import select
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from math import ceil
from typing import Any

import pycurl

from exporter.fetch.outcome import Outcome

MOST_BYTES = 4 * 2**20
"""Of an answer's body: a page of 60 events has some 30 kB, one of 60 users with attributes at their longest may have some MB.

It bounds what all workers hold at once. The head of an answer is bounded by libcurl itself, to 300 kB.
"""

_CHUNK = 64 * 1024  # so that most answers come in one piece: each is a call back into Python

_NO_SOCKET = -1
_QUICK_EXIT = 322  # libcurl's number of an option that pycurl does not name

_Options = Mapping[int, Any]

# Nothing but what is said here: neither configuration files nor the environment's proxies, cookies or redirects.
_ALWAYS: _Options = {
    pycurl.NOSIGNAL: 1,  # a signal would come to whichever thread
    pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
    pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_1_1,  # HTTP/2 sends refused streams again
    pycurl.FOLLOWLOCATION: 0,
    _QUICK_EXIT: 1,  # else a close waits for a name that was given up, for as long as the resolver does
    pycurl.NETRC: pycurl.NETRC_IGNORED,
    pycurl.NOPROXY: "",  # else libcurl asks NO_PROXY, also of a proxy that it was given
    pycurl.SSL_VERIFYPEER: 1,
    pycurl.SSL_VERIFYHOST: 2,
    pycurl.TCP_KEEPALIVE: 1,
    pycurl.BUFFERSIZE: _CHUNK,
    pycurl.MAXFILESIZE: MOST_BYTES,  # of what arrives, whatever length the head tells
    pycurl.POST: 1,
}

# Every other error of libcurl is one of the connection: name, handshake, certificate, what is no HTTP, an end too early.
_OUTCOMES: Mapping[int, Outcome] = {
    pycurl.E_OPERATION_TIMEDOUT: Outcome.TIMEOUT,
    pycurl.E_FILESIZE_EXCEEDED: Outcome.MALFORMED,
}


class NoAnswer(Exception):  # noqa: N818 - what happened, not a defect
    """No whole answer came. The text is libcurl's word for the kind of error: it holds no name and no address."""

    def __init__(self, code: int) -> None:
        """Take libcurl's error code."""
        super().__init__(pycurl.easy_strerror(code))
        self.outcome = _OUTCOMES.get(code, Outcome.CONNECTION)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, of whatever status; the names are botocore's."""

    status_code: int
    body: bytes


class Curl:
    """Posts, from any number of threads; there are as many connections as calls at the same time."""

    def __init__(self, *, timeout: float, ca_file: str, proxy: str | None) -> None:
        """Take the bound of a whole call in seconds, the authorities to trust, and the proxy's URL, with its password.

        `ca_file` is read when it is first needed.
        """
        self._options: _Options = {
            **_ALWAYS,
            pycurl.TIMEOUT_MS: max(1, ceil(timeout * 1000)),  # 0 is none
            pycurl.CAINFO: os.fsencode(ca_file),
            pycurl.PROXY_CAINFO: os.fsencode(ca_file),
            pycurl.PROXY: os.fsencode(proxy or ""),  # else libcurl asks the environment
        }
        self._idle: deque[_Handle] = deque()
        self._closed = False

    def post(self, url: str, body: bytes, headers: Mapping[str, bytes]) -> Answer:
        """Post a body, once, and return the answer; raises `NoAnswer`."""
        handle = self._usable_one() or _Handle(self._options)
        try:
            return handle.post(url, body, headers)
        finally:
            self._give_back(handle)

    def close(self) -> None:
        """Close what is idle; a connection in use is closed when its request ends."""
        self._closed = True
        while (handle := self._idle_one()) is not None:
            handle.close()

    def _give_back(self, handle: "_Handle") -> None:
        self._idle.append(handle)
        if self._closed:  # asked after the handle is in its place, so that none slips through
            self.close()

    def _usable_one(self) -> "_Handle | None":
        """Return an idle handle; one whose connection the server closed meanwhile is let go."""
        while (handle := self._idle_one()) is not None:
            if not handle.has_news():
                return handle
            handle.close()
        return None

    def _idle_one(self) -> "_Handle | None":
        """Return the handle used last, so that the connections of a rush are left to themselves after it."""
        try:
            return self._idle.pop()
        except IndexError:
            return None


class _Handle:
    """A handle of libcurl, for one call at a time; its connection stays open between calls."""

    def __init__(self, options: _Options) -> None:
        self._received: list[bytes] = []
        self._curl = pycurl.Curl()
        for option, value in options.items():
            self._curl.setopt(option, value)
        self._curl.setopt(pycurl.WRITEFUNCTION, self._received.append)

    def post(self, url: str, body: bytes, headers: Mapping[str, bytes]) -> Answer:
        curl, received = self._curl, self._received
        curl.setopt(pycurl.URL, url.encode())
        curl.setopt(pycurl.HTTPHEADER, _lines(headers.items()))
        # Where a kept connection ends after the request was sent and before a byte of an answer, libcurl sends it again
        # on a new one. The server may have worked for the first, so this would be an attempt that no budget sees. A body
        # that it can read only once keeps it from that, for 2 µs: the call fails with E_SEND_FAIL_REWIND.
        curl.setopt(pycurl.READFUNCTION, BytesIO(body).read)
        curl.setopt(pycurl.POSTFIELDSIZE, len(body))
        try:
            curl.perform()
            return Answer(curl.getinfo(pycurl.RESPONSE_CODE), b"".join(received))
        except pycurl.error as error:
            raise NoAnswer(int(error.args[0])) from None  # its own text quotes addresses
        finally:
            received.clear()

    def has_news(self) -> bool:
        """Tell whether its connection has something to be read, if only its end: libcurl itself looks once a second."""
        sock = self._curl.getinfo(pycurl.ACTIVESOCKET)
        if sock == _NO_SOCKET:
            return False
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        self._curl.close()


def _lines(headers: Iterable[tuple[str, bytes]]) -> list[bytes]:
    lines = [b"%s: %s" % (name.encode(), value) for name, value in headers]
    return [*lines, b"Expect:"]  # none: it would ask leave of the server for each body of 1 MiB
