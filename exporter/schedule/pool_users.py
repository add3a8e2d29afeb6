"""The users of one pool as they come and go: who has which slot, in line and in the census."""

from collections.abc import Iterable, Sequence

from exporter.ledger.ledger import KnownUser
from exporter.schedule.census import Census, UserState
from exporter.schedule.policy import PoolQueue
from exporter.schedule.roster import Roster


class PoolUsers:
    """Keeps line and census in step. `now` is of a clock that never goes back, `wall` in epoch seconds."""

    def __init__(self, queue: PoolQueue, census: Census) -> None:
        self._queue = queue
        self._census = census
        self._roster = Roster()
        self._recalled: list[int] = []
        self._leaving: dict[int, int] = {}  # slots of users no longer selected whose polls are under way

    @property
    def number(self) -> int:
        """How many users are selected."""
        return len(self._census)

    def row(self, slot: int) -> int | None:
        """Return the ledger's row of the user who has a slot, None where the user has left and the slot is still in use."""
        return self._roster.user(slot)

    # -- after a start ---------------------------------------------------------------------------------------------------------

    def recall(self, users: Iterable[KnownUser], now: float, wall: float) -> None:
        """Take in users from before the start, who are in line from `line_up` on."""
        self._recalled += [self._recall(user, now, wall) for user in users]

    def _recall(self, user: KnownUser, now: float, wall: float) -> int:
        slot = self._roster.add(user.user)
        since = user.selected_at if user.polled_at is None else user.polled_at
        self._census.add(slot, _state_of(user), since)
        if user.polled_at is None:
            self._queue.add(slot, now, max(0.0, wall - since))
        else:
            self._queue.recall(slot, now, max(0.0, wall - since), user.activity)
        return slot

    def recalled(self) -> Sequence[int]:
        """Return the slots of whom `recall` took in, once, in the order in which the census wants them lined up."""
        slots, self._recalled = self._recalled, []
        return sorted(slots, key=self._census.answered_at)

    def line_up(self, slot: int, now: float) -> None:
        """Put a recalled user in line."""
        self._census.line_up(slot)
        self._queue.line_up(slot, now)

    # -- by discoveries --------------------------------------------------------------------------------------------------------

    def take_up(self, users: Iterable[KnownUser], now: float, wall: float) -> None:
        """Put users in line who were selected just now, for the first time or again."""
        for user in users:
            slot = self._leaving.pop(user.user, None)
            if slot is None:
                self._add(user, now, wall)
            else:  # selected again while a poll is still under way: a second one at the same time would disturb it
                self._roster.come_back(slot, user.user)
                self._census.add(slot, _state_of(user), wall)
                self._queue.keep(slot)

    def _add(self, user: KnownUser, now: float, wall: float) -> None:
        slot = self._roster.add(user.user)
        self._census.add(slot, _state_of(user), wall)
        if user.polled_at is None:
            self._queue.add(slot, now)
        else:
            self._queue.recall(slot, now, max(0.0, wall - user.polled_at), user.activity)
            self._queue.line_up(slot, now)

    def let_go(self, rows: Sequence[int]) -> None:
        """Poll these users no more; who is being polled keeps the slot until that has ended."""
        for row, slot in self._roster.slots(rows).items():
            self._census.remove(slot)
            if self._queue.remove(slot):
                self._roster.release(slot)
            else:
                self._roster.leave(slot)
                self._leaving[row] = slot

    # -- after a poll ----------------------------------------------------------------------------------------------------------

    def put_back(self, slot: int, now: float, wait: float, *, answered: bool) -> None:
        """Put a user back in line whose poll has ended, to be left alone for `wait` seconds, if still selected."""
        if not self._queue.returned(slot, now, wait, answered=answered):
            self._leaving = {row: left for row, left in self._leaving.items() if left != slot}
            self._roster.release(slot)


def _state_of(user: KnownUser) -> UserState:
    if user.polled_at is None:
        return UserState.WAITING
    return UserState.OK if user.found else UserState.NOT_FOUND
