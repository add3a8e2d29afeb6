"""What one answer may take: the longest texts that are let through, and how much of them is kept."""

import json
import tracemalloc

import pytest

from exporter.fetch.curl import MOST_BYTES
from exporter.fetch.outcome import Outcome
from tests.fetch.conftest import EVENT, USERNAME, NewSource, Server, failure

MOST_KEPT = 2048  # characters of one text


def _with_city(city: str) -> bytes:
    context = {"EventContextData": {"City": city, "Country": "France"}}
    return json.dumps({"AuthEvents": [EVENT | context]}, ensure_ascii=False).encode()


@pytest.mark.parametrize("letter", ["a", "é", "京"])
def test_a_city_of_a_million_characters_is_cut(letter: str, server: Server, new_source: NewSource) -> None:
    """A city of a million characters of up to three bytes costs no event, and only its beginning is kept."""
    body = _with_city(letter * 1_000_000)
    server.answer = lambda handler: handler.give(200, body)
    (event,) = new_source().auth_events(USERNAME, None).events
    assert event.context is not None
    assert event.context.country == "France"
    assert event.context.city is not None
    assert 0 < len(event.context.city) <= MOST_KEPT
    assert set(event.context.city) == {letter}


def test_a_longer_one_is_not_read(server: Server, new_source: NewSource) -> None:
    """An answer beyond the bound is malformed, whatever it holds: it is not read to its end."""
    body = _with_city("a" * MOST_BYTES)
    server.answer = lambda handler: handler.give(200, body)
    assert failure(lambda: new_source().auth_events(USERNAME, None)).outcome is Outcome.MALFORMED


MANY = 2**20  # of the parts below, each of which would take some hundred bytes as an object


@pytest.mark.parametrize("part", [b"[],", b"{},", b'"ab",', b"[" * 500 + b"]" * 500 + b","])
@pytest.mark.parametrize("status", [200, 400])
def test_what_would_swell_is_not_parsed(part: bytes, status: int, server: Server, new_source: NewSource) -> None:
    """An answer within the bound that would be far larger as objects is malformed before these are made."""
    body = b'{"AuthEvents": [' + part * (MANY // len(part) * 3) + b"{}]}"
    server.answer = lambda handler: handler.give(status, body)
    source = new_source()
    tracemalloc.start()
    try:
        assert failure(lambda: source.auth_events(USERNAME, None)).outcome is Outcome.MALFORMED
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 4 * len(body)
