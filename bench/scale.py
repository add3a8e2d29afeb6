"""What many users cost: memory, start, end, bytes written."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.canned import POOL_OPERATION, CannedCognito
from bench.exporter_process import OWN, ExporterProcess, Section, selected
from bench.process import wait_until
from bench.table import Goal, Row, markdown, row

_PART = "scale"
_BASE = 10  # users of the process that the others are compared with
_JUDGED = 100_000  # users from which on memory per user is more than noise
_BYTES, _START, _END = Goal("<=", 300.0), Goal("<=", 5.0), Goal("<=", 2.0)
_LONGEST = 300.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How many users, and how to poll them: the second discovery begins once the first polls are made."""

    sizes: Sequence[int] = (1000, 100_000, 1_000_000)
    requests_per_second: float = 50.0
    discovery_interval: str = "10s"
    watched: int = 150
    """Polls over which bytes written and CPU time are taken."""

    @property
    def polling(self) -> Section:
        """The section of the configuration."""
        return {
            "requests_per_second": self.requests_per_second,
            "min_interval": "1s",
            "max_staleness": "1h",
            "discovery_interval": self.discovery_interval,
        }


QUICK = Plan(sizes=(1000,), requests_per_second=200.0, discovery_interval="2s", watched=40)


@dataclass(frozen=True, slots=True)
class FirstLife:
    """What a process took that began without a state: bytes, CPU seconds, and seconds from SIGTERM to its exit."""

    first: float
    second: float
    peak: float
    written_per_poll: float
    cpu_per_poll: float
    end: float


@dataclass(frozen=True, slots=True)
class SecondLife:
    """What a process took that began with the first one's state: seconds to its first poll, and from SIGTERM to its exit."""

    first_poll: float
    end: float


def rows(quick: bool) -> Iterator[Row]:
    """Measure each size, and set its memory against that of a process with hardly any users."""
    return _rows(QUICK if quick else Plan())


def _rows(plan: Plan) -> Iterator[Row]:
    with TemporaryDirectory() as name:
        base = _first_life(Path(name), _BASE, plan)
    for users in plan.sizes:
        with TemporaryDirectory() as name:
            first = _first_life(Path(name), users, plan)
            second = _second_life(Path(name), users, plan)
        yield from _memory(users, first, base)
        yield from _lives(users, first, second)


def _memory(users: int, life: FirstLife, base: FirstLife) -> Iterator[Row]:
    case, goal = _case(users), _BYTES if users >= _JUDGED else None
    again = (life.second - base.second) / users
    yield row(_PART, case, "memory per user", (life.first - base.first) / users, "B", goal)
    yield row(_PART, case, "memory per user after a second discovery", again, "B", goal)
    yield row(_PART, case, "memory per user at the peak", (life.peak - base.peak) / users, "B")
    yield row(_PART, case, "memory in all", life.second / 2**20, "MiB")


def _lives(users: int, first: FirstLife, second: SecondLife) -> Iterator[Row]:
    case = _case(users)
    yield row(_PART, case, "written to disk per poll", first.written_per_poll, "B")
    yield row(_PART, case, "CPU per poll", 1e6 * first.cpu_per_poll, "µs")
    yield row(_PART, case, "start to first poll", second.first_poll, "s", _START if users <= _JUDGED else None)
    yield row(_PART, case, "SIGTERM to exit", max(first.end, second.end), "s", _END)


def _case(users: int) -> str:
    return f"{users:,} users"


@contextmanager
def _running(folder: Path, users: int, plan: Plan) -> Iterator[tuple[ExporterProcess, CannedCognito]]:
    with CannedCognito() as server:
        selectors = selected(folder, users)
        with ExporterProcess(folder, server.url, selectors, polling=plan.polling) as exporter:
            yield exporter, server


def _first_life(folder: Path, users: int, plan: Plan) -> FirstLife:
    """Take memory after each of two discoveries."""
    with _running(folder, users, plan) as (exporter, server):
        wait_until(lambda: exporter.total(OWN + "users") >= users, f"{users} users", _LONGEST)
        written, cpu = _per_poll(exporter, server, min(plan.watched, users))
        memory = exporter.resident_bytes
        # the pool's mode is asked for at each discovery
        wait_until(lambda: server.served(POOL_OPERATION) > 1, "a second discovery", _LONGEST)
        polls = server.served()
        wait_until(lambda: server.served() > polls, "a poll after it", _LONGEST)
        return FirstLife(memory, exporter.resident_bytes, exporter.peak_bytes, written, cpu, exporter.end())


def _per_poll(exporter: ExporterProcess, server: CannedCognito, polls: int) -> tuple[float, float]:
    """Return bytes written and CPU seconds per poll, over users' first polls."""
    wait_until(lambda: server.served() > 0, "the first poll", _LONGEST)
    written, cpu, served = exporter.written_bytes, exporter.cpu_seconds, server.served()
    wait_until(lambda: server.served() >= served + polls, f"{polls} polls", _LONGEST)
    made = server.served() - served
    return (exporter.written_bytes - written) / made, (exporter.cpu_seconds - cpu) / made


def _second_life(folder: Path, users: int, plan: Plan) -> SecondLife:
    with _running(folder, users, plan) as (exporter, server):
        wait_until(lambda: server.served() > 0, "the first poll", _LONGEST)
        return SecondLife(server.figures()["first"] - exporter.started, exporter.end())


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the sizes that are given."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=Plan().sizes)
    flags = parser.parse_args(arguments)
    sys.stdout.write(markdown(_rows(Plan(sizes=flags.users))) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
