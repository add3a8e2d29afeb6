"""The bytes of an answer, whole or broken."""

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from exporter.simulator.faults import Kind
from exporter.simulator.operations import LISTINGS, Call, ServiceError
from exporter.simulator.tokens import same_page_token
from exporter.simulator.wire import Answer

JSON = "application/x-amz-json-1.1"
_PAGE = b"<!DOCTYPE html><html><head><title>Sign in to the network</title></head><body>Accept the terms.</body></html>"


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer; of `body`, the first `sent` bytes go out before the connection ends, all of them for None."""

    status: int
    body: bytes
    content_type: str = JSON
    encoding: str | None = None
    error_code: str | None = None
    sent: int | None = None


def good(answer: Answer) -> Reply:
    """Return the reply with an operation's answer."""
    return Reply(200, json.dumps(answer).encode())


def refusal(error: ServiceError) -> Reply:
    """Return the reply with an error, as the service writes it."""
    body = {"__type": error.code, "message": str(error)}
    return Reply(error.status, json.dumps(body).encode(), error_code=error.code)


def spoilt(kind: Kind | str, call: Call, answer: Answer) -> Reply:
    """Return the answer with one fault in its bytes or its members."""
    if kind in _BROKEN_MEMBERS:
        return good(_BROKEN_MEMBERS[kind](call, answer))
    return _BROKEN_BYTES[kind](good(answer))


def _half(reply: Reply) -> Reply:
    return replace(reply, sent=len(reply.body) // 2)


def _html(_reply: Reply) -> Reply:
    return Reply(200, _PAGE, content_type="text/html; charset=utf-8")


def _not_json(reply: Reply) -> Reply:
    return replace(reply, body=reply.body[: len(reply.body) // 2])


def _gzip_garbage(reply: Reply) -> Reply:
    return replace(reply, body=b"\x1f\x8b" + zlib.compress(reply.body), encoding="gzip")


def _without(member: str) -> Callable[[Call, Answer], Answer]:
    def without(_call: Call, answer: Answer) -> Answer:
        events = answer["AuthEvents"]
        newest = [{name: value for name, value in event.items() if name != member} for event in events[:1]]
        return answer | {"AuthEvents": newest + events[1:]}

    return without


def _with_same_token(call: Call, answer: Answer) -> Answer:
    return answer | {LISTINGS[call.operation].token: call.token}


def _empty(call: Call, _answer: Answer) -> Answer:
    listing = LISTINGS[call.operation]
    return {listing.items: [], listing.token: same_page_token(call.token)}


_BROKEN_BYTES: Mapping[str, Callable[[Reply], Reply]] = {
    Kind.HALF_BODY: _half,
    Kind.HTML: _html,
    Kind.NOT_JSON: _not_json,
    Kind.GZIP_GARBAGE: _gzip_garbage,
}
_BROKEN_MEMBERS: Mapping[str, Callable[[Call, Answer], Answer]] = {
    Kind.NO_EVENT_ID: _without("EventId"),
    Kind.NO_CREATION_DATE: _without("CreationDate"),
    Kind.REPEATED_TOKEN: _with_same_token,
    Kind.EMPTY_PAGE: _empty,
}
