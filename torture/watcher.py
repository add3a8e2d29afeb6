"""Scrapes as fast as is reasonable, over all lives of a process, and sees that no counter ever falls, vanishes or runs ahead."""

import re
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from http.client import HTTPConnection, HTTPException
from types import MappingProxyType, TracebackType
from typing import Self

from bench.process import HOST
from exporter.metrics.families import FAMILIES
from torture.truth import EVENTS, Key, country

_EVERY = 0.02  # seconds from an answer to the next scrape
_LONGEST_SCRAPE = 10.0
_LABELS = MappingProxyType({family.name: family.labels[1:] for family in FAMILIES if family.counts is not None})
_LINE = re.compile(r"^(cognito_auth_\w+_total)\{(.*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def counters(page: str) -> dict[Key, float]:
    """Return the counters of the ledger on a page of metrics; what a reload may rename goes by one name."""
    samples = (match.groups() for match in _LINE.finditer(page))
    return {_key(name, labels): float(value) for name, labels, value in samples if name in _LABELS}


@lru_cache(100_000)
def _key(name: str, labels: str) -> Key:
    values = dict(_LABEL.findall(labels))
    return (name, *(country(values[label]) if label == "country" else values[label] for label in _LABELS[name]))


class Record:
    """What all scrapes so far have shown, and what was wrong with them."""

    def __init__(self) -> None:
        self.shown: dict[Key, float] = {}
        self.scrapes = 0
        self.series = 0
        self.wrong: list[str] = []

    @property
    def total(self) -> float:
        """The number of events in the newest scrape."""
        return sum(value for key, value in self.shown.items() if key[0] == EVENTS)

    def add(self, scrape: Mapping[Key, float], most: int) -> None:
        """Judge a scrape; `most` is how many events there were when it had been answered."""
        self.wrong += [
            f"{' '.join(key)} {'is not shown' if key not in scrape else f'is {scrape[key]:g}'} after {before:g}"
            for key, before in self.shown.items()
            if scrape.get(key, -1.0) < before
        ]
        self.shown = {**self.shown, **scrape}
        self.scrapes += 1
        self.series = max(self.series, len(scrape))
        if self.total > most:
            self.wrong.append(f"{self.total:g} events are shown, and there are {most}")

    def begin_anew(self) -> None:
        """Expect counters to begin at 0: there is no state any more."""
        self.shown = {}


class Watcher:
    """Scrapes the port of whichever process is named by `watch`, for as long as the context lasts."""

    def __init__(self, most: Callable[[], int], every: float = _EVERY) -> None:
        self.record = Record()
        self._most = most
        self._every = every
        self._port = 0
        self._since = 0
        self._lock = threading.Lock()  # held over a whole scrape, so that none is judged by what holds for the next
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()

    def watch(self, port: int, *, anew: bool = False) -> None:
        """Scrape this port from now on; `anew`: it serves a state that was made anew."""
        with self._lock:
            self._port, self._since = port, self.record.scrapes
            if anew:
                self.record.begin_anew()

    def rest(self) -> None:
        """Scrape nobody until the next `watch`."""
        self.watch(0)

    @property
    def has_answer(self) -> bool:
        """Tell whether the port has been scraped since it was named."""
        return self.record.scrapes > self._since

    def _watch(self) -> None:
        while not self._ending.wait(self._every):
            with self._lock, suppress(OSError, HTTPException):
                if self._port:
                    page = _page(self._port)
                    self.record.add(counters(page), self._most())


def _page(port: int) -> str:
    """Return the page of metrics. Raises OSError or HTTPException where there is none, or not all of it."""
    connection = HTTPConnection(HOST, port, timeout=_LONGEST_SCRAPE)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()
