"""SIGKILL in the middle of an ingest: what a restart counts is exact, and no counter ever falls."""

import random
import signal
import time

import pytest

from tests.conftest import ExporterProcess, Start, eventually
from tests.e2e.conftest import Town

EVENTS = "cognito_auth_events_total"
USERS = [f"user{number}" for number in range(30)]
KILLS = 6


def _watch(exporter: ExporterProcess, seconds: float, highest: float) -> float:
    """Scrape for some seconds, see that the total never falls below what was shown, and return the highest."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        total = exporter.total(EVENTS)
        assert total >= highest
        highest = total
    return highest


def test_kills_lose_and_double_nothing(town: Town, start: Start) -> None:
    """The exporter is killed again and again while histories of several pages are read and users sign in."""
    seed = random.randrange(2**32)
    print(f"seed: {seed}")
    rng = random.Random(seed)
    town.settle(*USERS)
    for user in USERS:
        town.happen(user, 150)
    town.faults.inject("slow", probability=0.5, seconds=0.05)
    highest, interrupted = 0.0, 0
    for _ in range(KILLS):
        exporter = start()
        eventually(lambda running=exporter: running.get("/-/ready").status_code == 200, "a start")  # type: ignore[misc]
        highest = _watch(exporter, rng.uniform(0.0, 0.8), highest)
        for user in rng.sample(USERS, 5):
            town.happen(user, rng.randint(1, 70))
        interrupted += highest < town.truth
        assert exporter.end(signal.SIGKILL) == -signal.SIGKILL
    assert interrupted, "every kill came after all was counted: the ingest is too quick for this test"
    exporter = start()
    eventually(lambda: exporter.total(EVENTS) == town.truth, "exact totals")
    _watch(exporter, 3.0, town.truth)
    assert exporter.total(EVENTS) == town.truth


@pytest.mark.parametrize("at", [0.0, 0.05, 0.2, 0.5, 1.0])
def test_kill_during_the_first_start(at: float, town: Town, start: Start) -> None:
    """A kill at any moment of the first start leaves a state that the next start takes."""
    town.settle("ada")
    town.happen("ada", 3)
    first = start()
    time.sleep(at)
    first.end(signal.SIGKILL)
    exporter = start()
    eventually(lambda: exporter.total(EVENTS) == town.truth, "the events")
