"""The request budget of one AWS account in one Region: a token bucket whose rate gives way to throttling."""

import asyncio
from collections import deque
from collections.abc import Callable

_LEAST_SHARE = 1 / 20  # of the budget, however much AWS throttles
_RECOVERY = 0.005  # of the budget, regained each second
# How many of an application's calls are throttled, and how much of what it leaves is used, as tests/schedule/test_shared_quota.py
# measures: quota 20/s, application 10/s, budget 50/s; by what the service saves up from second to second.
#   cut to              one second       five seconds     nothing
#   0.85                3.0 %   101 %    3.2 %   104 %    3.1 %   76 %
#   0.7                 1.6 %    95 %    1.6 %   102 %    2.1 %   66 %
#   0.5                 0.9 %    90 %    0.7 %   101 %    1.4 %   55 %
#   0.5, without hold   1.1 %    91 %    1.0 %   102 %    1.6 %   59 %
# Nearing the rate last throttled four times as slowly takes a fifth off 0.5's first column: too little for a second rule.
_CUT = 0.5
_HOLD = 2.0  # seconds after a cut without recovery, in which the service's own bucket fills again
_CUT_PAUSE = 0.5  # seconds: throttled answers that come closer together are one sign
_LISTING_SHARE = 0.5
_LISTINGS = 10.0  # a second; the quota UserList is 30, and fixed
_BURST = 0.2  # seconds' worth of requests that may be saved up, to make good for late wake-ups
_SLOT = 5.0  # seconds that spent requests are counted together
_SLOTS = 12  # and what is being filled


class TokenBucket:
    """Tokens for requests; all times in seconds of a monotonic clock, all rates in requests a second.

    It starts empty but for one token, so that a start is no burst. In any t seconds it gives no more than budget times t plus its
    burst, which is less than a second's worth.
    """

    def __init__(self, budget: float, now: float) -> None:
        self.budget = budget
        self._rate = budget
        self._burst = max(1.0, budget * _BURST)
        self._tokens = 1.0
        self._at = now
        self._cut_at = float("-inf")

    def resize(self, budget: float, now: float) -> None:
        """Change the budget; how far throttling has cut it stays, as a share."""
        self._advance(now)
        share = self._rate / self.budget
        self.budget, self._rate = budget, budget * share
        self._burst = max(1.0, budget * _BURST)
        self._tokens = min(self._tokens, self._burst)

    def share(self, now: float) -> float:
        """Return the part of the budget that throttling has left."""
        return self.allowed(now) / self.budget

    def limit(self, share: float, now: float) -> None:
        """Spend no more than this part of the budget, from which the rate recovers as after a cut."""
        self._advance(now)
        self._rate = min(self._rate, self.budget * share)

    def allowed(self, now: float) -> float:
        """Return the rate that may be spent now."""
        self._advance(now)
        return self._rate

    def take(self, now: float) -> float:
        """Take a token and return 0, or return how long to wait for one."""
        self._advance(now)
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return 0.0
        return (1.0 - self._tokens) / self._rate

    def give_back(self) -> None:
        """Return a token that was not spent."""
        self._tokens = min(self._burst, self._tokens + 1.0)

    def throttled(self, now: float, sent: float) -> None:
        """Cut the rate: AWS has said to a request sent at `sent` that the quota is spent.

        What was sent before the last cut tells nothing of the rate since.
        """
        self._advance(now)
        if sent >= self._cut_at and now - self._cut_at >= _CUT_PAUSE:
            self._rate = max(self.budget * _LEAST_SHARE, self._rate * _CUT)
            self._tokens = min(self._tokens, 0.0)
            self._cut_at = self._at

    def _advance(self, now: float) -> None:
        now = max(self._at, now)
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        recovering = max(0.0, now - max(self._at, self._cut_at + _HOLD))
        self._rate = min(self.budget, self._rate + recovering * self.budget * _RECOVERY)
        self._at = now


class SpendingMeter:
    """How many requests a second were spent in the last minute; times in seconds of a monotonic clock."""

    def __init__(self, now: float) -> None:
        self._began = now
        self._slot = now // _SLOT
        self._spent = deque([0], maxlen=_SLOTS + 1)

    def spend(self, now: float, requests: int) -> None:
        """Count requests; those that were given back are negative."""
        self._turn_to(now)
        self._spent[-1] += requests

    def rate(self, now: float) -> float | None:
        """Return requests a second, None where a slot's time has not passed yet."""
        self._turn_to(now)
        seconds = min(now - self._began, _SLOTS * _SLOT + now % _SLOT)
        return max(0.0, sum(self._spent) / seconds) if seconds >= _SLOT else None

    def _turn_to(self, now: float) -> None:
        passed = now // _SLOT - self._slot
        if passed > 0:
            self._spent.extend([0] * int(min(passed, _SLOTS + 1)))
            self._slot += passed


class Budget:
    """A token bucket that tasks wait at, first come, first served.

    Listings of users have their turns besides: half of the requests that may be made, so that polls go on, and no more than
    a third of the quota that they share with the application, which is fixed.
    """

    def __init__(self, account: str, requests_per_second: float, clock: Callable[[], float]) -> None:
        self.account = account
        self._clock = clock
        self._bucket = TokenBucket(requests_per_second, clock())
        self._meter = SpendingMeter(clock())
        self._turn = asyncio.Lock()
        self._listing_turn = asyncio.Lock()
        self._listed_at = float("-inf")

    def resize(self, requests_per_second: float) -> None:
        """Change the budget; what was spent and how far throttling has cut it stays."""
        self._bucket.resize(requests_per_second, self._clock())

    def heed(self, other: "Budget") -> None:
        """Take over how far throttling has cut another budget, whose requests are charged to this one from now on."""
        now = self._clock()
        self._bucket.limit(other._bucket.share(now), now)  # noqa: SLF001 - of its own class

    @property
    def requests_per_second(self) -> float:
        """The configured budget."""
        return self._bucket.budget

    @property
    def allowed(self) -> float:
        """The rate that may be spent now, in requests a second."""
        return self._bucket.allowed(self._clock())

    @property
    def spent(self) -> float | None:
        """The rate spent in the last minute, in requests a second; None in the first seconds."""
        return self._meter.rate(self._clock())

    async def acquire(self) -> None:
        """Wait for a token and take it."""
        async with self._turn:
            while (wait := self._take()) > 0:  # noqa: ASYNC110 - it waits for time, not for an event
                await asyncio.sleep(wait)

    async def listing_turn(self) -> None:
        """Wait until the next page of a listing may be asked for; its token is to be acquired after that."""
        async with self._listing_turn:
            gap = 1 / min(_LISTINGS, self.allowed * _LISTING_SHARE)
            await asyncio.sleep(self._listed_at + gap - self._clock())
            self._listed_at = self._clock()

    def try_acquire(self) -> bool:
        """Take a token if there is one and nobody waits; tell whether it was taken."""
        return not self._turn.locked() and self._take() == 0

    def _take(self) -> float:
        now = self._clock()
        wait = self._bucket.take(now)
        if wait == 0:
            self._meter.spend(now, 1)
        return wait

    def give_back(self) -> None:
        """Return a token that was not spent."""
        self._bucket.give_back()
        self._meter.spend(self._clock(), -1)

    def throttled(self, sent: float) -> None:
        """Cut the rate: AWS has said to a request sent at `sent`, by the budget's clock, that the quota is spent."""
        self._bucket.throttled(self._clock(), sent)
