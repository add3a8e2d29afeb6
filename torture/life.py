"""One life of the exporter: a process on a state file that lives of it before may have left."""

import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.process import HOST, Child, free_port
from torture.town import OVERLAP, POOL, SETTLE
from torture.traced import Strike

_STATE = "state.db"


class Place:
    """The folder of a scenario: its configuration and its state."""

    def __init__(self, folder: Path, url: str, usernames: Sequence[str]) -> None:
        self.state = folder / _STATE
        self.log = folder / f"{_STATE}-wal"
        self.config = folder / "config.yaml"
        self._url = url
        self._usernames = usernames
        self.configure()

    def configure(self, *, name: str = "torture", country: str = "code", exclude: Sequence[str] = ()) -> None:
        """Write the configuration: everybody is polled, but for the excluded."""
        users = {"all": True, "usernames": self._usernames, "exclude": exclude}
        text = {
            "user_pools": [{"id": POOL, "name": name, "endpoint_url": self._url, "users": users}],
            "polling": {
                "requests_per_second": 100.0,
                "min_interval": "1s",
                "max_staleness": "5s",
                "discovery_interval": "1s",
                "request_timeout": "2s",
            },
            "counting": {"start": "beginning", "settle": f"{SETTLE:g}s", "overlap": f"{OVERLAP:g}s"},
            "state": {"path": _STATE},
            "metrics": {"series_hold": "1s", "country": country},
        }
        new = self.config.with_suffix(".new")
        new.write_text(json.dumps(text))  # YAML takes JSON as it is
        new.replace(self.config)

    def forget(self) -> None:
        """Take the state away, and what a kill has left beside it."""
        for file in self.state.parent.iterdir():
            if file != self.config:
                file.unlink()


class Killable(Child):
    """A process that may be killed."""

    def kill(self) -> None:
        """Kill it, whatever it does."""
        self._process.kill()
        self._process.wait()


class Life(Killable):
    """`python -m exporter` from its start to its end, by a signal or by a strike."""

    def __init__(self, place: Place, strike: Strike | None = None) -> None:
        self.port = free_port()
        tracer = () if strike is None else ("torture.traced", *strike.arguments(), sys.executable, "-m")
        flags = (f"--config.file={place.config}", f"--web.listen-address={HOST}:{self.port}")
        super().__init__(*tracer, "exporter", *flags)

    def close(self) -> None:
        """End it if it runs, and let go of what it leaves; a second call does nothing."""
        self.__exit__()

    def reload(self) -> None:
        """Have it read its configuration anew."""
        self._process.send_signal(signal.SIGHUP)

    @property
    def status(self) -> int | None:
        """Its exit status, negative for the signal that ended it, None while it runs."""
        return self._process.poll()
