"""How long after its creation an event is counted, on a small budget, against everybody in turn."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.canned import POOL_ID
from bench.exporter_process import OWN, ExporterProcess, Section
from bench.process import Server, free_port, wait_until
from bench.table import Row, row

_CASE = "delay"
_LAG = OWN + "event_lag_seconds"
_SHOWN_AFTER = 1.6  # seconds, on average, until the simulator shows an event at all


@dataclass(frozen=True, slots=True)
class Plan:
    """Whom to ask and how often; `activity` is how many times life's traffic the users make."""

    users: int = 60
    requests_per_second: float = 4.0
    activity: float = 3000.0
    seconds: float = 45.0

    @property
    def expected(self) -> float:
        """Seconds from an event to its poll where everybody is asked in turn, on average."""
        return self.users / (2 * self.requests_per_second)


QUICK = Plan(users=12, requests_per_second=12.0, activity=5000.0, seconds=1.0)


class _World(Server):
    """The simulator with traffic, at the pace of real time."""

    def __init__(self, plan: Plan) -> None:
        port = free_port()
        traffic = (f"--users={plan.users}", f"--activity={plan.activity}", "--history=60")
        super().__init__("exporter.simulator", f"--port={port}", f"--user-pool-id={POOL_ID}", *traffic, port=port)


def rows(part: str, plan: Plan) -> Iterator[Row]:
    """Return the mean delay as a ratio to the round robin's, and what it comes from."""
    mean, events = _mean_delay(plan)
    yield row(part, _CASE, "mean delay once shown, exporter/round robin", (mean - _SHOWN_AFTER) / plan.expected)
    yield row(part, _CASE, "mean delay, exporter", mean, "s")
    yield row(part, _CASE, "mean delay, round robin", plan.expected, "s")
    yield row(part, _CASE, "events counted", events)


def _mean_delay(plan: Plan) -> tuple[float, float]:
    sections: dict[str, Section] = {
        "polling": {"requests_per_second": plan.requests_per_second, "min_interval": "1s"},
        "counting": {"settle": "1s"},  # the delay of polls is measured, not that of a slow second factor
    }
    with (
        TemporaryDirectory() as name,
        _World(plan) as world,
        ExporterProcess(Path(name), world.url, {"all": True}, **sections) as exporter,
    ):
        wait_until(lambda: exporter.total(OWN + "polls_total") >= plan.users, "everybody's first poll", 60.0)
        delay, count = _lag(exporter)
        time.sleep(plan.seconds)
        wait_until(lambda: _lag(exporter)[1] > count, "an event", 60.0)
        later, more = _lag(exporter)
    return (later - delay) / (more - count), more - count


def _lag(exporter: ExporterProcess) -> tuple[float, float]:
    return exporter.total(f"{_LAG}_sum"), exporter.total(f"{_LAG}_count")
