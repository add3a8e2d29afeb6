"""What the polling tells of itself as it happens; the metrics listen."""

from typing import Protocol

from exporter.fetch.outcome import Outcome


class Observer(Protocol):
    """Hears of each request and poll. `request` is called from worker threads."""

    def request(self, user_pool: str, operation: str, outcome: Outcome, seconds: float) -> None:
        """Note that an HTTP attempt has ended."""
        ...

    def poll(self, user_pool: str, outcome: Outcome) -> None:
        """Note that a poll of one user has ended."""
        ...

    def truncated_poll(self, user_pool: str) -> None:
        """Note that a history went deeper than `max_pages`: events may be missing."""
        ...
