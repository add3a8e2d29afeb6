"""A ledger and what is done to it, for tests of single polls. Times in seconds after BEGIN."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from exporter.event.event import AuthEvent, Context, Risk
from exporter.fetch.source import DamagedEntry, ListedUser
from exporter.fetch.walk import Walk
from exporter.ledger.counters import EVENTS
from exporter.ledger.ledger import CounterState, KnownUser, Poll, PoolState
from exporter.ledger.rules import Settings
from exporter.ledger.sqlite import SqliteLedger
from exporter.users.discovery import start_rule
from tests.ledger.selecting import row_of, select_all, selected

POOL = "eu-west-1_Test"
BEGIN = 1_700_000_000.0
SETTINGS = Settings(settle=900, overlap=600, recent_window=3600, series_hold=0, max_series=5000, per_user=False)


def auth_event(
    event_id: str, created: float, response: str | None = "Pass", country: str | None = "France", **changes: object
) -> AuthEvent:
    """Return a sign-in of no risk."""
    event = AuthEvent(
        event_id=event_id,
        created=datetime.fromtimestamp(BEGIN + created, UTC),
        event_type="SignIn",
        response=response,
        risk=Risk("NoRisk", None, False),
        challenges=(),
        context=Context(None, None, None, None, country),
        feedback=None,
    )
    return event._replace(**changes)  # type: ignore[arg-type]


class Scene:
    """A ledger and what is done to it."""

    def __init__(self, path: Path, settings: Settings = SETTINGS) -> None:
        self.path, self.settings = path, settings
        self.ledger = SqliteLedger(path, settings, BEGIN)

    def close(self) -> None:
        """Close the ledger."""
        self.ledger.close()

    def restart(self, now: float = 0.0, settings: Settings | None = None) -> None:
        """Close the ledger and open it again."""
        self.close()
        self.settings = settings or self.settings
        self.ledger = SqliteLedger(self.path, self.settings, BEGIN + now)

    def select(self, *names: str, now: float = 0.0, start: str = "beginning", created: float | None = None) -> None:
        """Select these users; `created` is the creation of all of them."""
        at = None if created is None else datetime.fromtimestamp(BEGIN + created, UTC)
        users = [ListedUser(name, at) for name in names]
        select_all(self.ledger, POOL, users, began=BEGIN + now, start=start_rule(start))

    def row(self, name: str = "alice") -> int:
        """Return a user's row."""
        return row_of(self.ledger, POOL, name)

    def selected(self) -> dict[str, KnownUser]:
        """Return the selected users by name."""
        return selected(self.ledger, POOL)

    def poll(
        self,
        *events: AuthEvent,
        now: float,
        user: str = "alice",
        gone: bool = False,
        damaged: Sequence[DamagedEntry] = (),
    ) -> PoolState:
        """Poll a user whose whole history is these events."""
        lookout = self.ledger.look_out(self.row(user), BEGIN + now)
        ordered = tuple(sorted(events, key=lambda each: each.created))
        ids = frozenset(each.event_id for each in events)
        walk = (
            None if gone else Walk(BEGIN + now, BEGIN + now, lookout.depth, ordered, ids, None, damaged=tuple(damaged))
        )
        poll = Poll(POOL, self.row(user), BEGIN + now, lookout.began, walk)
        return self.ledger.record([poll], oldest_walk=lookout.began, now=BEGIN + now)[POOL]

    def record(self, *events: AuthEvent, now: float, depth: float, **more: Any) -> PoolState:
        """Record a walk of alice's history that went no deeper than that and showed these events, oldest first."""
        walk = Walk(BEGIN + now, BEGIN + now, BEGIN + depth, events, frozenset(), None)
        began = self.ledger.look_out(self.row(), BEGIN + now).began
        poll = Poll(POOL, self.row(), BEGIN + now, began, replace(walk, **more))
        return self.ledger.record([poll], oldest_walk=began, now=BEGIN + now)[POOL]

    def states(self, family: str = EVENTS) -> dict[tuple[str, ...], CounterState]:
        """Return the committed series of a family by labels."""
        return {state.labels: state for state in self.ledger.load(POOL, BEGIN).counters if state.family == family}

    def counts(self, family: str = EVENTS) -> dict[tuple[str, ...], int]:
        """Return the shown values of the series in which anything was counted."""
        return {labels: state.value for labels, state in self.states(family).items() if state.value is not None}

    def rows(self) -> int:
        """Return how many events the ledger remembers."""
        return int(self.ledger._db.execute("SELECT count(*) FROM event").fetchone()[0])


Staged = Callable[..., Scene]
"""Makes a scene by settings that differ from the usual ones."""
