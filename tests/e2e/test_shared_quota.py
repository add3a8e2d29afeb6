"""An application that spends the same quota as the exporter, both for real."""

import random
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from exporter.simulator.request_log import Request
from tests.conftest import Start, eventually
from tests.e2e.conftest import POOL, Town

QUOTA, BUDGET = 20.0, 50.0  # requests a second
SETTLING, MEASURED = 10.0, 20.0  # seconds
DESCRIBE = {"X-Amz-Target": "AWSCognitoIdentityProviderService.DescribeUserPool"}


class Application(threading.Thread):
    """Calls ten times a second at random moments; `calls` are when each was made and whether it was throttled."""

    def __init__(self, url: str) -> None:
        super().__init__(name="application")
        self.calls: list[tuple[float, bool]] = []
        self._url = url
        self._ended = threading.Event()

    def run(self) -> None:
        """Call until the end."""
        rng = random.Random(1)
        with httpx.Client(timeout=10) as client:
            while not self._ended.wait(rng.expovariate(10.0)):
                now = time.monotonic()
                answer = client.post(self._url, headers=DESCRIBE, json={"UserPoolId": POOL})
                self.calls.append((now, answer.status_code == httpx.codes.BAD_REQUEST))

    def end(self) -> None:
        """Make no further call."""
        self._ended.set()
        self.join()


@pytest.fixture
def application(town: Town) -> Iterator[Application]:
    """Return an application that calls the town's Cognito and ends with the test."""
    calling = Application(town.simulator.url)
    calling.start()
    yield calling
    calling.end()


def test_an_application_hardly_notices(town: Town, application: Application, start: Start) -> None:
    """An exporter with a budget far above the quota leaves an application alone, and goes on polling.

    Of the application's 200 calls about 1 is throttled, in 1500 simulated runs never more than 17 (8.4 %). An exporter
    that does not give way makes it 74 %, one whose rate is cut to 0.95 instead of half 19 %, both measured here.
    """
    town.config.write_text(
        town.config.read_text().replace("requests_per_second: 200", f"requests_per_second: {BUDGET:g}")
    )
    town.settle(*(f"user{number}" for number in range(100)))
    town.faults.set_quota(QUOTA)
    exporter = start()
    eventually(lambda: exporter.samples("cognito_auth_up") == {(): 1}, "the first poll")
    time.sleep(SETTLING)
    since = time.monotonic()
    time.sleep(MEASURED)
    throttled = [refused for called, refused in list(application.calls) if called >= since]
    print(f"{sum(throttled)} of {len(throttled)} throttled")
    assert len(throttled) > 100
    assert sum(throttled) / len(throttled) < 0.15
    ours = [request for request in town.simulator.requests.newest if _is_ours(request) and request.instant >= since]
    print(f"{len(ours) / MEASURED} requests a second")
    assert len(ours) > 3 * MEASURED
    assert exporter.total("cognito_auth_exporter_request_budget_per_second") < BUDGET


def _is_ours(request: Request) -> bool:
    return request.operation == "AdminListUserAuthEvents"
