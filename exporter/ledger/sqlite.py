"""The ledger in SQLite: one transaction holds the events, the totals and the known ground of all polls in it."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from exporter.event.labels import ValueRules
from exporter.event.line import EventLine
from exporter.fetch.source import ListedUser
from exporter.fetch.walk import Walk
from exporter.ledger.changes import PollChanges
from exporter.ledger.counters import EVENTS
from exporter.ledger.database import disk_errors, open_database
from exporter.ledger.events import EventRows, Place
from exporter.ledger.ledger import (
    NEVER,
    CounterState,
    Deselection,
    DiscoveryEnd,
    EventState,
    KnownUser,
    Lookout,
    Poll,
    PoolState,
    StartRule,
)
from exporter.ledger.outbox import SqliteOutbox
from exporter.ledger.rules import (
    HISTORY_KEPT,
    NEWEST_KEPT,
    Ground,
    Judgement,
    KnownEvent,
    Memory,
    Settings,
    Standing,
    as_of_clock,
    judge_gone,
    judge_walk,
    purpose_of,
    reach,
    shows_history,
)
from exporter.ledger.selection import SelectedUsers
from exporter.ledger.series import Series, SeriesBook
from exporter.ledger.sign_ins import SignInRows, SignIns
from exporter.ledger.unreadable import UnreadableEntries

_NO_POOL = -1  # no row has this id
_GROUND = "start, floor, mark, mark_at, newest, first_page_since, polled_at"


class SqliteLedger:
    """`exporter.ledger.ledger.Ledger` over one SQLite connection. All calls come from one thread."""

    def __init__(self, path: Path | str, settings: Settings, now: float) -> None:
        """Open or make the state at `path`; raises `LedgerError`."""
        self._db = open_database(path)
        self._settings = settings
        self._selected = SelectedUsers(self._db)
        self._events = EventRows(self._db)
        self._sign_ins = SignInRows(self._db)
        self._unreadable = UnreadableEntries(self._db)
        self.outbox = SqliteOutbox(self._db)
        self._read_all(now)

    def _read_all(self, now: float) -> None:
        self._book = SeriesBook((Series.of_row(row) for row in self._db.execute("SELECT * FROM series")), now)
        self._pools: dict[str, int] = dict(self._db.execute("SELECT pool_id, id FROM pool"))
        self._accepted: dict[int, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for pool, field, value in self._db.execute("SELECT pool, field, value FROM accepted_value"):
            self._accepted[pool][field].add(value)
        row = self._db.execute("SELECT value FROM meta WHERE key = 'commits'").fetchone()
        self._commits = 0 if row is None else int(row[0])
        # up to this commit, of version 3, of each user only the newest event was sure to be kept
        row = self._db.execute("SELECT value FROM meta WHERE key = 'one_kept_until'").fetchone()
        self._one_kept_until = -1 if row is None else int(row[0])

    @property
    def hash_key(self) -> bytes:
        """The key of the HMAC that stands for user names."""
        return bytes(self._db.execute("SELECT value FROM meta WHERE key = 'hash_key'").fetchone()[0])

    def configure(self, settings: Settings, line: EventLine | None = None) -> None:
        """Count by these settings from now on, and make such a line of each event counted."""
        self._settings = settings
        self.outbox.line = line

    def close(self) -> None:
        """Close the state; what is committed is safe."""
        self._db.close()

    def beat(self) -> None:
        """Commit the smallest of transactions, which tells whether the state takes any."""
        with self._transaction():
            self._write_commits()

    @disk_errors()
    def reopen(self, now: float) -> dict[str, PoolState]:
        """Open the state anew, where that can help; return all there is then, by pool id."""
        if not self._db.reopen():
            return {}
        try:
            self._read_all(now)
            self.outbox.read_numbers()
            return {pool_id: self.load(pool_id, now) for pool_id in self._pools}
        except BaseException:
            self._db.close()  # nothing may be written by what was not read: it is opened and read again
            raise

    # -- what is known ---------------------------------------------------------------------------------------------------------

    @disk_errors()
    def load(self, pool_id: str, now: float) -> PoolState:
        """Return all committed series of a pool, and its events of the recent window and in progress."""
        pool = self._pools.get(pool_id, _NO_POOL)
        newest = self._events.all_in_progress()
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
            failing=self._sign_ins.failing(pool),
        )

    @disk_errors()
    def look_out(self, user: int, now: float, clock_set_at: float = NEVER) -> Lookout:
        """Return what a walk has to know that begins now; `clock_set_at` is when the clock was last found set."""
        name, ground, *_ = self._user(user)
        ground = as_of_clock(ground, clock_set_at, now)
        open_since = self._one("SELECT min(created) FROM event WHERE user = ? AND standing = 0", user)
        depth = reach(ground, open_since, self._settings, now)
        known = self._one("SELECT count(*) FROM event WHERE user = ? AND created >= ?", user, depth)
        return Lookout(name, depth, self._commits, purpose_of(ground, self._settings, now), known)

    def _one(self, query: str, *values: object) -> Any:
        return self._db.execute(query, values).fetchone()[0]

    def _user(self, user: int) -> tuple[str, Ground, SignIns, bool]:
        """Return the name, what is known of history and sign-ins, and whether the user is selected."""
        row = self._db.execute(
            f"SELECT name, selected, failures, failed_at, passed_at, {_GROUND} FROM user WHERE id = ?", (user,)
        ).fetchone()
        if row is None:
            raise LookupError(f"no user has row {user}")
        return row[0], Ground(*row[5:]), SignIns(*row[2:5]), bool(row[1])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Commit what is done inside, or take it all back, in the series in memory too."""
        try:
            with self._db.transaction():
                yield
        except BaseException:
            self._book.discard()
            self.outbox.discard()
            raise

    # -- selection -------------------------------------------------------------------------------------------------------------

    @disk_errors()
    def users(self, pool_id: str, after: int, limit: int) -> Sequence[KnownUser]:
        """Return the pool's selected users in the order of their rows: those beyond `after`, at most `limit`."""
        return self._selected.page(self._pools.get(pool_id, _NO_POOL), after, limit)

    @disk_errors()
    def select(
        self, pool_id: str, users: Sequence[ListedUser], *, began: float, start: StartRule
    ) -> Sequence[KnownUser]:
        """Select these users, a part of those whom one discovery finds; return who was not selected before."""
        return self._selected.select(self._add_pool(pool_id), users, began, start)

    @disk_errors()
    def deselect(self, pool_id: str, end: DiscoveryEnd, *, after: int, limit: int) -> Deselection:
        """End a discovery: deselect whom it has not found, if it is complete, and who is excluded."""
        return self._selected.deselect(self._add_pool(pool_id), end, after, limit)

    @disk_errors()
    def prune(self, pool_id: str, now: float, limit: int) -> PoolState:
        """Forget users who are selected no more and of whom AWS has no event any more that was counted."""
        pool, before = self._add_pool(pool_id), now - HISTORY_KEPT
        if not self._selected.has_left(pool, before):
            return PoolState()
        with self._transaction():
            names = self._selected.prune(pool, before, limit)
            series = self._book.of_users(pool, names)
            self._db.executemany("DELETE FROM series WHERE id = ?", ((each.id,) for each in series))
        self._book.forget(series)
        return PoolState(forgotten=[each.id for each in series])

    @disk_errors()
    def lingering(self, pool_id: str, now: float) -> Sequence[int]:
        """Return the rows of users no longer selected whose events in progress have had their time to settle."""
        return self._selected.lingering(self._pools.get(pool_id, _NO_POOL), now - self._settings.settle)

    def _add_pool(self, pool_id: str) -> int:
        if pool_id not in self._pools:
            with self._transaction():
                row = self._one("INSERT INTO pool (pool_id) VALUES (?) RETURNING id", pool_id)
            self._pools[pool_id] = row
        return self._pools[pool_id]

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
            self.outbox.delete_written()
            self._commits += 1
            self._write_commits()
            self._book.write(self._db, self._settings.series_hold)
            newest = self._newest_in_progress()
        self.outbox.committed()
        for pool, values in accepted:
            for field, value in values:
                self._accepted[pool][field].add(value)
        self._tell_counters(changes, newest, now)
        return changes

    def _write_commits(self) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES ('commits', ?)", (self._commits,))

    def release(self, now: float) -> dict[str, PoolState]:
        """Commit that series held at zero for `series_hold` show their value."""
        if not self._book.holds:
            return {}
        with self._transaction():
            self._book.release(now, self._settings.series_hold)
            self._book.write(self._db, self._settings.series_hold)
            newest = self._newest_in_progress()
        changes: dict[str, PoolState] = defaultdict(PoolState)
        self._tell_counters(changes, newest, now)
        return dict(changes)

    def _newest_in_progress(self) -> Mapping[int, float | None]:
        """Return the newest event in progress of each series changed: read before the commit, as nothing may fail after it."""
        return {series.id: self._events.newest_in_progress(series.id, series.key[1]) for series in self._book.changed}

    def _tell_counters(self, changes: dict[str, PoolState], newest: Mapping[int, float | None], now: float) -> None:
        pool_ids = {pool: pool_id for pool_id, pool in self._pools.items()}
        for series in self._book.committed(now):
            changes[pool_ids[series.key[0]]].counters.append(_counter_state(series, newest[series.id]))

    def _record_poll(
        self, poll: Poll, change: PoolState, rules: ValueRules, oldest_walk: int, now: float
    ) -> tuple[int, Collection[tuple[str, str]]]:
        pool = self._pools[poll.pool_id]
        name, before, sign_ins, is_selected = self._user(poll.user)
        places = self._events.open_of(poll.user)
        poll = self._weighed(poll, before, change, now)
        judgement = self._judge(poll, pool, as_of_clock(before, poll.clock_set_at, now), places, rules)
        names = {poll.user: name}
        lines = self.outbox.lines_of(poll, now)
        changes = PollChanges(
            self._book,
            self._settings,
            pool,
            poll.user,
            partial(self._name, names),
            self._commits + 1,
            now,
            change,
            lines,
        )
        rows = [changes.apply(update, places.get(update.event.event_id)) for update in judgement.updates]
        self._events.remember(row for row in rows if row is not None)
        self.outbox.add(lines)
        for labels, created in judgement.sightings:
            self._book.tally(pool, labels, self._settings.max_series).events.note_event(created)
        self._write_user(poll, judgement)
        failing = self._sign_ins.follow(poll.user, sign_ins, poll.walk, judgement.updates)
        if failing is not None or sign_ins.failures:
            change.failing[poll.user] = failing if is_selected else None
        if poll.walk is None or judgement.ground.mark_at != before.mark_at:
            self._forget(poll, judgement.ground, oldest_walk)
        return pool, self._drained(rules, pool, change)

    def _weighed(self, poll: Poll, before: Ground, change: PoolState, now: float) -> Poll:
        """Return the poll without those damaged entries that are waited for no longer."""
        if poll.walk is None:
            return poll
        if poll.walk.depth <= before.floor and not poll.walk.truncated:
            self._unreadable.keep_only(poll.user, poll.walk.damaged)
        if not poll.walk.damaged:
            return poll
        walk, given_up = self._unreadable.weigh(poll.user, poll.walk, now, poll.clock_set_at)
        change.unreadable += given_up
        return replace(poll, walk=walk)

    def _name(self, known: dict[int, str], user: int) -> str:
        if user not in known:
            known[user] = self._user(user)[0]
        return known[user]

    def _judge(self, poll: Poll, pool: int, ground: Ground, places: dict[str, Place], rules: ValueRules) -> Judgement:
        """Judge a poll by all that is known; `places`, the user's open events, come to hold the events shown too."""
        open_events = [place.known for place in places.values()]
        if poll.walk is None:
            return judge_gone(poll.asked_at, Memory(ground, {}, open_events), self._settings)
        ids = json.dumps([event.event_id for event in poll.walk.events])
        shown = self._events.shown(pool, ids)
        places |= shown
        memory = Memory(ground, {event_id: place.known for event_id, place in shown.items()}, open_events)
        if _brings_news(poll.walk, ground, memory.known):
            others = {place.user for place in shown.values()} - {poll.user}
            same = self._same_person(poll.walk, poll.began, others)
            # who has fewer has had none forgotten: each of them has a row, and known ground tells nothing more
            aliases = [self._user(user)[1] for user, newest in same.items() if self._has_forgotten(pool, newest)]
            memory = replace(memory, aliases=aliases, countries=self._countries([poll.user, *same]))
            judgement = judge_walk(poll.walk, memory, rules, self._settings)
            if same:  # a later page may not show what tells that both are one person
                judgement.new_countries |= memory.countries
            return judgement
        return judge_walk(poll.walk, memory, rules, self._settings)

    def _has_forgotten(self, pool: int, newest: Sequence[str]) -> bool:
        """Tell whether older events than these, a user's newest counted ones, may have been counted and forgotten."""
        query = "SELECT count(*) FROM event WHERE pool = ? AND recorded <= ? AND event_id IN (SELECT value FROM json_each(?))"
        return len(newest) == NEWEST_KEPT or self._one(query, pool, self._one_kept_until, json.dumps(newest)) > 0

    def _same_person(self, walk: Walk, began: int, others: Collection[int]) -> Mapping[int, Sequence[str]]:
        """Return those users, of whom the walk shows events, whose history it is, each with the newest counted events."""
        since = min((event.created.timestamp() for event in walk.events), default=0.0)
        newest = {user: self._events.newest_counted(user, since, began) for user in others}
        return {user: ids for user, ids in newest.items() if shows_history(walk, ids)}

    def _countries(self, users: Sequence[int]) -> frozenset[str]:
        """Return the countries that a person has signed in from, by all names."""
        query = "SELECT country FROM country WHERE user IN (SELECT value FROM json_each(?))"
        return frozenset(name for (name,) in self._db.execute(query, (json.dumps(users),)))

    def _write_user(self, poll: Poll, judgement: Judgement) -> None:
        user, ground = poll.user, judgement.ground
        if judgement.new_countries:
            countries = [(user, country) for country in judgement.new_countries]
            self._db.executemany("INSERT OR IGNORE INTO country VALUES (?,?)", countries)
        self._db.execute(
            "UPDATE user SET floor=?, mark=?, mark_at=?, newest=?, first_page_since=?, polled_at=?, "
            "found = iif(selected, ?, found), activity = coalesce(?, activity) WHERE id=?",
            (
                ground.floor, ground.mark, ground.mark_at, ground.newest, ground.first_page_since, ground.polled_at,
                poll.walk is not None, poll.activity, user,
            ),
        )  # fmt: skip

    def _forget(self, poll: Poll, ground: Ground, oldest_walk: int) -> None:
        """Forget events that are not needed any more: once each `overlap`, as the mark moves, or where the user is gone."""
        recent_since = poll.asked_at - self._settings.recent_window
        for created, series, user_series, in_progress in self._events.forget(
            poll.user, ground, recent_since, oldest_walk
        ):
            if in_progress:
                self._book.note_event(series, created)
                if user_series is not None:
                    self._book.note_event(user_series, created)

    def _drained(self, rules: ValueRules, pool: int, change: PoolState) -> Collection[tuple[str, str]]:
        """Write and return the new values of a poll that are passed on from now on; tell how many new ones there were."""
        accepted, unknown = rules.drain()
        if accepted:
            values = [(pool, *pair) for pair in accepted]
            self._db.executemany("INSERT OR IGNORE INTO accepted_value VALUES (?,?,?)", values)
        for field, count in unknown.items():
            change.unknown_values[field] = change.unknown_values.get(field, 0) + count
        return accepted


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
