"""How fast a whole history is taken in, every event counted and on disk, against a paginator that counts into a dict."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.bare import Bare
from bench.canned import PAGE, CannedCognito
from bench.exporter_process import MOST_REQUESTS, ExporterProcess, Section, selected
from bench.process import wait_until
from bench.table import Goal, Row, row

_CASE = "ingest"
_POLLING = {"requests_per_second": MOST_REQUESTS, "min_interval": "1m", "max_staleness": "1h"}
_EVENTS_TOTAL = "cognito_auth_events_total"
_LONGEST = 300.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much there is to take in."""

    users: int = 200
    events: int = 600

    @property
    def requests(self) -> int:
        """How many pages that is."""
        return self.users * -(-self.events // PAGE)


QUICK = Plan(users=20, events=180)


@dataclass(frozen=True, slots=True)
class Took:
    """What it took, from the first request to the last event counted."""

    seconds: float
    cpu_seconds: float


def rows(part: str, plan: Plan) -> Iterator[Row]:
    """Return the ratios exporter/bare of time and of CPU time, and what they come from."""
    with CannedCognito(plan.events) as server:
        bare = _bare(server, plan)
    with CannedCognito(plan.events) as server:
        exporter = _exporter(server, plan)
    yield row(part, _CASE, "time, exporter/bare", exporter.seconds / bare.seconds, goal=Goal("<=", 1.0))
    yield row(part, _CASE, "CPU, exporter/bare", exporter.cpu_seconds / bare.cpu_seconds)
    each = 1e6 / (plan.users * plan.events)
    for name, took in (("exporter", exporter), ("bare", bare)):
        yield row(part, _CASE, f"time of an event, {name}", each * took.seconds, "µs")
        yield row(part, _CASE, f"CPU of an event, {name}", each * took.cpu_seconds, "µs")


def _bare(server: CannedCognito, plan: Plan) -> Took:
    with Bare("ingest", server.url, plan.users) as bare:
        wait_until(lambda: bare.has_ended, "the end of the paginator", _LONGEST)
        took = json.loads(bare.output)
    if took["events"] != plan.users * plan.events:
        raise RuntimeError(f"bare boto3 counted {took['events']} events")
    return Took(took["seconds"], took["cpu_seconds"])


def _exporter(server: CannedCognito, plan: Plan) -> Took:
    every = plan.users * plan.events
    with TemporaryDirectory() as name:
        sections: dict[str, Section] = {
            "polling": _POLLING,
            "counting": {"start": "beginning"},
            "metrics": {"series_hold": "0s", "max_series": 100_000},
        }
        with ExporterProcess(Path(name), server.url, selected(Path(name), plan.users), **sections) as exporter:
            wait_until(lambda: server.served() > 0, "a first request", 30.0, every=0.01)
            before = exporter.cpu_seconds
            wait_until(
                lambda: server.served() >= plan.requests, "the last page", _LONGEST
            )  # a scrape costs the exporter too
            wait_until(lambda: exporter.total(_EVENTS_TOTAL) >= every, f"{every} events", _LONGEST, every=0.1)
            return Took(time.monotonic() - server.figures()["first"], exporter.cpu_seconds - before)
