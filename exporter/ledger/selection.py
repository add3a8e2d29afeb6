"""Which users are selected: batches of them as a discovery goes on, and at its end those whom it has not found."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from exporter.fetch.source import ListedUser
from exporter.ledger.database import Database
from exporter.ledger.ledger import Deselection, DiscoveryEnd, KnownUser, StartRule

_USERS_AFTER = (
    "SELECT id, selected_at, polled_at, found, activity FROM user "
    "WHERE pool = ? AND selected AND id > ? ORDER BY id LIMIT ?"
)
_USERS_OF_ROWS = (
    "SELECT id, selected_at, polled_at, found, activity FROM user "
    "WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"
)  # fmt: skip
_ROWS_AFTER = "SELECT id FROM user WHERE pool = ? AND selected AND id > ? ORDER BY id LIMIT ?"
_ROWS_OF_NAMES = "SELECT name, id, selected FROM user WHERE pool = ? AND name IN (SELECT value FROM json_each(?))"
_MISSING = "SELECT id, name, found, polled_at FROM user WHERE id IN (SELECT value FROM json_each(?))"
_INSERT = (
    "INSERT INTO user (pool, name, selected, selected_at, start, floor) VALUES (?1, ?2, 1, ?3, ?4, ?4) RETURNING id"
)
_LEFT = "SELECT 1 FROM user WHERE pool = ? AND NOT selected AND coalesce(polled_at, selected_at) < ?"
_PRUNE = (
    "DELETE FROM user WHERE id IN (SELECT id FROM user WHERE pool = ? AND NOT selected "
    "AND coalesce(polled_at, selected_at) < ? LIMIT ?) RETURNING id, name"
)
_FORGET_USER = (
    "DELETE FROM event WHERE user = ?",
    "DELETE FROM country WHERE user = ?",
    "DELETE FROM unreadable WHERE user = ?",
)
_LINGERING = (
    "SELECT DISTINCT e.user FROM event e INDEXED BY event_open CROSS JOIN user u ON u.id = e.user "
    "WHERE e.standing = 0 AND NOT u.selected AND u.pool = ? AND e.created <= ?"
)


_LISTED, _NAMED = 1, 2  # found by a group, filter or all; named by the configuration or a file


@dataclass(slots=True)
class _Found:
    """Whom the discovery that began at `began` has found so far, by what: a byte for each row, a megabyte for a million users."""

    began: float
    rows: bytearray = field(default_factory=bytearray)

    def add(self, row: int, how: int) -> None:
        if row >= len(self.rows):
            self.rows.extend(bytes(row + 1024 - len(self.rows)))
        self.rows[row] |= how

    def how(self, row: int) -> int:
        return self.rows[row] if row < len(self.rows) else 0


class SelectedUsers:
    """The selected users of each pool, by rows of the tables `pool` and `user`; times in epoch seconds."""

    def __init__(self, connection: Database) -> None:
        self._db = connection
        self._found: dict[int, _Found] = {}
        self._found_before: dict[int, _Found] = {}  # by the last complete discovery of this process
        self._missed: dict[int, float] = {}  # rows of users who are gone from the pool: since when

    def page(self, pool: int, after: int, limit: int) -> Sequence[KnownUser]:
        """Return the selected users in the order of their rows: those beyond `after`, at most `limit`."""
        return [_known_user(row) for row in self._db.execute(_USERS_AFTER, (pool, after, limit))]

    def lingering(self, pool: int, before: float) -> Sequence[int]:
        """Return users no longer selected who have an event in progress that was created at or before `before`."""
        return [row for (row,) in self._db.execute(_LINGERING, (pool, before))]

    # -- a discovery goes on -----------------------------------------------------------------------------------------------------

    def select(self, pool: int, users: Sequence[ListedUser], began: float, start: StartRule) -> Sequence[KnownUser]:
        """Select these users, found by the discovery that began at `began`; return who was not selected before."""
        discovered = self._mark_discovered(pool, began)
        starts: dict[str, float] = {}
        for user in users:
            starts.setdefault(user.username, start(began, _epoch(user), discovered))
        known = {name: rest for name, *rest in self._db.execute(_ROWS_OF_NAMES, (pool, json.dumps([*starts])))}
        new = {name: (pool, name, began, at) for name, at in starts.items() if name not in known}
        back = [row for row, selected in known.values() if not selected]
        inserted, gained = self._insert([*new.values()], back)
        rows = {name: row for name, (row, _) in known.items()} | dict(zip(new, inserted, strict=True))
        found = self._found_by(pool, began)
        for user in users:
            found.add(rows[user.username], _NAMED if user.by_name else _LISTED)
        return gained

    def _insert(
        self, new: Sequence[tuple[int, str, float, float]], back: Sequence[int]
    ) -> tuple[Sequence[int], Sequence[KnownUser]]:
        """Select users in one transaction, those with a row and those without; return the rows of the latter, and all of them."""
        if not new and not back:
            return (), ()
        with self._db.transaction():
            self._db.executemany("UPDATE user SET selected = 1 WHERE id = ?", ((row,) for row in back))
            inserted = [self._db.execute(_INSERT, values).fetchone()[0] for values in new]
            # before the commit: whoever is selected by then and not told of would not be polled
            rows = self._db.execute(_USERS_OF_ROWS, (json.dumps([*inserted, *back]),)).fetchall()
        return inserted, [_known_user(row) for row in rows]

    def _mark_discovered(self, pool: int, began: float) -> float:
        """Return when the first discovery of a pool began, followed to its end or not: that of `began` where none was before.

        Within the first one this makes no difference to any start: whoever is created after it began starts at its beginning.
        """
        discovered: float | None = self._db.execute("SELECT discovered FROM pool WHERE id = ?", (pool,)).fetchone()[0]
        if discovered is not None:
            return discovered
        with self._db.transaction():
            self._db.execute("UPDATE pool SET discovered = ? WHERE id = ?", (began, pool))
        return began

    def _found_by(self, pool: int, began: float) -> _Found:
        found = self._found.get(pool)
        if found is None or found.began != began:
            found = self._found[pool] = _Found(began)
        return found

    # -- a discovery ends --------------------------------------------------------------------------------------------------------

    def deselect(self, pool: int, end: DiscoveryEnd, after: int, limit: int) -> Deselection:
        """Deselect as `Ledger.deselect` says, among the next `limit` selected users after a row."""
        self._mark_discovered(pool, end.began)
        rows = [row for (row,) in self._db.execute(_ROWS_AFTER, (pool, after, limit))]
        removed = self._leaving(pool, end, rows)
        is_last = len(rows) < limit
        is_followed = is_last and end.complete
        self._commit_end(pool, removed, end.selectors if is_followed else None)
        for row in removed:
            self._missed.pop(row, None)
        if is_followed:
            self._found_before[pool] = self._found_by(pool, end.began)
        return Deselection(removed, None if is_last else rows[-1])

    def _leaving(self, pool: int, end: DiscoveryEnd, rows: Sequence[int]) -> Sequence[int]:
        found = self._found_by(pool, end.began)
        for row in self._missed.keys() & {row for row in rows if found.how(row)}:
            del self._missed[row]
        missing = json.dumps([row for row in rows if not found.how(row)])
        listings_stay = end.selectors != "" and self._selectors(pool) == end.selectors
        leaving = []
        for row, name, is_known, polled_at in self._db.execute(_MISSING, (missing,)):
            has_left_the_pool = listings_stay and is_known and self._was_listed(pool, row)
            is_over = end.complete and (not has_left_the_pool or self._is_polled(row, polled_at, end))
            if is_over or name in end.excluded:
                leaving.append(row)
        return leaving

    def _was_listed(self, pool: int, row: int) -> bool:
        """Tell whether the last complete discovery listed a user; after a restart that is not known of anybody, and may be so."""
        before = self._found_before.get(pool)
        return before is None or bool(before.how(row) & _LISTED) or row in self._missed

    def _is_polled(self, row: int, polled_at: float | None, end: DiscoveryEnd) -> bool:
        """Tell whether a user has been polled since the first discovery that has not found them ended."""
        since = self._missed[row] = min(self._missed.get(row, end.ended), end.ended)  # the clock may have been set back
        return polled_at is not None and polled_at >= since

    def _selectors(self, pool: int) -> str | None:
        """Return what stands for the selectors of the last complete discovery, None where there was none."""
        selectors: str | None = self._db.execute("SELECT selectors FROM pool WHERE id = ?", (pool,)).fetchone()[0]
        return selectors

    def _commit_end(self, pool: int, removed: Sequence[int], selectors: str | None) -> None:
        """Deselect users and keep the selectors, where given, in one transaction; none where all is so already."""
        is_new = selectors is not None and self._selectors(pool) != selectors
        if not removed and not is_new:
            return
        with self._db.transaction():
            self._db.executemany("UPDATE user SET selected = 0 WHERE id = ?", ((row,) for row in removed))
            if is_new:
                self._db.execute("UPDATE pool SET selectors = ? WHERE id = ?", (selectors, pool))

    # -- long after --------------------------------------------------------------------------------------------------------------

    def has_left(self, pool: int, before: float) -> bool:
        """Tell whether anybody is selected no more who was polled last, or selected if never, before a moment."""
        return self._db.execute(_LEFT, (pool, before)).fetchone() is not None

    def prune(self, pool: int, before: float, limit: int) -> Collection[str]:
        """Forget, within the transaction of the caller, whom `has_left` speaks of; return their names."""
        gone = self._db.execute(_PRUNE, (pool, before, limit)).fetchall()
        for statement in _FORGET_USER:
            self._db.executemany(statement, [(row,) for row, _ in gone])
        return frozenset(name for _, name in gone)


def _known_user(row: tuple[int, float, float | None, int, bytes]) -> KnownUser:
    user, selected_at, polled_at, found, activity = row
    return KnownUser(user, selected_at, polled_at, bool(found), activity)


def _epoch(user: ListedUser) -> float | None:
    return None if user.created is None else user.created.timestamp()
