"""The rows of events that may be shown again: read for a walk, written after it, forgotten when no walk can show them as new."""

from collections.abc import Iterable
from typing import NamedTuple

from exporter.event.labels import Labels
from exporter.ledger.database import Database
from exporter.ledger.rules import NEWEST_KEPT, Ground, KnownEvent, Standing

_SHOWN = (
    "SELECT event_id, created, standing, feedback, labels, user, series, user_series, in_progress FROM event "
    "WHERE pool = ? AND event_id IN (SELECT value FROM json_each(?))"
)
_OPEN = (
    "SELECT event_id, created, standing, feedback, labels, user, series, user_series, in_progress FROM event "
    "WHERE user = ? AND standing = 0"
)
_REMEMBER = (
    "INSERT INTO event (pool, event_id, user, created, standing, feedback, series, user_series, recorded, labels, in_progress) "
    "VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (pool, event_id) DO UPDATE SET "
    "standing=excluded.standing, feedback=excluded.feedback, series=excluded.series, labels=excluded.labels, "
    "user=excluded.user, user_series=coalesce(excluded.user_series, user_series), in_progress=excluded.in_progress"
)
_FORGET = (
    "DELETE FROM event WHERE user = ? AND created < ? AND standing != 0 AND recorded < ? "
    "AND (feedback = 0 OR created < ?) AND (standing != 1 OR created < ("
    "SELECT min(created) FROM ("
    "SELECT created FROM event WHERE user = ? AND standing = 1 AND recorded < ? ORDER BY created DESC LIMIT ?"
    "))) RETURNING created, series, user_series, in_progress"
)
_NEWEST_COUNTED = (
    "SELECT event_id FROM event WHERE user = ? AND standing = 1 AND created >= ? AND recorded <= ? "
    "ORDER BY created DESC LIMIT ?"
)
_NEWEST_IN_PROGRESS = {
    "events": "SELECT max(created) FROM event WHERE series = ? AND in_progress",
    "user_events": "SELECT max(created) FROM event WHERE user_series = ? AND in_progress AND user_series NOTNULL",
}
_ALL_IN_PROGRESS = (
    "SELECT series, max(created) FROM event WHERE in_progress GROUP BY series UNION ALL "
    "SELECT user_series, max(created) FROM event WHERE in_progress AND user_series NOTNULL GROUP BY user_series"
)

_STANDINGS = tuple(Standing)  # by their number
Row = tuple[int, str, int, float, int, int, int, int | None, int, str | None, int]
"""The columns of the table, in the order of `_REMEMBER`."""


class Place(NamedTuple):
    """What the ledger remembers of an event, and where it stands: under whom it was counted or shown first, its series."""

    known: KnownEvent
    user: int
    series: int
    user_series: int | None


class EventRows:
    """The table `event`; users, pools and series are rows of theirs."""

    def __init__(self, connection: Database) -> None:
        self._db = connection

    def shown(self, pool: int, ids: str) -> dict[str, Place]:
        """Return what is remembered of these events, a JSON list of ids, by id."""
        return {row[0]: _place(row) for row in self._db.execute(_SHOWN, (pool, ids))}

    def open_of(self, user: int) -> dict[str, Place]:
        """Return a user's events in progress that are not counted yet, by id."""
        return {row[0]: _place(row) for row in self._db.execute(_OPEN, (user,))}

    def remember(self, rows: Iterable[Row]) -> None:
        """Write rows; of an event that has one, when it was recorded stays."""
        self._db.executemany(_REMEMBER, rows)

    def forget(
        self, user: int, ground: Ground, recent_since: float, oldest_walk: int
    ) -> list[tuple[float, int, int | None, bool]]:
        """Forget events below known ground, outside the recent window, that no walk under way can show as new.

        The user's newest counted ones stay, of those that every walk under way shows.
        Return (created, series, series by user, whether still in progress) of each.
        """
        below = min(ground.floor, recent_since)
        return self._db.execute(
            _FORGET, (user, below, oldest_walk, ground.first_page_since, user, oldest_walk, NEWEST_KEPT)
        ).fetchall()

    def newest_counted(self, user: int, since: float, began: int) -> list[str]:
        """Return the ids of a user's newest counted events, `NEWEST_KEPT` at most.

        They were created at or after `since` (epoch seconds), and known before a walk that began after the commit `began`.
        """
        return [row[0] for row in self._db.execute(_NEWEST_COUNTED, (user, since, began, NEWEST_KEPT))]

    def newest_in_progress(self, series: int, family: str) -> float | None:
        """Return the newest creation of events in progress of a series, None where there is none."""
        query = _NEWEST_IN_PROGRESS.get(family)
        newest: float | None = None if query is None else self._db.execute(query, (series,)).fetchone()[0]
        return newest

    def all_in_progress(self) -> dict[int, float]:
        """Return what `newest_in_progress` does of every series that has any."""
        return dict(self._db.execute(_ALL_IN_PROGRESS))


def _place(
    row: tuple[str, float, int, int, str | None, int, int, int | None, int],
) -> Place:
    event_id, created, standing, feedback, labels, user, series, user_series, in_progress = row
    open_labels = None if labels is None else Labels.from_json(labels)
    known = KnownEvent(event_id, created, _STANDINGS[standing], bool(feedback), open_labels, not in_progress)
    return Place(known, user, series, user_series)
