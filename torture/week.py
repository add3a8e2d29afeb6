"""`python -m torture.week`: a week of many users' traffic in half an hour, with a restart each simulated hour.

Every second restart is a SIGKILL. In the end all counters have to be exact, and the last day is set against the first.
"""

import argparse
import math
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

from tabulate import tabulate

from bench.exporter_process import OWN, ExporterProcess, Section
from bench.process import Server, free_port, wait_until
from exporter.simulator.traffic import POOL_ID, TrafficWorld
from torture.life import Killable
from torture.truth import Key, differences, expected
from torture.watcher import Watcher

_HOUR, _HOURS_A_DAY = 3600.0, 24
_LONGEST_WAY = 1200.0  # seconds from the last event to exact counters
_SCRAPE_INTERVAL = 1.0
_HISTORY = 24 * _HOUR
_SHOWN = 20  # lines of what is wrong
_MIB = 2.0**20
_POLL = 'operation="AdminListUserAuthEvents"'


@dataclass(frozen=True, slots=True)
class Plan:
    """Who lives how long; `speed` is how many seconds pass in a second, `requests` the budget of each of these."""

    users: int = 10_000
    hours: int = 7 * _HOURS_A_DAY
    speed: float = 300.0
    seed: int = 1
    requests: float = 200.0

    @property
    def hour(self) -> float:
        """How many seconds a simulated hour takes."""
        return _HOUR / self.speed

    @property
    def sections(self) -> Mapping[str, Section]:
        """The configuration, its times as much shorter as they may be: an event is shown up to 3 s after its creation."""
        round_of_all = math.ceil(1.25 * self.users / self.requests)
        return {
            "polling": {
                "requests_per_second": self.requests,
                "min_interval": "2s",
                "max_staleness": f"{max(5, round_of_all)}s",
                "discovery_interval": f"{max(1, round(self.hour))}s",
            },
            "counting": {"start": "beginning", "settle": self._scaled(900.0), "overlap": self._scaled(600.0)},
            "metrics": {"recent_window": self._scaled(_HOUR), "series_hold": "2s"},
        }

    def _scaled(self, seconds: float) -> str:
        return f"{max(4, round(seconds / self.speed))}s"


QUICK = Plan(users=300, hours=3, speed=900.0)


@dataclass(frozen=True, slots=True)
class Hour:
    """What is measured at the end of a simulated hour, over the life of the process in it; NaN where nothing was."""

    memory: float
    file: float
    latency: float
    polls: float
    lag: float
    start: float


_UNITS = {
    "memory": ("memory", "MiB"),
    "file": ("state file", "MiB"),
    "latency": ("a poll's request", "ms"),
    "polls": ("polls a second", "/s"),
    "lag": ("creation to count", "s"),
    "start": ("start to first answer", "s"),
}


class Restarted(ExporterProcess, Killable):
    """The exporter, in one simulated hour."""


class Week:
    """A week under way: its world, and the files of the exporter."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan = plan
        self._folder = folder
        self._start = time.time()
        self._until = self._start + plan.hours * plan.hour
        self.hours: list[Hour] = []

    def server(self) -> Server:
        """Return the process that is asked."""
        plan, port = self._plan, free_port()
        numbers = {"port": port, "seed": plan.seed, "users": plan.users, "start": self._start, "speed": plan.speed}
        numbers |= {"history": _HISTORY / plan.speed, "until": self._until}
        return Server("torture.week_world", *(f"--{name}={value!r}" for name, value in numbers.items()), port=port)

    def live(self, url: str, watcher: Watcher) -> None:
        """Live through all hours, with a restart at the end of each."""
        for number in range(self._plan.hours):
            with self._restarted(url) as exporter:
                answered = time.monotonic()
                watcher.watch(exporter.port)
                end = self._start + (number + 1) * self._plan.hour
                time.sleep(max(0.0, end - time.time()))
                self.hours.append(self._measured(exporter, answered))
                sys.stderr.write(f"hour {number + 1}: {self.hours[-1]}\n")
                watcher.rest()
                if number % 2:
                    exporter.kill()

    def become_exact(self, url: str, watcher: Watcher) -> list[str]:
        """Wait until all is counted; return what is not as it has to be."""
        truth = self._truth()
        with self._restarted(url) as exporter:
            watcher.watch(exporter.port)
            try:
                wait_until(lambda: not differences(watcher.record.shown, truth), "exact counters", _LONGEST_WAY, 1.0)
            except TimeoutError:
                return differences(watcher.record.shown, truth)
            time.sleep(2 * _SCRAPE_INTERVAL)
            return differences(watcher.record.shown, truth)

    def _restarted(self, url: str) -> Restarted:
        return Restarted(self._folder, url, {"all": True}, **self._plan.sections)

    def _measured(self, exporter: Restarted, answered: float) -> Hour:
        page = exporter.get("/metrics")
        files = [*self._folder.glob("data/*.db*")]
        return Hour(
            memory=exporter.resident_bytes / _MIB,
            file=sum(file.stat().st_size for file in files) / _MIB,
            latency=1e3 * _mean(page, f"{OWN}api_request_duration_seconds", _POLL),
            polls=_total(page, f"{OWN}polls_total") / (time.monotonic() - answered),
            lag=_mean(page, f"{OWN}event_lag_seconds"),
            start=answered - exporter.started,
        )

    def _truth(self) -> Mapping[Key, int]:
        plan = self._plan
        world = TrafficWorld(plan.seed, plan.users, self._start, plan.speed, _HISTORY / plan.speed)
        world.freeze(self._until)
        users = (user for user in world.users(POOL_ID, self._until) if user.enabled)
        return expected(world.truth(POOL_ID, user.username, self._until) for user in users)


def _mean(page: str, name: str, label: str = "") -> float:
    count = _total(page, f"{name}_count", label)
    return _total(page, f"{name}_sum", label) / count if count else math.nan


def _total(page: str, name: str, label: str = "") -> float:
    lines = (line for line in page.splitlines() if line.startswith((f"{name}{{", f"{name} ")) and label in line)
    return sum(float(line.split()[-1]) for line in lines)


def table(hours: Sequence[Hour]) -> str:
    """Return a Markdown table: the mean of each figure on each day, and the last day's to the first's."""
    days = [_means(hours[at : at + _HOURS_A_DAY]) for at in range(0, len(hours), _HOURS_A_DAY)]
    head = ("figure", *(f"day {number + 1}" for number in range(len(days))), "last day/first day")
    rows = [
        (f"{text} ({unit})", *(f"{day[name]:.3g}" for day in days), f"{days[-1][name] / max(1e-9, days[0][name]):.2f}")
        for name, (text, unit) in _UNITS.items()
    ]
    return tabulate(rows, head, tablefmt="github", disable_numparse=True)


def _means(hours: Iterable[Hour]) -> Mapping[str, float]:
    columns = zip(*map(astuple, hours), strict=True)
    return {field.name: _mean_of(column) for field, column in zip(fields(Hour), columns, strict=True)}


def _mean_of(column: Sequence[float]) -> float:
    """Return the mean over the hours in which there was anything to measure."""
    measured = [value for value in column if not math.isnan(value)]
    return fmean(measured) if measured else math.nan


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the seed, the table and the totals; return 0, or 1 where a counter was not exact or has fallen."""
    plan = _plan(arguments)
    sys.stdout.write(f"seed: {plan.seed}\n")
    sys.stdout.flush()
    with TemporaryDirectory() as name:
        week = Week(plan, Path(name))
        with week.server() as server, Watcher(lambda: sys.maxsize, _SCRAPE_INTERVAL) as watcher:
            week.live(server.url, watcher)
            wrong = week.become_exact(server.url, watcher)
    record = watcher.record
    wrong += record.wrong
    sys.stdout.write(f"{table(week.hours)}\n\n{plan.users:,} users, {plan.hours} hours and as many restarts: ")
    sys.stdout.write(
        f"{record.total:,.0f} events, {record.series} series, {record.scrapes:,} scrapes, {len(wrong)} wrong\n"
    )
    sys.stderr.writelines(f"{line}\n" for line in wrong[:_SHOWN])
    return 1 if wrong else 0


def _plan(arguments: Sequence[str] | None) -> Plan:
    parser = argparse.ArgumentParser(prog="python -m torture.week", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short version: it shows that a week would be exact")
    for field in fields(Plan):
        parser.add_argument(f"--{field.name}", type=type(field.default))
    flags = vars(parser.parse_args(arguments))
    usual = QUICK if flags.pop("quick") else Plan()
    return Plan(**{name: getattr(usual, name) if value is None else value for name, value in flags.items()})


if __name__ == "__main__":
    sys.exit(main())
