"""How a pool is asked while it gives no answers: ever more rarely, by one request at a time."""

from exporter.fetch.outcome import Outcome

POOL_FAULTS = frozenset(
    {
        Outcome.POOL_NOT_FOUND,
        Outcome.NOT_AUTHORIZED,
        Outcome.THREAT_PROTECTION_OFF,
        Outcome.CREDENTIALS,
        Outcome.CONNECTION,
        Outcome.TIMEOUT,
    }
)
"""Outcomes that speak of the pool or the way to it rather than of one user."""

_PASSING = frozenset({Outcome.CONNECTION, Outcome.TIMEOUT})
_PASSING_FAULTS = 3  # in a row, before one slow or broken answer is taken for a pool that is away
_FIRST_WAIT = 1.0
_LONGEST_WAIT = 60.0  # seconds


class Gate:
    """Closed for a while after a pool's faults; times in seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._opens_at = float("-inf")
        self._wait = 0.0
        self._faults = 0

    @property
    def opens_at(self) -> float:
        """When the pool may be asked (again)."""
        return self._opens_at

    @property
    def is_probing(self) -> bool:
        """Tell whether the pool is thought to be away, so that one request at a time is enough."""
        return self._wait > 0

    def answered(self, outcome: Outcome, asked_at: float, now: float) -> None:
        """Learn from the outcome of a request that was sent at `asked_at`."""
        if outcome not in POOL_FAULTS:
            if outcome is not Outcome.THROTTLED:
                self._faults, self._wait = 0, 0.0
            return
        self._faults += 1
        if outcome in _PASSING and self._faults < _PASSING_FAULTS:
            return
        if asked_at >= self._opens_at:  # later ones were on their way already when the gate closed
            self._wait = min(max(_FIRST_WAIT, 2 * self._wait), _LONGEST_WAIT)
            self._opens_at = now + self._wait
