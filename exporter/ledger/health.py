"""How the state is doing: each failure is counted, and said once when a trouble begins and once when it is over."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from structlog.typing import FilteringBoundLogger

from exporter.ledger.ledger import CommitError


class LedgerObserver(Protocol):
    """Hears how the state is doing."""

    def ledger_committed(self, at: float) -> None:
        """Note when (epoch seconds) the state took a transaction."""
        ...

    def ledger_failed(self) -> None:
        """Note that the state could not be written or read."""
        ...


class Unobserved:
    """A `LedgerObserver` that keeps what it hears to itself."""

    def ledger_committed(self, at: float) -> None:
        """Do nothing."""

    def ledger_failed(self) -> None:
        """Do nothing."""


class LedgerHealth:
    """What fails, by the kind of work: a trouble is over once every kind that has failed has worked again."""

    def __init__(self, observer: LedgerObserver, logger: FilteringBoundLogger) -> None:
        self._observer = observer
        self._logger = logger
        self._failing: dict[str, str] = {}
        self._said: set[str] = set()
        self._failures = 0

    @property
    def error(self) -> str | None:
        """Why the state cannot be used, None where it can."""
        return next(reversed(self._failing.values()), None)

    @contextmanager
    def watching(self, kind: str) -> Iterator[None]:
        """Note whether what is done inside fails with a `CommitError`, which goes on, or works."""
        try:
            yield
        except CommitError as error:
            self.failed(kind, str(error))
            raise
        self._worked(kind)

    def failed(self, kind: str, error: str) -> None:
        """Note a failure; what has been said in this trouble is not said again."""
        self._observer.ledger_failed()
        self._failures += 1
        self._failing.pop(kind, None)  # the latest is last
        self._failing[kind] = error
        say = self._logger.debug if error in self._said else self._logger.error
        say("the state cannot be used; the last committed numbers are served, and it is tried again", error=error)
        self._said.add(error)

    def _worked(self, kind: str) -> None:
        if self._failing.pop(kind, None) is not None and not self._failing:
            self._logger.info("the state can be used again", failures=self._failures)
            self._failures = 0
            self._said.clear()

    def committed(self, at: float) -> None:
        """Note when (epoch seconds) the state took a transaction."""
        self._observer.ledger_committed(at)
