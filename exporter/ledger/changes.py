"""What the updates of one poll do: to the series they are counted in, to the rows of events, and to what is told of both."""

from collections.abc import Callable
from dataclasses import dataclass

from exporter.ledger.counters import USER_EVENTS, user_events_series
from exporter.ledger.events import Place, Row
from exporter.ledger.ledger import EventState, PoolState
from exporter.ledger.outbox import PollLines
from exporter.ledger.rules import Settings, Standing, Update
from exporter.ledger.series import Series, SeriesBook, Tally


@dataclass(frozen=True, slots=True)
class PollChanges:
    """Applies the updates of one poll; `commit` is the number of the transaction, `name_of` the name of a row of `user`."""

    book: SeriesBook
    settings: Settings
    pool: int
    user: int
    name_of: Callable[[int], str]
    commit: int
    now: float
    told: PoolState
    lines: PollLines | None = None
    """Where lines for the event log go; None without one."""

    def apply(self, update: Update, place: Place | None) -> Row | None:
        """Count what an update adds; return the event's row to write, None where it stands as before in every way."""
        if place is not None and self._stands_as_before(update, place):
            return None
        tally = self.book.tally(self.pool, update.labels, self.settings.max_series)
        folded = self._count(update, tally)
        owner = self._owner(update, place)
        by_user, user_folded = self._user_series(update, owner)
        self._note(update, place, tally.events, by_user)
        self._tell(update, place, tally.events, owner)
        if update.counted:
            self.told.folded += folded or user_folded
            if self.lines is not None:
                self.lines.add(update, self.name_of(owner))
        return self._row(update, tally.events, by_user, owner)

    def _owner(self, update: Update, place: Place | None) -> int:
        """Return whose known ground tells of an event once its row is forgotten; an open one stays with who opened it."""
        if place is None or (update.counted and place.known.standing is Standing.UNCOUNTED):
            return self.user
        return place.user

    def _row(self, update: Update, series: Series, by_user: Series | None, owner: int) -> Row:
        """Return an event's row; plain integers, as sqlite3 looks for an adapter for each value of another type."""
        event_id, created, standing, feedback, labels, _ = update.event
        return (
            self.pool, event_id, owner, created, int(standing), int(feedback), series.id,
            None if by_user is None else by_user.id, self.commit, None if labels is None else labels.to_json(),
            int(update.is_in_progress),
        )  # fmt: skip

    def _stands_as_before(self, update: Update, place: Place) -> bool:
        """Tell whether there is nothing to write: so it is with most events of a page that was read before."""
        if update.event != place.known or (self.settings.per_user and place.user_series is None):
            return False
        series = self.book.events_series(self.pool, update.labels, self.settings.max_series)
        return series.id == place.series

    def _count(self, update: Update, tally: Tally) -> bool:
        """Add what is counted by this poll; tell whether any of it was folded."""
        was_folded = False
        if update.counted:
            self.book.count_event(self.pool, update.labels, tally, self.settings.max_series)
            tally.events.note_exemplar(update.event.event_id, update.event.created)
            was_folded = tally.folded
        for increment in update.extra:
            series, folded = self.book.find(self.pool, *increment, self.settings.max_series)
            self.book.add(self.book.changing(series))
            was_folded |= folded
        return was_folded

    def _user_series(self, update: Update, owner: int) -> tuple[Series | None, bool]:
        """Return the event's series among those of its user, counted in where the event is counted now, and if it was folded."""
        if not self.settings.per_user:
            return None, False
        labels = user_events_series(self.name_of(owner), update.labels)
        series, folded = self.book.find(self.pool, USER_EVENTS, labels, self.settings.max_series)
        series = self.book.changing(series)
        if update.counted:
            self.book.add(series)
        return series, folded

    def _note(self, update: Update, place: Place | None, *series: Series | None) -> None:
        """Keep the creation of an event that has ended; where it stood before is told anew, as it may stand there no more."""
        for each in series:
            if each is not None and not update.is_in_progress:
                each.note_event(update.event.created)
        if place is not None:
            for number in (place.series, place.user_series):
                if number is not None:
                    self.book.touch(number)

    def _tell(self, update: Update, place: Place | None, series: Series, owner: int) -> None:
        """Tell how an event stands that the gauges show, or have shown."""
        event, labels = update.event, update.labels
        is_open = event.standing is Standing.OPEN
        if is_open or place is not None or event.created > self.now - self.settings.recent_window:
            self.told.events.append(
                EventState(event.event_id, event.created, owner, series.id, labels.event_type, is_open)
            )
        if update.counted:
            self.told.lags.append(max(0.0, self.now - event.created))
