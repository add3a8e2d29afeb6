"""A scrape of 10,000 series: against prometheus_client's own way, and while users are polled as fast as it goes."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from bench.canned import CannedCognito
from bench.exporter_process import MOST_REQUESTS, ExporterProcess, selected, usernames
from bench.process import HOST, wait_until
from bench.table import Goal, Row, row
from exporter.ledger.counters import USER_EVENTS
from exporter.ledger.ledger import CounterState, PoolState
from exporter.metrics import families
from exporter.metrics.committed import Committed
from exporter.metrics.exposition import Exposition
from exporter.metrics.view import PoolView, Presentation
from exporter.schedule.status import Status

_PART = "scrape"
_WINDOW = 3600.0  # seconds
_NOTHING_POLLED = Status(
    version="", now=0.0, started=0.0, pools=(), budgets=(), max_staleness=0.0, recent_window=_WINDOW, ready=True,
    stuck=None, reload_error=None,
)  # fmt: skip
_SERIES_OF_A_USER = 2  # with one event each: the counter, and when it was
_TENTH, _FIVE_TIMES = Goal("<=", 0.1), Goal("<=", 5.0)
_SHARES = {"nothing has changed": (0.0, _TENTH), "a tenth has changed": (0.1, _TENTH), "all has changed": (1.0, None)}
"""What part of the series has changed since the last scrape, and the goal."""
_AS_PROMETHEUS = {
    "Accept": "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "Accept-Encoding": "gzip",
}
_BETWEEN_SCRAPES = 0.05  # seconds
_WARM_UP = 10  # scrapes that are not looked at: the process has only just started
_EVENTS_TOTAL = "cognito_auth_user_events_total"
_LONGEST = 120.0
_QUOTA = 50.0  # requests a second for UserResourceRead: https://docs.aws.amazon.com/cognito/latest/developerguide/quotas.html
_IDLE = "nobody is polled"
_LOADS = {
    "polls as fast as it goes": (MOST_REQUESTS, "1s"),
    "polls at AWS's default quota": (_QUOTA, "1s"),
    _IDLE: (MOST_REQUESTS, "1h"),
}
"""Requests a second and `min_interval`, by how the load is called."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much there is to scrape, and how often it is done."""

    users: int = 5000
    renderings: int = 15
    scrapes: int = 300

    @property
    def size(self) -> str:
        """How many series that are, as a case is called."""
        return f"{_SERIES_OF_A_USER * self.users:,} series"


QUICK = Plan(users=500, renderings=2, scrapes=10)


def rows(quick: bool) -> Iterator[Row]:
    """Return how long an exposition takes to prometheus_client's, and a scrape under load to an idle one."""
    plan = QUICK if quick else Plan()
    yield from _rendered(plan)
    yield from _scraped(plan)


# -- in this process -------------------------------------------------------------------------------------------------------------


def _rendered(plan: Plan) -> Iterator[Row]:
    contest = _Contest(plan.users)
    first, _ = contest.round(plan.users)
    yield row(_PART, f"{plan.size}, all are new", "time, exporter", 1e3 * first, "ms")
    for case, (share, goal) in _SHARES.items():
        times = [contest.round(int(share * plan.users)) for _ in range(plan.renderings)]
        ours, theirs = median(own for own, _ in times), median(client for _, client in times)
        where = f"{plan.size}, {case}"
        yield row(_PART, where, "time, exporter/generate_latest", ours / theirs, goal=goal)
        yield row(_PART, where, "time, exporter", 1e3 * ours, "ms")
        yield row(_PART, where, "time, generate_latest", 1e3 * theirs, "ms")


class _Contest:
    """The same series as the exporter shows them of its state and as prometheus_client keeps them, both with `process_*`.

    What a scrape costs is looked at, not what it takes to note a change, which is a commit's part.
    """

    def __init__(self, users: int) -> None:
        disable_created_metrics()
        self._users = usernames(users)
        self._counts = [0] * users
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        counted, last = families.USER_EVENTS, families.USER_LAST_EVENT
        self._theirs = (
            Counter(counted.name, counted.help, counted.labels, registry=registry),
            Gauge(last.name, last.help, last.labels, registry=registry),
        )
        self._view = PoolView("bench", Presentation("code", "plain", b"", _WINDOW))
        views = {"bench": self._view}
        self._exposition = Exposition(Committed(lambda: views, lambda: _NOTHING_POLLED, lambda: 0.0).sections)
        self._registry = registry

    def _change(self, number: int) -> None:
        states = []
        for series, name in enumerate(self._users[:number]):
            labels = (name, "SignIn", "Pass", "None")
            self._counts[series] += 1
            count = self._counts[series]
            states.append(CounterState(series, USER_EVENTS, labels, count, float(count), None))
            self._theirs[0].labels("bench", *labels).inc()
            self._theirs[1].labels("bench", *labels[:-1]).set(count)
        self._view.update(PoolState(counters=states), 0.0)

    def round(self, changed: int) -> tuple[float, float]:
        """Change so many series, and return how long each takes to tell of all; what they tell is the same."""
        self._change(changed)
        ours, own = _timed(self._exposition.text)
        theirs, client = _timed(lambda: generate_latest(self._registry))
        if _own_lines(theirs) - _own_lines(ours):
            raise RuntimeError("the exporter and prometheus_client tell different things")
        return own, client


def _own_lines(exposition: bytes) -> set[bytes]:
    return {line for line in exposition.splitlines() if b"cognito_auth_" in line}


def _timed(render: Callable[[], bytes]) -> tuple[bytes, float]:
    begun = time.perf_counter()
    exposition = render()
    return exposition, time.perf_counter() - begun


# -- by HTTP ---------------------------------------------------------------------------------------------------------------------


def _scraped(plan: Plan) -> Iterator[Row]:
    """Scrape one state in three processes: the first fills it and polls without a pause, the last polls nobody."""
    with TemporaryDirectory() as name, CannedCognito(events=1) as server:
        loads = {load: _under(Path(name), server, plan, *polling) for load, polling in _LOADS.items()}
    idle = median(loads.pop(_IDLE).scrapes)
    for load, seen in loads.items():
        case = f"{plan.size}, {load}"
        yield row(_PART, case, "longest scrape/idle scrape", max(seen.scrapes) / idle, goal=_FIVE_TIMES)
        yield row(_PART, case, "scrape/idle scrape", median(seen.scrapes) / idle)
        yield row(_PART, case, "longest scrape", 1e3 * max(seen.scrapes), "ms")
        yield row(_PART, case, "polls a second", seen.polls_per_second, "/s")
    yield row(_PART, f"{plan.size}, {_IDLE}", "scrape", 1e3 * idle, "ms")


@dataclass(frozen=True, slots=True)
class _Seen:
    """How long scrapes took, in seconds, and what was polled meanwhile."""

    scrapes: Sequence[float]
    polls_per_second: float


def _under(folder: Path, server: CannedCognito, plan: Plan, requests_per_second: float, min_interval: str) -> _Seen:
    with _exporter(folder, server, plan, requests_per_second, min_interval) as exporter:
        wait_until(lambda: exporter.total(_EVENTS_TOTAL) >= plan.users, "the series", _LONGEST, every=0.5)
        before, begun = server.served(), time.monotonic()
        scrapes = _scrapes(exporter, plan)
        return _Seen(scrapes, (server.served() - before) / (time.monotonic() - begun))


def _exporter(
    folder: Path, server: CannedCognito, plan: Plan, requests_per_second: float, min_interval: str
) -> ExporterProcess:
    polling = {"requests_per_second": requests_per_second, "min_interval": min_interval, "max_staleness": "2h"}
    metrics = {"per_user": "hashed", "series_hold": "0s", "max_series": 2 * plan.users}
    return ExporterProcess(
        folder,
        server.url,
        selected(folder, plan.users),
        polling=polling,
        metrics=metrics,
        counting={"start": "beginning"},
    )


def _scrapes(exporter: ExporterProcess, plan: Plan) -> list[float]:
    """Return how long scrapes take, as Prometheus makes them: over one connection, with gzip."""
    connection = HTTPConnection(HOST, exporter.port, timeout=_LONGEST)
    try:
        for _ in range(_WARM_UP):
            _scrape(connection)
        return [_scrape(connection) for _ in range(plan.scrapes)]
    finally:
        connection.close()


def _scrape(connection: HTTPConnection) -> float:
    time.sleep(_BETWEEN_SCRAPES)
    begun = time.perf_counter()
    connection.request("GET", "/metrics", headers=_AS_PROMETHEUS)
    connection.getresponse().read()
    return time.perf_counter() - begun
