"""What the API answers, as bytes: a page or an outcome and nothing else; and whatever page comes is counted and shown."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.event.line import EventLine
from exporter.fetch.cognito import CognitoSource
from exporter.fetch.outcome import FetchError, Outcome
from exporter.fetch.source import EventPage, ListedUser, PoolDescription, UserPage
from exporter.fetch.walk import walk
from exporter.ledger.counters import EVENTS
from exporter.ledger.ledger import Poll, PoolState
from exporter.ledger.rules import Settings
from exporter.ledger.sqlite import SqliteLedger
from exporter.metrics.committed import Committed
from exporter.metrics.exposition import Exposition
from exporter.metrics.view import PoolView, Presentation
from exporter.users.discovery import start_rule
from tests.fetch.conftest import DEMO, NOW, POOL, USERNAME, Handler, Server, says
from tests.fuzz.check import Check, bounded
from tests.ledger.selecting import row_of
from tests.metrics.test_exposition import STATUS

_T = TypeVar("_T")
_DAY = 86_400.0
_SETTINGS = Settings(settle=900, overlap=600, recent_window=3600, series_hold=0, max_series=50, per_user=True)
_PRESENTATION = Presentation(country="code", per_user="plain", hash_key=b"key", recent_window=3600)
_REFUSED = frozenset(Outcome) - {Outcome.OK, Outcome.TIMEOUT, Outcome.CONNECTION}
_MAY_QUOTE = frozenset({Outcome.NOT_AUTHORIZED, Outcome.CREDENTIALS})


@contextmanager
def answers(_folder: Path) -> Iterator[Check]:
    """Check answers of status 200."""
    with _asking() as asking:
        yield bounded(lambda data: _check_answer(asking, data))


@contextmanager
def refusals(_folder: Path) -> Iterator[Check]:
    """Check answers of the statuses of errors."""
    with _asking() as asking:
        yield bounded(lambda data: _check_refusal(asking, data))


class _Asking:
    """A source of a pool that is answered by the same bytes, whatever it asks for."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.source = CognitoSource(
            POOL,
            region="eu-west-1",
            identity=DEMO,
            on_request=lambda *_: None,
            request_timeout=30.0,
            endpoint_url=server.url,
            clock=NOW.timestamp,
        )

    def answer(self, data: bytes, status: int) -> None:
        """Answer with these bytes from now on."""
        self._server.requests.clear()
        self._server.answer = lambda handler: handler.give(status, data)

    def page(self) -> EventPage | FetchError:
        """Return what comes of asking for events."""
        return _tried(lambda: self.source.auth_events(USERNAME, None))

    def listed(self) -> UserPage | FetchError:
        """Return what comes of asking for users."""
        return _tried(lambda: self.source.users(None, None))

    def described(self) -> PoolDescription | FetchError:
        """Return what comes of asking for the pool."""
        return _tried(self.source.describe)


def _tried(call: Callable[[], _T]) -> _T | FetchError:
    try:
        return call()
    except FetchError as error:
        return error


class _Prompt(Handler):
    disable_nagle_algorithm = True  # else a body waits 40 ms until its head was acknowledged


@contextmanager
def _asking() -> Iterator[_Asking]:
    server = Server()
    server.RequestHandlerClass = _Prompt
    server.answer = says({})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    asking = _Asking(server)
    try:
        yield asking
    finally:
        asking.source.close()
        server.shutdown()
        server.server_close()
        thread.join()


def _check_refusal(asking: _Asking, data: bytes) -> None:
    for status in (400, 503):
        asking.answer(data, status)
        error = asking.page()
        assert isinstance(error, FetchError)
        assert error.outcome in _REFUSED
        assert str(error).isprintable()
        assert error.outcome in _MAY_QUOTE or USERNAME not in str(error)


def _check_answer(asking: _Asking, data: bytes) -> None:
    asking.answer(data, 200)
    page, listed = asking.page(), asking.listed()
    for found in (page, listed, asking.described()):
        assert not isinstance(found, FetchError) or (found.outcome, str(found).isprintable()) == (
            Outcome.MALFORMED,
            True,
        )
    users = () if isinstance(listed, FetchError) else listed.users
    _Counting(users).check(EventPage((), None) if isinstance(page, FetchError) else page)


class _Counting:
    """A ledger, and a view of what it commits."""

    def __init__(self, users: Sequence[ListedUser]) -> None:
        self._now = NOW.timestamp()
        self._ledger = SqliteLedger(":memory:", _SETTINGS, self._now)
        self._ledger.configure(_SETTINGS, EventLine({}, "plain", b"key"))
        named = ListedUser(USERNAME, None, by_name=True)
        self._ledger.select(POOL, [named, *users], began=self._now, start=start_rule("beginning"))
        self._user = row_of(self._ledger, POOL, USERNAME)
        self._view = PoolView("customers", _PRESENTATION)
        shown = Committed(lambda: {"customers": self._view}, lambda: STATUS, lambda: self._now)
        self._exposition = Exposition(shown.sections)

    def check(self, page: EventPage) -> None:
        """See that a page is counted once, and that what comes of it can be read by everybody."""
        first = self._poll(page, self._now)
        counted = sum(state.value or 0 for state in first.counters if state.family == EVENTS)
        assert counted <= len({event.event_id for event in page.events})
        assert all(state.value for state in first.counters if state.value is not None)
        again = self._poll(page, self._now)
        assert {state.series: state.value for state in again.counters}.items() <= self._values(first).items()
        self._poll(None, self._now + 2 * _DAY)
        self._check_shown()
        self._ledger.close()

    def _values(self, change: PoolState) -> dict[int, int | None]:
        return {state.series: state.value for state in change.counters}

    def _poll(self, page: EventPage | None, now: float) -> PoolState:
        """Poll a user whose history begins with a page; None: whom AWS does not know any more."""

        async def ask(_token: str | None, _limit: int) -> EventPage:
            return page or EventPage((), None)

        lookout = self._ledger.look_out(self._user, now)
        walking = walk(
            ask, clock=lambda: now, asked_at=now, depth=lookout.depth, max_pages=1, tolerance=_SETTINGS.overlap
        )
        found = None if page is None else asyncio.run(walking)
        walking.close()
        poll = Poll(POOL, self._user, now, lookout.began, found)
        change = self._ledger.record([poll], oldest_walk=lookout.began, now=now)[POOL]
        self._view.update(change, self._now)
        return change

    def _check_shown(self) -> None:
        assert list(parse_text(_telling(self._exposition.text())))
        assert list(parse_openmetrics(_telling(self._exposition.openmetrics())))
        for _, line in self._ledger.outbox.read(1000):
            assert "\n" not in line
            json.loads(line)


def _telling(exposition: bytes) -> str:
    """Return an exposition without what stands at zero: most of it, and nothing of a document is in that."""
    return "\n".join(line for line in exposition.decode().split("\n") if not line.endswith(" 0.0"))
