"""The ledger in SQLite: one transaction holds the events, the totals and the known ground of all polls in it."""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from exporter.event.labels import Labels, ValueRules
from exporter.fetch.source import ListedUser
from exporter.fetch.walk import Walk
from exporter.ledger.counters import EVENTS, USER_EVENTS, events_series, user_events_series
from exporter.ledger.database import open_database
from exporter.ledger.ledger import (
    NEVER,
    CommitError,
    CounterState,
    EventState,
    KnownUser,
    Lookout,
    Poll,
    PoolState,
    Selection,
    StartRule,
)
from exporter.ledger.rules import (
    Ground,
    Judgement,
    KnownEvent,
    Memory,
    Settings,
    Standing,
    Update,
    as_of_clock,
    judge_gone,
    judge_walk,
    reach,
)
from exporter.ledger.series import Series, SeriesBook, add_all

_NO_POOL = -1  # no row has this id
_GROUND = "start, floor, mark, mark_at, newest, newest_id, first_page_since, polled_at"
_EVENT = "event_id, created, standing, feedback, labels"


class SqliteLedger:
    """`exporter.ledger.ledger.Ledger` over one SQLite connection. All calls come from one thread."""

    def __init__(self, path: Path | str, settings: Settings, now: float) -> None:
        """Open or make the state at `path`; raises `LedgerError`."""
        self._db = open_database(path)
        self._settings = settings
        self._read_all(now)

    def _read_all(self, now: float) -> None:
        self._book = SeriesBook((Series.of_row(row) for row in self._db.execute("SELECT * FROM series")), now)
        self._pools: dict[str, int] = dict(self._db.execute("SELECT pool_id, id FROM pool"))
        self._accepted: dict[int, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for pool, field, value in self._db.execute("SELECT pool, field, value FROM accepted_value"):
            self._accepted[pool][field].add(value)
        row = self._db.execute("SELECT value FROM meta WHERE key = 'commits'").fetchone()
        self._commits = 0 if row is None else int(row[0])

    @property
    def hash_key(self) -> bytes:
        """The key of the HMAC that stands for user names."""
        return bytes(self._db.execute("SELECT value FROM meta WHERE key = 'hash_key'").fetchone()[0])

    def configure(self, settings: Settings) -> None:
        """Count by these settings from now on."""
        self._settings = settings

    def close(self) -> None:
        """Close the state; what is committed is safe."""
        self._db.close()

    # -- what is known ---------------------------------------------------------------------------------------------------------

    def load(self, pool_id: str, now: float) -> PoolState:
        """Return all committed series of a pool, and its events of the recent window and in progress."""
        pool = self._pools.get(pool_id, _NO_POOL)
        newest = dict(self._db.execute("SELECT series, max(created) FROM event GROUP BY series"))
        newest |= dict(
            self._db.execute(
                "SELECT user_series, max(created) FROM event WHERE user_series NOTNULL GROUP BY user_series"
            )
        )
        rows = self._db.execute(
            "SELECT event_id, created, user, series, standing FROM event WHERE pool = ? AND (created > ? OR standing = ?)",
            (pool, now - self._settings.recent_window, Standing.OPEN),
        )
        types = {series.id: series.key[2][0] for series in self._book.of_pool(pool) if series.key[1] == EVENTS}
        return PoolState(
            counters=[_counter_state(series, newest.get(series.id)) for series in self._book.of_pool(pool)],
            events=[
                EventState(event_id, created, user, series, types[series], standing == Standing.OPEN)
                for event_id, created, user, series, standing in rows
            ],
        )

    def users(self, pool_id: str) -> Sequence[KnownUser]:
        """Return the pool's selected users."""
        rows = self._db.execute(
            "SELECT name, selected_at, polled_at, found FROM user WHERE pool = ? AND selected",
            (self._pools.get(pool_id, _NO_POOL),),
        )
        return [KnownUser(name, selected_at, polled_at, bool(found)) for name, selected_at, polled_at, found in rows]

    def lingering(self, pool_id: str, now: float) -> Sequence[str]:
        """Return users no longer selected whose events in progress have had their time to settle."""
        rows = self._db.execute(
            "SELECT DISTINCT u.name FROM event e JOIN user u ON u.id = e.user "
            "WHERE e.standing = 0 AND NOT u.selected AND u.pool = ? AND e.created <= ?",
            (self._pools.get(pool_id, _NO_POOL), now - self._settings.settle),
        )
        return [name for (name,) in rows]

    def look_out(self, pool_id: str, username: str, now: float, clock_set_at: float = NEVER) -> Lookout:
        """Return how far back a walk has to go that begins now; `clock_set_at` is when the clock was last found set."""
        user, ground = self._user(self._pools[pool_id], username)
        oldest = self._db.execute("SELECT min(created) FROM event WHERE user = ? AND standing = 0", (user,)).fetchone()[
            0
        ]
        ground = as_of_clock(ground, clock_set_at, now)
        return Lookout(reach(ground, oldest, self._settings, now), self._commits)

    def _user(self, pool: int, username: str) -> tuple[int, Ground]:
        row = self._db.execute(
            f"SELECT id, {_GROUND} FROM user WHERE pool = ? AND name = ?", (pool, username)
        ).fetchone()
        return row[0], Ground(*row[1:])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Commit what is done inside, or take it all back; a failing disk is a `CommitError`."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except BaseException as error:
            self._roll_back()
            if isinstance(error, sqlite3.Error):
                raise CommitError(str(error)) from error
            raise

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._book.discard()

    # -- selection -------------------------------------------------------------------------------------------------------------

    def _add_pool(self, pool_id: str) -> int:
        if pool_id not in self._pools:
            with self._transaction():
                self._db.execute("INSERT INTO pool (pool_id) VALUES (?)", (pool_id,))
            self._pools[pool_id] = self._db.execute("SELECT id FROM pool WHERE pool_id = ?", (pool_id,)).fetchone()[0]
        return self._pools[pool_id]

    def select(
        self,
        pool_id: str,
        users: Mapping[str, ListedUser],
        dropped: Callable[[str], bool],
        *,
        began: float,
        start: StartRule,
    ) -> Selection:
        """Make these the pool's users, and of those before take out whom `dropped` tells to."""
        pool = self._add_pool(pool_id)
        with self._transaction():
            selected = dict(self._db.execute("SELECT name, selected FROM user WHERE pool = ?", (pool,)))
            gained = [user for name, user in users.items() if not selected.get(name)]
            removed = [name for name, chosen in selected.items() if chosen and name not in users and dropped(name)]
            discovered = self._db.execute("SELECT discovered FROM pool WHERE id = ?", (pool,)).fetchone()[0]
            self._db.executemany(
                "UPDATE user SET selected = 0 WHERE pool = ? AND name = ?", ((pool, name) for name in removed)
            )
            self._db.executemany(
                "INSERT INTO user (pool, name, selected, selected_at, start, floor) VALUES (?1, ?2, 1, ?3, ?4, ?4) "
                "ON CONFLICT (pool, name) DO UPDATE SET selected = 1",
                ((pool, user.username, began, start(began, _epoch(user), discovered)) for user in gained),
            )
            if discovered is None:
                self._db.execute("UPDATE pool SET discovered = ? WHERE id = ?", (began, pool))
        return Selection(self._known(pool, [user.username for user in gained]), removed)

    def _known(self, pool: int, names: Iterable[str]) -> list[KnownUser]:
        query = "SELECT name, selected_at, polled_at, found FROM user WHERE pool = ? AND name = ?"
        rows = (self._db.execute(query, (pool, name)).fetchone() for name in names)
        return [KnownUser(name, selected_at, polled_at, bool(found)) for name, selected_at, polled_at, found in rows]

    # -- counting --------------------------------------------------------------------------------------------------------------

    def record(self, polls: Sequence[Poll], *, oldest_walk: int, now: float) -> dict[str, PoolState]:
        """Judge and commit polls in one transaction; return what changed by pool id."""
        changes = {poll.pool_id: PoolState() for poll in polls}
        oldest_walk = min([oldest_walk, *(poll.began for poll in polls)])
        with self._transaction():
            rules = {pool_id: ValueRules(self._accepted[self._pools[pool_id]]) for pool_id in changes}
            accepted = [
                self._record_poll(poll, changes[poll.pool_id], rules[poll.pool_id], oldest_walk, now) for poll in polls
            ]
            self._db.execute("DELETE FROM former_newest WHERE replaced <= ?", (oldest_walk,))
            self._commits += 1
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('commits', ?)", (self._commits,))
            self._book.write(self._db, self._settings.series_hold)
        for pool, values in accepted:
            for field, value in values:
                self._accepted[pool][field].add(value)
        self._tell_counters(changes, now)
        return changes

    def release(self, now: float) -> dict[str, PoolState]:
        """Commit that series held at zero for `series_hold` show their value."""
        if not self._book.holds:
            return {}
        with self._transaction():
            self._book.release(now, self._settings.series_hold)
            self._book.write(self._db, self._settings.series_hold)
        changes: dict[str, PoolState] = defaultdict(PoolState)
        self._tell_counters(changes, now)
        return dict(changes)

    def _tell_counters(self, changes: dict[str, PoolState], now: float) -> None:
        pool_ids = {pool: pool_id for pool_id, pool in self._pools.items()}
        for series in self._book.committed(now):
            changes[pool_ids[series.key[0]]].counters.append(_counter_state(series, self._newest_event(series)))

    def _newest_event(self, series: Series) -> float | None:
        column = _SERIES_COLUMNS.get(series.key[1])
        if column is None:
            return None
        newest = self._db.execute(f"SELECT max(created) FROM event WHERE {column} = ?", (series.id,)).fetchone()[0]
        return None if newest is None else float(newest)

    def _record_poll(
        self, poll: Poll, change: PoolState, rules: ValueRules, oldest_walk: int, now: float
    ) -> tuple[int, Collection[tuple[str, str]]]:
        pool = self._pools[poll.pool_id]
        user, ground = self._user(pool, poll.username)
        ground = as_of_clock(ground, poll.clock_set_at, poll.asked_at)
        if poll.walk is None:
            judgement = judge_gone(poll.asked_at, Memory(ground, {}, self._open_events(user)), self._settings)
        else:
            memory = self._memory(pool, user, ground, poll.walk)
            judgement = judge_walk(poll.walk, memory, rules, self._settings)
        self._apply(judgement, poll, pool, user, change, now)
        self._forget(user, judgement.ground, oldest_walk, poll.asked_at)
        accepted, unknown = rules.drain()
        self._db.executemany(
            "INSERT OR IGNORE INTO accepted_value VALUES (?,?,?)", ((pool, *pair) for pair in accepted)
        )
        for field, count in unknown.items():
            change.unknown_values[field] = change.unknown_values.get(field, 0) + count
        return pool, accepted

    def _memory(self, pool: int, user: int, ground: Ground, walk: Walk) -> Memory:
        ids = json.dumps([event.event_id for event in walk.events])
        rows = self._db.execute(
            f"SELECT {_EVENT} FROM event WHERE pool = ? AND event_id IN (SELECT value FROM json_each(?))", (pool, ids)
        )
        known = {row[0]: _known_event(row) for row in rows}
        open_events = self._open_events(user)
        if not _brings_news(walk, ground, known):
            return Memory(ground, known, open_events)
        aliases = self._db.execute(
            f"SELECT {_GROUND} FROM user WHERE pool = ?1 AND id != ?2 AND (newest_id IN (SELECT value FROM json_each(?3)) "
            "OR id IN (SELECT user FROM former_newest WHERE event_id IN (SELECT value FROM json_each(?3))))",
            (pool, user, ids),
        )
        countries = self._db.execute("SELECT country FROM country WHERE user = ?", (user,))
        return Memory(
            ground,
            known,
            open_events,
            [Ground(*row) for row in aliases],
            frozenset(country for (country,) in countries),
        )

    def _open_events(self, user: int) -> list[KnownEvent]:
        rows = self._db.execute(f"SELECT {_EVENT} FROM event WHERE user = ? AND standing = 0", (user,))
        return [_known_event(row) for row in rows]

    def _apply(self, judgement: Judgement, poll: Poll, pool: int, user: int, change: PoolState, now: float) -> None:
        for update in judgement.updates:
            self._apply_update(update, poll, pool, user, change, now)
        for labels, created in judgement.sightings:
            series, _ = self._book.find(pool, EVENTS, events_series(labels), self._settings.max_series)
            self._book.forget_event(series.id, created)
        self._db.executemany(
            "INSERT OR IGNORE INTO country VALUES (?,?)", ((user, name) for name in judgement.new_countries)
        )
        self._replace_newest(user, judgement.ground.newest_id)
        ground = judgement.ground
        self._db.execute(
            "UPDATE user SET floor=?, mark=?, mark_at=?, newest=?, newest_id=?, first_page_since=?, polled_at=?, "
            "found = iif(selected, ?, found) WHERE id=?",
            (
                ground.floor, ground.mark, ground.mark_at, ground.newest, ground.newest_id, ground.first_page_since,
                ground.polled_at, poll.walk is not None, user,
            ),
        )  # fmt: skip

    def _replace_newest(self, user: int, newest_id: str | None) -> None:
        """Keep the newest event that is newest no more for walks under way: they began when it was, and may show no newer one."""
        self._db.execute(
            "INSERT OR REPLACE INTO former_newest SELECT newest_id, id, ? FROM user WHERE id = ? AND newest_id != ?",
            (self._commits + 1, user, newest_id),
        )

    def _apply_update(self, update: Update, poll: Poll, pool: int, user: int, change: PoolState, now: float) -> None:
        event, limit = update.event, self._settings.max_series
        was_folded = add_all(self._book, pool, update.increments, limit, (event.event_id, event.created))
        series, _ = self._book.find(pool, EVENTS, events_series(update.labels), limit)
        before = self._db.execute(
            "SELECT e.user, u.name, e.series, e.user_series FROM event e JOIN user u ON u.id = e.user "
            "WHERE e.pool = ? AND e.event_id = ?",
            (pool, event.event_id),
        ).fetchone()
        owner, name, *former = (user, poll.username) if before is None else before
        user_series, user_folded = self._user_series(update, name, pool)
        change.folded += update.counted and (was_folded or user_folded)
        self._book.touch(series.id, user_series, *former)
        self._db.execute(
            "INSERT INTO event VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT (pool, event_id) DO UPDATE SET "
            "standing=excluded.standing, feedback=excluded.feedback, series=excluded.series, "
            "user_series=coalesce(excluded.user_series, user_series), labels=excluded.labels",
            (
                pool, event.event_id, owner, event.created, event.standing, event.feedback, series.id, user_series,
                self._commits + 1, None if event.labels is None else event.labels.to_json(),
            ),
        )  # fmt: skip
        change.events.append(
            EventState(
                event.event_id,
                event.created,
                owner,
                series.id,
                update.labels.event_type,
                event.standing is Standing.OPEN,
            )
        )
        if update.counted:
            change.lags.append(max(0.0, now - event.created))

    def _user_series(self, update: Update, name: str, pool: int) -> tuple[int | None, bool]:
        """Return the event's series among those of its user, counted in where the event is counted now, and if it was folded."""
        if not self._settings.per_user:
            return None, False
        labels = user_events_series(name, update.labels)
        series, folded = self._book.find(pool, USER_EVENTS, labels, self._settings.max_series)
        if update.counted:
            self._book.add(series, None)
        return series.id, folded

    def _forget(self, user: int, ground: Ground, oldest_walk: int, asked_at: float) -> None:
        """Forget events below known ground, outside the recent window, that no walk under way can show as new."""
        rows = self._db.execute(
            "DELETE FROM event WHERE user = ? AND created < ? AND standing != 0 AND recorded < ? "
            "AND (feedback = 0 OR created < ?) RETURNING created, series, user_series",
            (user, min(ground.floor, asked_at - self._settings.recent_window), oldest_walk, ground.first_page_since),
        ).fetchall()
        for created, *series in rows:
            for number in series:
                if number is not None:
                    self._book.forget_event(number, created)


_SERIES_COLUMNS = {EVENTS: "series", USER_EVENTS: "user_series"}


def _counter_state(series: Series, newest_event: float | None) -> CounterState:
    times = [at for at in (series.last, newest_event) if at is not None]
    return CounterState(
        series=series.id,
        family=series.key[1],
        labels=series.key[2],
        value=series.value * series.shown if series.value else None,
        last=max(times, default=None),
        exemplar=series.exemplar if series.shown else None,
    )


def _known_event(row: tuple[Any, ...]) -> KnownEvent:
    event_id, created, standing, feedback, labels = row
    return KnownEvent(
        event_id, created, Standing(standing), bool(feedback), None if labels is None else Labels.from_json(labels)
    )


def _brings_news(walk: Walk, ground: Ground, known: Mapping[str, KnownEvent]) -> bool:
    """Tell whether any event of the walk may be counted, so that aliases and countries matter."""
    if ground.polled_at is None:
        return True
    return any(
        known[event.event_id].standing is not Standing.COUNTED
        if event.event_id in known
        else event.feedback is not None or event.created.timestamp() >= ground.floor
        for event in walk.events
    )


def _epoch(user: ListedUser) -> float | None:
    return None if user.created is None else user.created.timestamp()
