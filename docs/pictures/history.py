#!/usr/bin/env python3
"""Hours of an exporter's life, scraped into an OpenMetrics file while a fast clock lets them pass in minutes.

Simulator, exporter and this scraper are processes as usual. They share a clock that libfaketime speeds up, their sleeps and
timeouts too, so rates, lags and budgets are those of real hours: `faketime -f '@2026-09-14 18:00:00 x40' ./history.py 25 FILE`,
with FAKETIME_DONT_RESET=1, without which the clock would start anew with each process.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import TextIO

_ROOT = Path(__file__).parents[2]
_SPEED = float(os.environ["FAKETIME"].rpartition("x")[2])
_HOST = "127.0.0.1"
_WORLD = ("--seed=24", "--users=300", "--activity=6", "--history=86400")  # a seed with an attack upon each pool
_TROUBLE = ("--throttle=0.0001", "--server-error=0.0004", "--reset=0.0002")
# A request takes its time by a clock that is not fast, hence the long timeout, and a real processor, hence the small budget.
_POLLING = {"requests_per_second": 1.0, "request_timeout": "60s"}
_SCRAPE_INTERVAL = 30.0
_TIMEOUT = 600.0  # seconds of the fast clock, which the machine does not know of
_RESTART_AT = 0.8  # of the whole
_DOWNTIME = 60.0
_OPENMETRICS = "application/openmetrics-text; version=1.0.0"
_TARGET = 'job="cognito",instance="localhost:10078"'
_OF_SCRAPES = ("up", "scrape_duration_seconds")
_START_TIME = "process_start_time_seconds"
_POOLS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "customers": ("eu-west-1_Customers", {"all": True}),
    "staff": ("eu-west-1_Staff", {"groups": ["administrators", "support"]}),
}
_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_FAKE_STAT": "1",  # else Python would take its compiled modules for outdated
    "TZ": "UTC",
}

Points = tuple["array[float]", "array[float]"]


class History:
    """What was scraped, by family and series, as `promtool tsdb create-blocks-from openmetrics` takes it."""

    def __init__(self) -> None:
        self._descriptions: dict[str, list[str]] = {name: [f"# TYPE {name} gauge"] for name in _OF_SCRAPES}
        self._points: dict[str, dict[str, Points]] = {}

    def add(self, exposition: str, moment: float, started: float) -> None:
        """Add a scrape of a process that was started at `started`, both in epoch seconds of the fast clock."""
        family = ""
        for line in exposition.splitlines():
            if line.startswith("#"):
                family = self._describe(line) or family
                continue
            series, _, value = line.partition(" # ")[0].rpartition(" ")
            # The process reads its own start from /proc, which keeps the machine's clock.
            self._put(family, series, moment, started if series == _START_TIME else float(value))

    def add_scrape(self, moment: float, seconds: float, up: bool) -> None:
        """Add what Prometheus itself notes of a scrape: whether it was answered, and the seconds that it took."""
        self._put("up", "up", moment, float(up))
        self._put("scrape_duration_seconds", "scrape_duration_seconds", moment, seconds)

    def write(self, to: TextIO) -> None:
        """Write one family after the other, each series in the order of time."""
        for family, descriptions in self._descriptions.items():
            to.writelines(f"{line}\n" for line in descriptions)
            for series, (moments, values) in self._points.get(family, {}).items():
                to.writelines(f"{series} {value!r} {moment!r}\n" for moment, value in zip(moments, values, strict=True))
        to.write("# EOF\n")

    def _describe(self, line: str) -> str | None:
        if line == "# EOF":
            return None
        family = line.split(" ", 3)[2]
        lines = self._descriptions.setdefault(family, [])
        if line not in lines:
            lines.append(line)
        return family

    def _put(self, family: str, series: str, moment: float, value: float) -> None:
        name, _, labels = series.removesuffix("}").partition("{")
        key = f"{name}{{{_TARGET}{labels and ','}{labels}}}"
        moments, values = self._points.setdefault(family, {}).setdefault(key, (array("d"), array("d")))
        moments.append(moment)
        values.append(value)


@contextmanager
def _running(*arguments: str) -> Iterator[float]:
    """Run a module of Python, and give the moment at which it was started."""
    started = time.time()
    process = subprocess.Popen([sys.executable, "-m", *arguments], cwd=_ROOT, env=os.environ | _ENVIRONMENT)  # noqa: S603 - our own
    try:
        yield started
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _simulator(port: int) -> tuple[str, ...]:
    pools = (f"--user-pool-id={pool_id}" for pool_id, _ in _POOLS.values())
    return ("exporter.simulator", f"--port={port}", *_WORLD, *_TROUBLE, *pools)


def _exporter(folder: Path, port: int, simulator_port: int) -> tuple[str, ...]:
    endpoint = f"http://{_HOST}:{simulator_port}"
    pools = [
        {"id": pool_id, "name": name, "endpoint_url": endpoint, "users": users}
        for name, (pool_id, users) in _POOLS.items()
    ]
    config = folder / "config.yaml"
    sections = {"user_pools": pools, "polling": _POLLING, "event_log": {"path": "events.jsonl"}}
    config.write_text(json.dumps(sections))  # YAML takes JSON as it is
    return ("exporter", f"--config.file={config}", f"--web.listen-address={_HOST}:{port}", "--log.level=warn")


def _scrape(port: int) -> str:
    connection = HTTPConnection(_HOST, port, timeout=_TIMEOUT)
    try:
        connection.request("GET", "/metrics", headers={"Accept": _OPENMETRICS})
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def _moments(begin: float, end: float) -> Iterator[float]:
    """Wait for each moment of a scrape in turn."""
    for moment in count(begin, _SCRAPE_INTERVAL):
        if moment >= end:
            return
        time.sleep(max(0.0, moment - time.time()))
        yield moment


def _watch(history: History, port: int, end: float, started: float) -> None:
    for moment in _moments(time.time(), end):
        begun = time.monotonic()
        try:
            history.add(_scrape(port), moment, started)
        except ConnectionRefusedError:
            up = False
        else:
            up = True
        history.add_scrape(moment, (time.monotonic() - begun) / _SPEED, up)


def live(hours: float, folder: Path) -> History:
    """Return so many hours of an exporter that is restarted once; its files are in the folder."""
    history, ports = History(), (_free_port(), _free_port())
    begin = time.time()
    stop, end = begin + _RESTART_AT * hours * 3600.0, begin + hours * 3600.0
    arguments = _exporter(folder, *ports)
    with _running(*_simulator(ports[1])):
        with _running(*arguments) as started:
            _watch(history, ports[0], stop, started)
        _watch(history, ports[0], stop + _DOWNTIME, started)
        with _running(*arguments) as started:
            _watch(history, ports[0], end, started)
    return history


def main(hours: str, file: str) -> None:
    """Write so many hours into a file."""
    with tempfile.TemporaryDirectory() as folder:
        history = live(float(hours), Path(folder))
    with Path(file).open("w") as to:
        history.write(to)


if __name__ == "__main__":
    main(*sys.argv[1:])
