"""Asks one pool and says, by what comes back, which operations are allowed."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from exporter.commands.report import Finding, Mark, Report
from exporter.commands.requests import Requests
from exporter.configuration.models import UserPool
from exporter.fetch.outcome import FetchError, Outcome

_T = TypeVar("_T")

AUTH_EVENTS, DESCRIBE, GROUP = "AdminListUserAuthEvents", "DescribeUserPool", "ListUsersInGroup"
_LISTINGS = frozenset({GROUP, "ListUsers"})

_ENDING: Mapping[Outcome, str] = {
    Outcome.CREDENTIALS: "credentials",
    Outcome.CONNECTION: "connection",
    Outcome.TIMEOUT: "connection",
    Outcome.POOL_NOT_FOUND: "user pool",
}
"""Outcomes after which nothing more can be learned of a pool, and what they are about."""

_ALLOWED = frozenset({Outcome.USER_NOT_FOUND, Outcome.THREAT_PROTECTION_OFF, Outcome.POOL_NOT_FOUND})
"""Outcomes that IAM has let through: it judges before Cognito does."""

_LASTING = frozenset({Outcome.NOT_AUTHORIZED, Outcome.THREAT_PROTECTION_OFF, Outcome.THROTTLED})
"""Outcomes that the next call of the operation would most likely meet too, whomever it is about."""


class PoolEnds(Exception):  # noqa: N818 - no error: what is wrong has been said
    """Nothing more can be learned of the pool."""


class Asking:
    """Makes the requests to one pool, which stands at `place` in the configuration (`user_pools[1]`)."""

    def __init__(self, place: str, pool: UserPool, requests: Requests, report: Report) -> None:
        self.denied: list[str] = []
        """The operations that IAM denies."""
        self.refused: dict[str, FetchError] = {}
        """The operations that are not worth another call, and what came of the last one."""
        self.allowed: set[str] = set()
        """The operations that IAM allows, as far as is known."""
        self._place = place
        self._pool = pool
        self._requests = requests
        self._report = report

    def ask(self, operation: str, call: Callable[[], _T]) -> _T:
        """Return what a call of the operation gives.

        Raises `FetchError`, and `PoolEnds` where no other call could give more. Either has been taken note of; only what it
        means to whatever was asked about is still to be said.
        """
        if operation in self.refused:
            raise self.refused[operation]
        try:
            answer = self._requests.make(call, listing=operation in _LISTINGS)
        except FetchError as error:
            self._failed(operation, error)
            raise
        self._say_allowed(operation)
        return answer

    def _failed(self, operation: str, error: FetchError) -> None:
        about_group = operation == GROUP and error.outcome is Outcome.POOL_NOT_FOUND
        if error.key or (error.outcome in _ENDING and not about_group):
            subject = "credentials" if error.key else _ENDING[error.outcome]
            self._report.found(Finding(Mark.MISTAKE, subject, self._explained(error)))
            raise PoolEnds from error
        if error.outcome is Outcome.NOT_AUTHORIZED:
            self._say_denied(operation, error)
        if error.outcome in _ALLOWED:
            self._say_allowed(operation)
        if error.outcome in _LASTING:
            self.refused[operation] = error

    def _explained(self, error: FetchError) -> str:
        if error.outcome is Outcome.CREDENTIALS or error.key:
            return credentials_text(self._place, self._pool, error)
        if error.outcome is Outcome.POOL_NOT_FOUND:
            hint = "see id and region, and whether the credentials are of the pool's account"
            return f"{self._place}.id: {self._pool.id} does not exist in {self._pool.region} ({error}); {hint}"
        return f"{self._place}{'.endpoint_url' if self._pool.endpoint_url else ''}: {error}"

    def _say_allowed(self, operation: str) -> None:
        if operation not in self.allowed:
            self.allowed.add(operation)
            self._report.found(Finding(Mark.GOOD, operation, "allowed"))

    def _say_denied(self, operation: str, error: FetchError) -> None:
        self.denied.append(operation)
        optional = operation == DESCRIBE
        text = f"denied, which the exporter can do without: {error}" if optional else f"denied: {error}"
        self._report.found(Finding(Mark.NOTE if optional else Mark.MISTAKE, operation, text))


def credentials_text(place: str, pool: UserPool, error: FetchError) -> str:
    """Return what is wrong with the credentials of the pool at this place, with the key that it is about."""
    given = pool.credentials.model_dump(exclude_none=True)
    usual = next((f"credentials.{key}" for key in ("role_arn", "profile") if key in given), "credentials")
    return f"{place}.{error.key or usual}: {error}"
