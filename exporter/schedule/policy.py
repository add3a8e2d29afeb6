"""Whom to ask next: one replaceable object that takes the time as an argument."""

import heapq
from typing import Protocol


class Policy(Protocol):
    """The order in which the users of a pool are polled. Times are seconds of one clock, chosen by the caller."""

    def add(self, user: str, due: float) -> None:
        """Take a user in, to be polled at `due` or later; one already there keeps its place."""
        ...

    def remove(self, user: str) -> None:
        """Poll a user no more; a poll under way may still be `returned`."""
        ...

    def next_due(self) -> float | None:
        """Return when the next user is due, None where nobody waits."""
        ...

    def choose(self, now: float) -> str | None:
        """Return the user to poll now, who is then away until `returned`; None where nobody is due."""
        ...

    def returned(self, user: str, due: float) -> None:
        """Put a user back, to be polled at `due` or later."""
        ...


class FairOrder:
    """Whoever has been due longest is next: everybody is polled in turn, and nobody twice before the others once."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._away: set[str] = set()
        self._heap: list[tuple[float, str]] = []

    def add(self, user: str, due: float) -> None:
        """Take a user in, to be polled at `due` or later; one already there keeps its place."""
        if user not in self._due:
            self._due[user] = due
            if user not in self._away:
                heapq.heappush(self._heap, (due, user))

    def remove(self, user: str) -> None:
        """Poll a user no more; a poll under way may still be `returned`."""
        self._due.pop(user, None)

    def next_due(self) -> float | None:
        """Return when the next user is due, None where nobody waits."""
        while self._heap and self._is_stale(*self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def choose(self, now: float) -> str | None:
        """Return the user to poll now, who is then away until `returned`; None where nobody is due."""
        due = self.next_due()
        if due is None or due > now:
            return None
        _, user = heapq.heappop(self._heap)
        self._away.add(user)
        return user

    def returned(self, user: str, due: float) -> None:
        """Put a user back, to be polled at `due` or later."""
        self._away.discard(user)
        if user in self._due:
            self._due[user] = due
            heapq.heappush(self._heap, (due, user))

    def _is_stale(self, due: float, user: str) -> bool:
        return self._due.get(user) != due or user in self._away
