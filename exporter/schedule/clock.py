"""The time of day, and when it was last set."""

from collections.abc import Callable

_STEP = 2.0  # seconds between two looks, which is far more than a clock is slewed by (adjtime(3))


class WallClock:
    """Gives epoch seconds. `set_at` is what it gave when it was first found set, forward or back, since the look before."""

    def __init__(self, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self.set_at = float("-inf")
        self._wall = wall
        self._monotonic = monotonic
        self._offset = wall() - monotonic()

    def __call__(self) -> float:
        """Return the time in epoch seconds."""
        now = self._wall()
        offset = now - self._monotonic()
        if abs(offset - self._offset) > _STEP:
            self.set_at = now
        self._offset = offset
        return now
