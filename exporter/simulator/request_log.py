"""Which requests came, and when."""

import threading
from collections import Counter, deque
from dataclasses import dataclass

from exporter.simulator.operations import Call

_KEPT = 200_000


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came in; `instant` is in seconds of the monotonic clock, `limit` how many items it asked for at most."""

    instant: float
    operation: str
    pool_id: str | None
    username: str | None
    limit: int | None


class RequestLog:
    """The newest requests, and how many there were; may be read from any thread."""

    def __init__(self, kept: int = _KEPT) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._newest: deque[Request] = deque(maxlen=kept)

    def note(self, call: Call, instant: float) -> None:
        """Take a request down."""
        with self._lock:
            self._counts[call.operation] += 1
            self._newest.append(Request(instant, call.operation, call.pool_id, call.username, call.limit))

    @property
    def counts(self) -> Counter[str]:
        """How many requests came, by operation."""
        with self._lock:
            return self._counts.copy()

    @property
    def newest(self) -> list[Request]:
        """The newest requests, oldest first."""
        with self._lock:
            return list(self._newest)

    def most_within(self, seconds: float) -> int:
        """Return the greatest number of (kept) requests that came within any so many seconds."""
        instants = sorted(request.instant for request in self.newest)
        most = first = 0
        for last, instant in enumerate(instants):
            while instant - instants[first] > seconds:
                first += 1
            most = max(most, last - first + 1)
        return most
