"""Which users are selected: batches of them as a discovery goes on, and at its end those whom it has not found."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from exporter.fetch.source import ListedUser
from exporter.ledger.database import transaction
from exporter.ledger.ledger import Deselection, KnownUser, StartRule

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
_NAMES_OF_ROWS = "SELECT id, name FROM user WHERE id IN (SELECT value FROM json_each(?))"
_INSERT = (
    "INSERT INTO user (pool, name, selected, selected_at, start, floor) VALUES (?1, ?2, 1, ?3, ?4, ?4) RETURNING id"
)
_LINGERING = (
    "SELECT DISTINCT e.user FROM event e INDEXED BY event_open CROSS JOIN user u ON u.id = e.user "
    "WHERE e.standing = 0 AND NOT u.selected AND u.pool = ? AND e.created <= ?"
)


@dataclass(slots=True)
class _Found:
    """Whom the discovery that began at `began` has found so far: a byte for each row, so that a million users are a megabyte."""

    began: float
    rows: bytearray = field(default_factory=bytearray)

    def add(self, rows: Iterable[int]) -> None:
        for row in rows:
            if row >= len(self.rows):
                self.rows.extend(bytes(row + 1024 - len(self.rows)))
            self.rows[row] = 1

    def __contains__(self, row: int) -> bool:
        return row < len(self.rows) and self.rows[row] == 1


class SelectedUsers:
    """The selected users of each pool, by rows of the tables `pool` and `user`; times in epoch seconds."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._found: dict[int, _Found] = {}

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
        new = [(pool, name, began, at) for name, at in starts.items() if name not in known]
        back = [row for row, selected in known.values() if not selected]
        gained = [*self._insert(new, back), *back]
        self._found_by(pool, began).add([*(row for row, _ in known.values()), *gained])
        return [_known_user(row) for row in self._db.execute(_USERS_OF_ROWS, (json.dumps(gained),))]

    def _insert(self, new: Sequence[tuple[int, str, float, float]], back: Sequence[int]) -> Sequence[int]:
        """Select users in one transaction, those with a row and those without; return the rows of the latter."""
        if not new and not back:
            return ()
        with transaction(self._db):
            self._db.executemany("UPDATE user SET selected = 1 WHERE id = ?", ((row,) for row in back))
            return [self._db.execute(_INSERT, values).fetchone()[0] for values in new]

    def _mark_discovered(self, pool: int, began: float) -> float:
        """Return when the first discovery of a pool began, followed to its end or not: that of `began` where none was before.

        Within the first one this makes no difference to any start: whoever is created after it began starts at its beginning.
        """
        discovered: float | None = self._db.execute("SELECT discovered FROM pool WHERE id = ?", (pool,)).fetchone()[0]
        if discovered is not None:
            return discovered
        with transaction(self._db):
            self._db.execute("UPDATE pool SET discovered = ? WHERE id = ?", (began, pool))
        return began

    def _found_by(self, pool: int, began: float) -> _Found:
        found = self._found.get(pool)
        if found is None or found.began != began:
            found = self._found[pool] = _Found(began)
        return found

    # -- a discovery ends --------------------------------------------------------------------------------------------------------

    def deselect(self, pool: int, began: float, dropped: Callable[[str], bool], after: int, limit: int) -> Deselection:
        """Deselect whom the discovery has not found and `dropped` tells to, among the next `limit` selected users after a row."""
        self._mark_discovered(pool, began)
        found = self._found_by(pool, began)
        rows = [row for (row,) in self._db.execute(_ROWS_AFTER, (pool, after, limit))]
        missing = json.dumps([row for row in rows if row not in found])
        removed = [row for row, name in self._db.execute(_NAMES_OF_ROWS, (missing,)) if dropped(name)]
        if removed:
            with transaction(self._db):
                self._db.executemany("UPDATE user SET selected = 0 WHERE id = ?", ((row,) for row in removed))
        return Deselection(removed, rows[-1] if len(rows) == limit else None)


def _known_user(row: tuple[int, float, float | None, int, bytes]) -> KnownUser:
    user, selected_at, polled_at, found, activity = row
    return KnownUser(user, selected_at, polled_at, bool(found), activity)


def _epoch(user: ListedUser) -> float | None:
    return None if user.created is None else user.created.timestamp()
