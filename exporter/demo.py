"""The demonstration: the exporter against the embedded simulator, with a configuration that shows something soon."""

import time
from types import TracebackType
from typing import Self

from exporter.configuration.models import Config
from exporter.fetch.sources import RequestObserver, SourceFactory, cognito_sources
from exporter.simulator.server import Simulator
from exporter.simulator.traffic import TrafficWorld, demo_activity

_POOL = "eu-west-1_Simulated"
_SEED = 1
_HISTORY = 3600.0  # seconds that have happened before the demo starts


class Demonstration:
    """A simulated Cognito for as long as the context lasts, and the configuration to poll it by."""

    def __init__(self, users: int, speed: float) -> None:
        world = TrafficWorld(
            _SEED, users, time.time(), speed, _HISTORY, activity=demo_activity(users), pool_ids=(_POOL,)
        )
        self._users = users
        self._simulator = Simulator(world)

    @property
    def config(self) -> Config:
        """The configuration: everybody is polled every few seconds, and new series are held at zero for a moment only."""
        return Config.model_validate(
            {
                "user_pools": [
                    {"id": _POOL, "name": "demo", "endpoint_url": self._simulator.url, "users": {"all": True}}
                ],
                "polling": {
                    "requests_per_second": float(min(200, max(20, self._users // 2))),
                    "min_interval": "3s",
                    "max_staleness": "1m",
                    "discovery_interval": "1m",
                },
                "counting": {"start": "1h", "settle": "2m"},
                "state": {"path": ":memory:"},
                "metrics": {"series_hold": "2s"},
            }
        )

    def sources(self, observe: RequestObserver) -> SourceFactory:
        """Return what makes the pool's source, with keys that mean nothing."""
        return cognito_sources(observe, static=("demo", "demo"))

    def __enter__(self) -> Self:
        self._simulator.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._simulator.__exit__(kind, error, trace)
