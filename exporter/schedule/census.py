"""How each selected user of a pool is doing: by state, and who has waited longest."""

from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from exporter.fetch.outcome import Outcome
from exporter.ledger.ledger import KnownUser


class UserState(StrEnum):
    """The `state` label of the users gauge."""

    OK = "ok"
    WAITING = "waiting"
    NOT_FOUND = "not_found"
    FAILING = "failing"


_STATES = {Outcome.OK: UserState.OK, Outcome.USER_NOT_FOUND: UserState.NOT_FOUND}
_ANSWERS = frozenset(_STATES)


@dataclass(slots=True)
class _Health:
    polled_at: float
    state: UserState
    faults: int = 0


class Census:
    """The selected users of one pool, the one with the oldest answer first; times in epoch seconds."""

    def __init__(self) -> None:
        self._users: OrderedDict[str, _Health] = OrderedDict()
        self._states: Counter[UserState] = Counter()
        self.newest_poll: float | None = None

    def __len__(self) -> int:
        return len(self._users)

    def __contains__(self, username: str) -> bool:
        return username in self._users

    def add(self, users: Iterable[KnownUser]) -> None:
        """Take users in; one never polled counts as answered when it was selected."""
        for user in sorted(users, key=_since):
            if user.username not in self._users:
                state = _initial_state(user)
                self._users[user.username] = _Health(_since(user), state)
                self._states[state] += 1
                if user.polled_at is not None:
                    self.newest_poll = max(self.newest_poll or 0.0, user.polled_at)

    def remove(self, username: str) -> None:
        """Forget a user."""
        health = self._users.pop(username, None)
        if health is not None:
            self._states[health.state] -= 1

    def polled(self, username: str, outcome: Outcome, at: float) -> int:
        """Note the outcome of a poll; return how many faults in a row the user has had. Throttling says nothing of a user."""
        health = self._users.get(username)
        if health is None or outcome is Outcome.THROTTLED:
            return 0
        self._move(health, _STATES.get(outcome, UserState.FAILING))
        health.faults = 0 if outcome is Outcome.OK else health.faults + 1
        if outcome in _ANSWERS:
            health.polled_at = at
            self._users.move_to_end(username)
            self.newest_poll = max(self.newest_poll or 0.0, at)
        return health.faults

    def _move(self, health: _Health, state: UserState) -> None:
        self._states[health.state] -= 1
        self._states[state] += 1
        health.state = state

    @property
    def by_state(self) -> dict[str, int]:
        """Return the number of users in each state."""
        return {state.value: self._states[state] for state in UserState}

    @property
    def oldest_poll(self) -> float | None:
        """Return when the stalest user was answered last."""
        return next((health.polled_at for health in self._users.values()), None)


def _since(user: KnownUser) -> float:
    return user.selected_at if user.polled_at is None else user.polled_at


def _initial_state(user: KnownUser) -> UserState:
    if user.polled_at is None:
        return UserState.WAITING
    return UserState.OK if user.found else UserState.NOT_FOUND
