"""Requests one after the other, within the budget of an account: throttled ones are waited out and made again."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from exporter.fetch.outcome import FetchError, Outcome
from exporter.schedule.budget import TokenBucket

_T = TypeVar("_T")

_ATTEMPTS: dict[Outcome, int] = {Outcome.THROTTLED: 5, Outcome.SERVER_ERROR: 3, Outcome.CONNECTION: 2}
"""How often a request is made where the fault may pass; a timeout has taken long enough the first time."""

_FIRST_RETRY = 0.5  # seconds, doubled at each attempt
_LISTING_GAP = (
    0.1  # seconds between listings: the application shares their quota, which is 30 requests a second, and fixed
)


@dataclass(frozen=True, slots=True)
class Time:
    """The clock that never goes back, and how to wait; both in seconds."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Requests:
    """Makes the requests that one account's budget pays for."""

    def __init__(self, requests_per_second: float, clock: Time) -> None:
        self._time = clock
        self._next_listing = float("-inf")
        self._bucket = TokenBucket(requests_per_second, clock.monotonic())

    def make(self, call: Callable[[], _T], *, listing: bool = False) -> _T:
        """Wait for a token and make a request, some times over where the fault may pass. Raises `FetchError`.

        A `listing` of users waits for its turn besides.
        """
        attempt = 1
        while True:
            if listing:
                self._wait_to_list()
            try:
                return self._make_once(call)
            except FetchError as error:
                if attempt >= _ATTEMPTS.get(error.outcome, 1):
                    raise
            self._time.sleep(_FIRST_RETRY * 2.0 ** (attempt - 1))
            attempt += 1

    def _wait_to_list(self) -> None:
        self._time.sleep(max(0.0, self._next_listing - self._time.monotonic()))
        self._next_listing = self._time.monotonic() + _LISTING_GAP

    def _make_once(self, call: Callable[[], _T]) -> _T:
        while (wait := self._bucket.take(self._time.monotonic())) > 0:
            self._time.sleep(wait)
        sent = self._time.monotonic()
        try:
            return call()
        except FetchError as error:
            if error.outcome is Outcome.THROTTLED:
                self._bucket.throttled(self._time.monotonic(), sent)
            raise
