"""How many users a second can be asked, and what each costs, when nothing but the machine is the limit."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.bare import Bare
from bench.canned import CannedCognito
from bench.exporter_process import MOST_REQUESTS, ExporterProcess, selected
from bench.process import Child, wait_until
from bench.table import Goal, Row, row

_POLLING = {
    "requests_per_second": MOST_REQUESTS,
    "min_interval": "1s",
    "max_staleness": "1h",
    "discovery_interval": "1h",
    "request_timeout": "2m",  # whoever is paused between rounds has requests under way
}
_CASES = {"sleepers": 0, "readers": 120}
"""Events in the history of each user: none, or more than a page."""

_WARM = 200  # polls until boto3 goes at its pace


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to measure; `users` are more than can be asked within `min_interval`, so that somebody is always due."""

    users: int = 5000
    rounds: int = 3
    seconds: float = 8.0
    settle: float = 0.7
    warm_up: float = 90.0


QUICK = Plan(users=1500, rounds=1, seconds=0.5, settle=0.1, warm_up=0.5)


@dataclass(frozen=True, slots=True)
class Measure:
    """What a process did in a stretch of time."""

    polls_per_second: float
    cpu_per_poll: float
    server_load: float
    """The share of a core that the server took."""


def rows(part: str, plan: Plan) -> Iterator[Row]:
    """Return both cases' ratios exporter/bare, and what they come from."""
    for case, events in _CASES.items():
        yield from _compared(part, case, _contest(events, plan))


def _compared(part: str, case: str, rounds: list[tuple[Measure, Measure]]) -> Iterator[Row]:
    speed = median(ours.polls_per_second / bare.polls_per_second for ours, bare in rounds)
    cost = median(ours.cpu_per_poll / bare.cpu_per_poll for ours, bare in rounds)
    yield row(part, case, "polls a second, exporter/bare", speed, goal=Goal(">=", 1.0))
    yield row(part, case, "CPU per poll, exporter/bare", cost, goal=Goal("<=", 0.8))
    for name, measures in zip(("exporter", "bare"), zip(*rounds, strict=True), strict=True):
        yield row(part, case, f"polls a second, {name}", median(one.polls_per_second for one in measures), "/s")
        yield row(part, case, f"CPU per poll, {name}", 1e6 * median(one.cpu_per_poll for one in measures), "µs")
    load = max(one.server_load for measures in rounds for one in measures)
    yield row(part, case, "share of a core that the server took", load, goal=Goal("<=", 0.8))


def _contest(events: int, plan: Plan) -> list[tuple[Measure, Measure]]:
    """Let both ask the same users of the same server, in turn; whose turn it is not stands still."""
    with TemporaryDirectory() as name, CannedCognito(events) as server:
        users = selected(Path(name), plan.users)
        with ExporterProcess(Path(name), server.url, users, polling=_POLLING) as exporter:
            _warm_up(exporter, server, plan.users, plan.warm_up)  # a first walk is not like the others
            with Bare("poll", server.url, plan.users, server.figures()["connections"]) as bare:
                _warm_up(bare, server, _WARM, plan.warm_up)
                return [(_turn(exporter, server, plan), _turn(bare, server, plan)) for _ in range(plan.rounds)]


def _warm_up(contender: Child, server: CannedCognito, polls: int, seconds: float) -> None:
    """Wait for so many polls, or from the first one on for so many seconds."""
    before = server.served()
    wait_until(lambda: server.served() > before, "a first request", 30.0)
    deadline = time.monotonic() + seconds
    wait_until(lambda: server.served() >= before + polls or time.monotonic() > deadline, "polls", 2 * seconds)
    contender.pause()


def _turn(contender: Child, server: CannedCognito, plan: Plan) -> Measure:
    contender.resume()
    time.sleep(plan.settle)
    measure = _measured(contender, server, plan.seconds)
    contender.pause()
    return measure


def _measured(contender: Child, server: CannedCognito, seconds: float) -> Measure:
    before = _reading(contender, server)
    time.sleep(seconds)
    wait_until(lambda: server.served() > before[-1], "a poll", 60.0)
    took, cpu, load, polls = (now - then for now, then in zip(_reading(contender, server), before, strict=True))
    return Measure(polls / took, cpu / polls, load / took)


def _reading(contender: Child, server: CannedCognito) -> tuple[float, float, float, int]:
    return time.monotonic(), contender.cpu_seconds, server.cpu_seconds, server.served()
