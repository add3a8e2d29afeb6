"""Entries of answers that could not be read whole: since when each is shown so, and which are waited for no longer."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from exporter.fetch.source import DamagedEntry
from exporter.fetch.walk import Walk
from exporter.ledger.database import Database
from exporter.ledger.rules import UNREADABLE_FOR, known_since, without_given_up

_MOST_ENTRIES = 12_000
"""Waited for of one user: 200 pages. What an answer damages anew each time is not to fill the state."""
_NOTE = "INSERT OR REPLACE INTO unreadable VALUES (?,?,?,?)"


class Weighed(NamedTuple):
    """A walk whose damaged entries are only those waited for, and how many others there are for the first time."""

    walk: Walk
    given_up: int


class UnreadableEntries:
    """The table `unreadable`; all calls come within a transaction."""

    def __init__(self, connection: Database) -> None:
        self._db = connection

    def weigh(self, user: int, walk: Walk, now: float, clock_set_at: float) -> Weighed:
        """Note the damaged entries of a walk; those shown so for `UNREADABLE_FOR` hold known ground up no longer."""
        rows = self._db.execute("SELECT entry, since, given_up FROM unreadable WHERE user = ?", (user,)).fetchall()
        since = {entry: known_since(at, clock_set_at, now) for entry, at, _ in rows}
        given_up = {entry for entry, _, is_given_up in rows if is_given_up}
        room = _MOST_ENTRIES - (len(rows) - len(given_up))
        for entry in [each.digest for each in walk.damaged if each.digest not in since][:room]:
            since[entry] = now
        shown = [each.digest for each in walk.damaged if each.digest in since]
        over = {entry for entry in shown if entry in given_up or now >= since[entry] + UNREADABLE_FOR}
        self._db.executemany(_NOTE, [(user, entry, since[entry], entry in over) for entry in shown])
        waited_for = frozenset(each.digest for each in walk.damaged) - over
        return Weighed(without_given_up(walk, waited_for), len(over - given_up))

    def keep_only(self, user: int, shown: Sequence[DamagedEntry]) -> None:
        """Forget all but those that a walk to known ground has shown damaged: what is damaged later is another fault."""
        entries = json.dumps([entry.digest for entry in shown])
        self._db.execute(
            "DELETE FROM unreadable WHERE user = ? AND entry NOT IN (SELECT value FROM json_each(?))", (user, entries)
        )
