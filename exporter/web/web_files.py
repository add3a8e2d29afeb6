"""The web configuration as it is now: its files are looked at whenever it is asked for, and read again once they changed."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYetError
from pathlib import Path
from typing import Any, cast

from exporter.configuration.errors import ConfigError, Problem
from exporter.web.file_reader import Stamp, no_stamp, stamp
from exporter.web.tls import TLSSettings
from exporter.web.web_config import BrokenWebConfigError, WebConfig, load_web_config

_PATIENCE = 0.25  # seconds
_TIMES_AT_RELOAD = 20  # as patient: requests are answered meanwhile
_RESTART = "TLS cannot be turned on or off while the exporter runs: restart it, or take that change back"

Found = WebConfig | BrokenWebConfigError
Load = Callable[[Path], WebConfig]


class WebConfigError(Exception):
    """The web configuration is broken now; the text says how."""


class WebConfigFiles:
    """A web configuration file and those it names. All methods are called from one thread, that of the event loop.

    A disk is looked at in a thread that is waited for `patience` seconds at most, and once only: until it answers, what
    was known last counts.
    """

    def __init__(self, path: Path, logger: Any, *, patience: float = _PATIENCE, load: Load = load_web_config) -> None:
        """Read the files; raises `ConfigError`."""
        self._path = path
        self._log = logger
        self._patience = patience
        self._load = load
        self._thread = ThreadPoolExecutor(1, "web-config")
        self._looking: Future[Found | None] | None = None
        self._error: str | None = None
        self._last = load(path)
        self._stamps: Mapping[Path, Stamp] = self._last.stamps
        self._warn(self._last.warnings)

    def current(self) -> WebConfig:
        """Return the configuration as it is now. Raises `WebConfigError` where it is broken now."""
        self._look()
        if self._error is not None:
            raise WebConfigError(self._error)
        return self._last

    @property
    def last_good(self) -> WebConfig:
        """The last configuration that was not broken, without looking again."""
        return self._last

    def security(self) -> TLSSettings:
        """Return what a new connection is met with, the settings as they are now or the last good ones, where there is TLS."""
        self._look()
        return cast("TLSSettings", self._last.tls)

    async def reload(self) -> None:
        """Read the files now, changed or not. Raises `ConfigError` or `WebConfigError`; what was known last still counts."""
        seconds = _TIMES_AT_RELOAD * self._patience
        reading = asyncio.wrap_future(self._thread.submit(lambda: _read(self._path, self._load)))
        try:
            found = await asyncio.wait_for(reading, seconds)
        except TimeoutError:
            raise WebConfigError(f"{self._path}: could not be read in {seconds:g} s") from None
        self._collect()  # an older look, which has ended before
        self._take(found)
        if isinstance(found, ConfigError):
            raise found
        if self._error is not None:
            raise WebConfigError(self._error)

    def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(wait=False)

    def _look(self) -> None:
        self._collect()
        if self._looking is not None:
            return  # no second wait for a disk that hangs
        stamps, path, load = self._stamps, self._path, self._load
        self._looking = self._thread.submit(lambda: None if _unchanged(stamps) else _read(path, load))
        try:
            self._looking.result(self._patience)
        except NotYetError:
            self._log.warning(
                "the web configuration cannot be looked at: what was known last counts", file=str(self._path)
            )
        self._collect()

    def _collect(self) -> None:
        """Take what a look has found, once it has."""
        if self._looking is None or not self._looking.done():
            return
        found, self._looking = self._looking.result(), None
        if found is not None:
            self._take(found)

    def _take(self, found: Found) -> None:
        self._stamps = found.stamps
        if isinstance(found, BrokenWebConfigError):
            self._break(str(found))
        elif (found.tls is None) != (self._last.tls is None):
            self._break(f"{self._path}: {_RESTART}")
        else:
            self._mend(found)

    def _break(self, text: str) -> None:
        if text != self._error:
            self._log.error("the web configuration is broken: requests are answered with 500", reason=text)
        self._error = text

    def _mend(self, found: WebConfig) -> None:
        if self._error is not None:
            self._log.info("the web configuration is good again", file=str(self._path))
        changed = sorted(key for key, digest in found.digests.items() if self._last.digests.get(key) != digest)
        self._error = None
        if changed:
            self._log.info("the web configuration has changed", changed=", ".join(changed))
            self._warn([text for text in found.warnings if text not in self._last.warnings])
            self._last = found

    def _warn(self, texts: Iterable[str]) -> None:
        for text in texts:
            self._log.warning("the web configuration is not applied as it is written", reason=text)


def _unchanged(stamps: Mapping[Path, Stamp]) -> bool:
    return all(stamp(path) == known for path, known in stamps.items())


def _read(path: Path, load: Load) -> Found:
    try:
        return load(path)
    except BrokenWebConfigError as error:
        return error
    except Exception as error:  # noqa: BLE001 - whatever stands in a file: the process lives, and nobody is let in by it
        return BrokenWebConfigError(
            ConfigError([Problem(path, f"cannot be read: {type(error).__name__}")]), {path: no_stamp()}
        )
