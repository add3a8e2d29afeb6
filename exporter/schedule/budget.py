"""The request budget of one AWS account in one Region: a token bucket whose rate gives way to throttling."""

import asyncio
from collections.abc import Callable

_LEAST_SHARE = 1 / 20  # of the budget, however much AWS throttles
_RECOVERY = 0.005  # of the budget, regained each second
_CUT = 0.5
_CUT_PAUSE = 0.5  # seconds: throttled answers that come closer together are one sign
_BURST = 0.2  # seconds' worth of requests that may be saved up, to make good for late wake-ups


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

    def throttled(self, now: float) -> None:
        """Cut the rate: AWS has said that the quota is spent."""
        self._advance(now)
        if now - self._cut_at >= _CUT_PAUSE:
            self._rate = max(self.budget * _LEAST_SHARE, self._rate * _CUT)
            self._tokens = min(self._tokens, 0.0)
            self._cut_at = now

    def _advance(self, now: float) -> None:
        elapsed = max(0.0, now - self._at)
        self._at = max(self._at, now)
        self._tokens = min(self._burst, self._tokens + elapsed * self._rate)
        self._rate = min(self.budget, self._rate + elapsed * self.budget * _RECOVERY)


class Budget:
    """A token bucket that tasks wait at, first come, first served."""

    def __init__(self, account: str, requests_per_second: float, clock: Callable[[], float]) -> None:
        self.account = account
        self._clock = clock
        self._bucket = TokenBucket(requests_per_second, clock())
        self._turn = asyncio.Lock()

    def resize(self, requests_per_second: float) -> None:
        """Change the budget; what was spent and how far throttling has cut it stays."""
        self._bucket.resize(requests_per_second, self._clock())

    @property
    def requests_per_second(self) -> float:
        """The configured budget."""
        return self._bucket.budget

    @property
    def allowed(self) -> float:
        """The rate that may be spent now, in requests a second."""
        return self._bucket.allowed(self._clock())

    async def acquire(self) -> None:
        """Wait for a token and take it."""
        async with self._turn:
            while (wait := self._bucket.take(self._clock())) > 0:  # noqa: ASYNC110 - it waits for time, not for an event
                await asyncio.sleep(wait)

    def give_back(self) -> None:
        """Return a token that was not spent."""
        self._bucket.give_back()

    def throttled(self) -> None:
        """Cut the rate: AWS has said that the quota is spent."""
        self._bucket.throttled(self._clock())
