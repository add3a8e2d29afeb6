"""The bytes of an answer, whole or broken."""

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from exporter.simulator.faults import Kind
from exporter.simulator.operations import ServiceError
from exporter.simulator.strange import STRANGE, Draft
from exporter.simulator.wire import Answer

JSON = "application/x-amz-json-1.1"
_HUGE = 8 * 2**20  # bytes
_PAGE = b"<!DOCTYPE html><html><head><title>Sign in to the network</title></head><body>Accept the terms.</body></html>"


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer; of `body`, the first `sent` bytes go out before the connection ends, all of them for None.

    Where its length is not `foretold`, it ends with the connection.
    """

    status: int
    body: bytes
    content_type: str = JSON
    encoding: str | None = None
    error_code: str | None = None
    sent: int | None = None
    foretold: bool = True


def good(answer: Answer) -> Reply:
    """Return the reply with an operation's answer."""
    return Reply(200, json.dumps(answer).encode())


def refusal(error: ServiceError) -> Reply:
    """Return the reply with an error, as the service writes it."""
    body = {"__type": error.code, "message": str(error)}
    return Reply(error.status, json.dumps(body).encode(), error_code=error.code)


def spoilt(kind: Kind | str, draft: Draft) -> Reply:
    """Return the answer with one fault in its bytes or its members."""
    if kind in STRANGE:
        return good(STRANGE[kind](draft))
    return _BROKEN_BYTES[kind](good(draft.answer))


def _half(reply: Reply) -> Reply:
    return replace(reply, sent=len(reply.body) // 2)


def _html(_reply: Reply) -> Reply:
    return Reply(200, _PAGE, content_type="text/html; charset=utf-8")


def _not_json(reply: Reply) -> Reply:
    return replace(reply, body=reply.body[: len(reply.body) // 2])


def _gzip_garbage(reply: Reply) -> Reply:
    return replace(reply, body=b"\x1f\x8b" + zlib.compress(reply.body), encoding="gzip")


def _huge(reply: Reply) -> Reply:
    return replace(reply, body=b" " * _HUGE + reply.body, foretold=False)


_BROKEN_BYTES: Mapping[str, Callable[[Reply], Reply]] = {
    Kind.HALF_BODY: _half,
    Kind.HTML: _html,
    Kind.NOT_JSON: _not_json,
    Kind.GZIP_GARBAGE: _gzip_garbage,
    Kind.HUGE_BODY: _huge,
}
