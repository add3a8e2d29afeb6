"""How each selected user of a pool is doing: by state, and who has waited longest for an answer."""

from array import array
from collections import Counter
from enum import StrEnum

from exporter.fetch.outcome import Outcome
from exporter.schedule.recency import Recency


class UserState(StrEnum):
    """The `state` label of the users gauge."""

    OK = "ok"
    WAITING = "waiting"
    NOT_FOUND = "not_found"
    FAILING = "failing"


_CODES: dict[UserState | None, int] = {None: 0, **{state: code for code, state in enumerate(UserState, 1)}}
_CODED = {code: state for state, code in _CODES.items()}
_ABSENT = _CODES[UserState.NOT_FOUND]
_STATES = {Outcome.OK: UserState.OK, Outcome.USER_NOT_FOUND: UserState.NOT_FOUND}
ANSWERS = frozenset(_STATES)
"""The outcomes by which a poll has told what there is to know of its user."""
_MOST_FAULTS = 255


class Census:
    """The selected users of one pool in columns by slot, 18 bytes each; times in epoch seconds.

    Whom AWS does not know is asked for ever more rarely, and is not among those whose answers are the oldest.
    """

    def __init__(self) -> None:
        self._answered_at = array("d")
        self._state = bytearray()
        self._faults = bytearray()
        self._order = Recency()  # by answer
        self._counts: Counter[UserState | None] = Counter()
        self.newest_poll: float | None = None

    def __len__(self) -> int:
        return sum(self._counts[state] for state in UserState)

    @property
    def known(self) -> int:
        """The number of users but for those whom AWS does not know."""
        return len(self) - self._counts[UserState.NOT_FOUND]

    def add(self, slot: int, state: UserState, answered_at: float) -> None:
        """Take in a user last answered, or taken in if never, at a time later than those of all others; else see `line_up`."""
        room = slot + 1 - len(self._state)
        self._answered_at.extend([0.0] * room)
        self._state.extend(bytes(max(0, room)))
        self._faults.extend(bytes(max(0, room)))
        self._answered_at[slot], self._faults[slot] = answered_at, 0
        self._move(slot, state)
        self.line_up(slot)
        if state is not UserState.WAITING:
            self._note_poll(answered_at)

    def line_up(self, slot: int) -> None:
        """Put a user at the end of the order; called for all, from the one answered longest ago on, it sorts them."""
        if self._state[slot] == _ABSENT:
            self._order.remove(slot)
        else:
            self._order.move_to_end(slot)

    def answered_at(self, slot: int) -> float:
        """Return when a user was last answered, or taken in if never."""
        return self._answered_at[slot]

    def remove(self, slot: int) -> None:
        """Forget a user."""
        self._order.remove(slot)
        self._move(slot, None)

    def polled(self, slot: int, outcome: Outcome, at: float) -> int:
        """Note the outcome of a poll; return how many faults in a row the user has had. Throttling says nothing of a user."""
        if not self._state[slot] or outcome is Outcome.THROTTLED:
            return 0
        self._move(slot, _STATES.get(outcome, UserState.FAILING))
        self._faults[slot] = 0 if outcome is Outcome.OK else min(_MOST_FAULTS, self._faults[slot] + 1)
        if outcome in ANSWERS:
            self._answered_at[slot] = at
            self.line_up(slot)
            self._note_poll(at)
        return self._faults[slot]

    def _note_poll(self, at: float) -> None:
        self.newest_poll = at if self.newest_poll is None else max(self.newest_poll, at)

    def _move(self, slot: int, state: UserState | None) -> None:
        self._counts[_CODED[self._state[slot]]] -= 1
        self._counts[state] += 1
        self._state[slot] = _CODES[state]

    @property
    def by_state(self) -> dict[str, int]:
        """Return the number of users in each state."""
        return {state.value: self._counts[state] for state in UserState}

    @property
    def oldest_poll(self) -> float | None:
        """Return when the stalest user whom AWS knows was answered last, or taken in if never."""
        first = self._order.first
        return None if first is None else self._answered_at[first]
