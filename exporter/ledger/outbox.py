"""Lines of the event log, from the transaction that counts their events until they are known to be written."""

from collections.abc import Sequence

from exporter.event.event import AuthEvent
from exporter.event.line import EventLine
from exporter.ledger.database import Database, disk_errors
from exporter.ledger.ledger import Poll
from exporter.ledger.rules import Update


class PollLines:
    """The lines of the events that one poll counts."""

    def __init__(self, line: EventLine, poll: Poll, now: float) -> None:
        self._line = line
        self._poll = poll
        self._now = now
        self._shown: dict[str, AuthEvent] | None = None
        self.lines: list[str] = []

    def add(self, update: Update, username: str) -> None:
        """Make the line of an event that is counted; of one that is no longer shown its labels are all there is."""
        event, pool_id = update.event, self._poll.pool_id
        shown = self._events().get(event.event_id)
        if shown is not None:
            line = self._line.of_event(pool_id, username, shown, self._now)
        else:
            line = self._line.of_labels(pool_id, username, event.event_id, event.created, update.labels, self._now)
        self.lines.append(line)

    def _events(self) -> dict[str, AuthEvent]:
        if self._shown is None:  # most polls count nothing
            walk = self._poll.walk
            self._shown = {} if walk is None else {event.event_id: event for event in walk.events}
        return self._shown


class SqliteOutbox:
    """`exporter.ledger.ledger.Outbox` in the table `event_line`.

    Lines have consecutive numbers: they come at one end and go at the other. Those up to `_written` need not be kept, those up to
    `_deleted` are not there any more, `_last` is the last one committed.
    """

    def __init__(self, connection: Database) -> None:
        self._db = connection
        self.line: EventLine | None = None
        """How lines are made of events that are counted; None where none are."""
        self._written = 0
        self.read_numbers()

    def read_numbers(self) -> None:
        """Take the numbers from the state, which was opened; what is known to be written stays so."""
        numbers = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'event_line'"
        self._last = self._next = int(self._db.execute(numbers).fetchone()[0])
        first = self._db.execute("SELECT min(id) FROM event_line").fetchone()[0]
        self._deleted = self._deleting = self._last if first is None else int(first) - 1
        self._written = max(self._written, self._deleted)

    # -- in the ledger's transactions ------------------------------------------------------------------------------------------

    def lines_of(self, poll: Poll, now: float) -> PollLines | None:
        """Return what makes the lines of a poll, None where there is no event log."""
        return None if self.line is None else PollLines(self.line, poll, now)

    def add(self, poll_lines: PollLines | None) -> None:
        """Keep the lines of a poll, in the transaction that counts."""
        if poll_lines is not None and poll_lines.lines:
            self._db.executemany("INSERT INTO event_line VALUES (?,?)", enumerate(poll_lines.lines, self._next + 1))
            self._next += len(poll_lines.lines)

    def delete_written(self) -> None:
        """Delete what is written, in a transaction that there is anyway."""
        if self._written > self._deleted:
            self._deleting = self._written
            self._db.execute("DELETE FROM event_line WHERE id <= ?", (self._deleting,))

    def committed(self) -> None:
        """Take what was added and deleted as committed."""
        self._last, self._deleted = self._next, self._deleting

    def discard(self) -> None:
        """Take it as taken back."""
        self._next, self._deleting = self._last, self._deleted

    # -- for who writes them ---------------------------------------------------------------------------------------------------

    @property
    def pending(self) -> int:
        """How many committed lines are not known to be written."""
        return self._last - self._written

    def read(self, limit: int) -> Sequence[tuple[int, str]]:
        """Return the oldest lines not known to be written, with their numbers. Raises `CommitError`."""
        with disk_errors():
            return self._db.execute(
                "SELECT id, line FROM event_line WHERE id > ? ORDER BY id LIMIT ?", (self._written, limit)
            ).fetchall()

    def wrote(self, number: int) -> None:
        """Note that lines up to this number are written; the next transaction deletes them."""
        self._written = max(self._written, number)

    def drop(self) -> int:
        """Give up all that is not written; return how many lines that is."""
        dropped, self._written = self.pending, self._last
        return dropped

    def forget(self) -> None:
        """Delete what is written now, in a transaction of its own. Raises `CommitError`."""
        if self._written == self._deleted:
            return
        with self._db.transaction():
            self.delete_written()
        self.committed()
