"""Whether a pool answers, and what its last errors were."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from structlog.typing import FilteringBoundLogger

from exporter.fetch.outcome import Outcome
from exporter.schedule.status import ErrorStatus

_UP = {Outcome.OK: True, Outcome.USER_NOT_FOUND: True}
_UP_STAYS = frozenset({Outcome.THROTTLED, Outcome.INVALID_PARAMETER})
_ERRORS_KEPT = 8
_PAGES_IN_ORDER = 20  # walks, before the pool is believed to show the newest events first
_NEVER = -(2**62)


@dataclass(slots=True)
class PoolHealth:
    """What a pool's answers have told so far; it outlives a reload.

    `threat_protection` is the mode in the API's words, `came_back` is called when the pool answers again. Whether pages come
    newest first is learned anew by each process.
    """

    up: bool = False
    threat_protection: str | None = None
    errors: deque[ErrorStatus] = field(default_factory=lambda: deque(maxlen=_ERRORS_KEPT))
    unmatched: frozenset[str] = frozenset()
    """Paths of selectors that match nobody, as has been said."""
    unfollowed: frozenset[str] = frozenset()
    """Paths of selectors that the last discovery could not follow."""
    absent: set[str] = field(default_factory=set)
    """Paths of user names that nobody has, as has been said."""
    came_back: Callable[[], None] = lambda: None
    _pages_in_order: int = 0
    _said_down: bool = False

    def showed(self, events: int, disorder: float) -> None:
        """Learn from a walk over full pages how many events it showed, and by how many seconds some stood out of order."""
        if disorder:
            self._pages_in_order = _NEVER
        elif events > 1:
            self._pages_in_order += 1

    @property
    def is_in_order(self) -> bool:
        """Tell whether the pool's pages have been seen to come newest first, some times and without an exception."""
        return self._pages_in_order >= _PAGES_IN_ORDER

    def failed(self, error: ErrorStatus) -> None:
        """Keep an error to be shown."""
        self.errors.append(error)

    def answered(self, outcome: Outcome, logger: FilteringBoundLogger) -> None:
        """Learn from the latest answer, and say once when the pool goes away, and once when it is back."""
        if outcome in _UP_STAYS:
            return
        self.up = _UP.get(outcome, False)
        if outcome is Outcome.THREAT_PROTECTION_OFF:
            self.threat_protection = "OFF"
        elif outcome is Outcome.OK and self.threat_protection == "OFF":
            self.threat_protection = None  # it is on again; in which mode is for a description to tell
        if self.up and self._said_down:
            logger.info("the pool answers again")
            self.came_back()
        if not self.up and not self._said_down:
            last = self.errors[-1] if self.errors else None
            where = {"path": last.path} if last is not None and last.path else {}
            message = last.message if last is not None else ""
            logger.warning("the pool does not answer", outcome=outcome.value, **where, error=message)
        self._said_down = not self.up
