"""What goes wrong, how often and for whom: errors, a quota, broken connections and broken answers."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from exporter.simulator.operations import LISTINGS, Call


class Kind(StrEnum):
    """A way for a request to go wrong."""

    THROTTLE = "throttle"  # TooManyRequestsException
    SERVER_ERROR = "server_error"  # InternalErrorException, HTTP 500
    RESET = "reset"  # the connection is reset without an answer
    HANG = "hang"  # no answer until the simulator closes
    SLOW = "slow"  # a delay before whatever else happens
    HALF_BODY = "half_body"  # the connection ends before Content-Length is reached
    HTML = "html"  # 200 with an HTML page
    NOT_JSON = "not_json"  # 200 with a body that breaks off within its JSON
    GZIP_GARBAGE = "gzip_garbage"  # 200 with a body that is not the gzip it says it is
    NO_EVENT_ID = "no_event_id"  # the page's newest auth event has no EventId
    NO_CREATION_DATE = "no_creation_date"  # the page's newest auth event has no CreationDate
    REPEATED_TOKEN = "repeated_token"  # noqa: S105 - a page whose token is the one it was asked with
    EXPIRED_TOKEN = "expired_token"  # noqa: S105 - InvalidParameterException to a token that was given
    EMPTY_PAGE = "empty_page"  # no items, and a token under which they are
    HUGE_BODY = "huge_body"  # 200 with an answer of 8 MiB, and no Content-Length that would foretell it
    WRONG_TYPE = (
        "wrong_type"  # a member of the page's newest auth event has a wrong type; which one is up to its EventId
    )
    MISSING_MEMBER = (
        "missing_member"  # each auth event lacks a member, not its id or date; which one is up to its EventId
    )
    YEAR_9999 = "year_9999"  # the page's newest auth event was created in the year 9999
    BEFORE_1970 = "before_1970"  # the page's newest auth event was created before 1970
    LONG_CITY = "long_city"  # the city of the page's newest auth event has a million characters
    DUPLICATES = "duplicates"  # half a page, each auth event twice, and a token to the rest
    TWO_VERSIONS = "two_versions"  # an auth event that has ended comes with another country, as it is, and in progress
    FOREIGN_EVENT = "foreign_event"  # another user's newest auth event stands in the page, where its date belongs
    OVERFULL_PAGE = "overfull_page"  # more than a thousand auth events: those of the page, again and again


_KINDS: Mapping[str, Kind] = {kind.value: kind for kind in Kind}
_ERROR_CODES = {
    Kind.THROTTLE: "TooManyRequestsException",
    Kind.SERVER_ERROR: "InternalErrorException",
    Kind.EXPIRED_TOKEN: "InvalidParameterException",
}
_OF_EVENTS = frozenset(
    {
        *(Kind.NO_EVENT_ID, Kind.NO_CREATION_DATE, Kind.WRONG_TYPE, Kind.MISSING_MEMBER, Kind.YEAR_9999),
        *(Kind.BEFORE_1970, Kind.LONG_CITY, Kind.DUPLICATES, Kind.TWO_VERSIONS, Kind.FOREIGN_EVENT),
        Kind.OVERFULL_PAGE,
    }
)
_OF_TOKENS = frozenset({Kind.REPEATED_TOKEN, Kind.EXPIRED_TOKEN})


@dataclass(slots=True, eq=False)
class Fault:
    """A standing order for faults; `kind` may be any error code of the service, `seconds` is the delay of SLOW.

    None for `operation`, `username` or `pool_id` means any; `requests` is how many more it strikes, None for no end.
    """

    kind: Kind | str
    probability: float = 1.0
    requests: int | None = None
    operation: str | None = None
    username: str | None = None
    pool_id: str | None = None
    seconds: float = 0.0
    struck: int = 0

    @property
    def error_code(self) -> str | None:
        """The error the service answers with, None for what is no error of the service."""
        return _ERROR_CODES.get(self.kind) if isinstance(self.kind, Kind) else self.kind

    def concerns(self, call: Call) -> bool:
        """Tell whether it may strike this call, chance and number left aside."""
        wanted = (self.operation, self.username, self.pool_id)
        given = (call.operation, call.username, call.pool_id)
        meant = all(want in {None, have} for want, have in zip(wanted, given, strict=True))
        return meant and self._can_show_in(call)

    def _can_show_in(self, call: Call) -> bool:
        if self.kind in _OF_EVENTS:
            return call.operation == "AdminListUserAuthEvents"
        if self.kind in _OF_TOKENS:
            return call.token is not None
        return self.kind is not Kind.EMPTY_PAGE or call.operation in LISTINGS


class Quota:
    """A token bucket over all operations: a second's requests may come at once; times are of a monotonic clock."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._burst = max(1.0, per_second)
        self._left = self._burst
        self._at = float("-inf")

    def admits(self, now: float) -> bool:
        """Take a request in at `now` (seconds), unless the quota is spent."""
        self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class Faults:
    """The faults in force, changeable while the simulator runs, from any thread; chance comes from `seed`."""

    def __init__(self, seed: int = 0, *, quota_per_second: float | None = None) -> None:
        self._lock = threading.Lock()
        self._rng = Random(seed)
        self._faults: list[Fault] = []
        self._quota: Quota | None = None
        self.set_quota(quota_per_second)

    def inject(
        self,
        kind: Kind | str,
        *,
        probability: float = 1.0,
        requests: int | None = None,
        operation: str | None = None,
        username: str | None = None,
        pool_id: str | None = None,
        seconds: float = 0.0,
    ) -> Fault:
        """Put a fault in force and return it; its `struck` counts the requests that met it."""
        fault = Fault(_KINDS.get(kind, kind), probability, requests, operation, username, pool_id, seconds)
        with self._lock:
            self._faults.append(fault)
        return fault

    def withdraw(self, fault: Fault) -> None:
        """End a fault."""
        with self._lock:
            self._faults.remove(fault)

    def clear(self) -> None:
        """End all faults and the quota."""
        with self._lock:
            self._faults.clear()
            self._quota = None

    def set_quota(self, per_second: float | None) -> None:
        """Throttle what goes beyond so many requests a second, all operations together; None for no quota."""
        quota = None if per_second is None else Quota(per_second)
        with self._lock:
            self._quota = quota

    def strike(self, call: Call, now: float) -> tuple[float, Fault | None]:
        """Return how many seconds to delay a call and what is wrong with it; `now` is of a monotonic clock.

        A spent quota comes first, as it does at the service; then the first fault that strikes.
        """
        with self._lock:
            delay = sum(
                fault.seconds for fault in self._faults if fault.kind is Kind.SLOW and self._strikes(fault, call)
            )
            if self._quota is not None and not self._quota.admits(now):
                return delay, Fault(Kind.THROTTLE)
            others = (fault for fault in self._faults if fault.kind is not Kind.SLOW)
            return delay, next((fault for fault in others if self._strikes(fault, call)), None)

    def _strikes(self, fault: Fault, call: Call) -> bool:
        if fault.requests == 0 or not fault.concerns(call) or self._rng.random() >= fault.probability:
            return False
        fault.requests = None if fault.requests is None else fault.requests - 1
        fault.struck += 1
        return True
