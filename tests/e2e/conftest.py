"""A scripted Cognito, and configurations that point to it."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.simulator.server import Simulator
from exporter.simulator.world import ScriptedWorld, auth_event

POOL = "eu-west-1_Scripted"

CONFIG = """
user_pools:
  - id: {pool}
    name: scripted
    endpoint_url: {url}
    users: {{{users}}}
polling: {{requests_per_second: 200, min_interval: 1s, max_staleness: 1m, discovery_interval: 2s, request_timeout: 2s}}
counting: {{start: {start}, settle: 3s}}
metrics: {{series_hold: {hold}}}
"""


class Town:
    """A scripted pool with some users, and the configuration to poll it."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.world = ScriptedWorld()
        self.world.add_pool(POOL)
        self.simulator = Simulator(self.world, **options)
        self.faults = self.simulator.faults
        self.config = folder / "config.yaml"
        self.truth = 0

    def configure(self, users: str = "all: true", start: str = "beginning", hold: str = "0s", more: str = "") -> None:
        """Write the configuration."""
        text = CONFIG.format(pool=POOL, url=self.simulator.url, users=users, start=start, hold=hold)
        self.config.write_text(text + more)

    def settle(self, *usernames: str) -> None:
        """Have users move in."""
        for username in usernames:
            self.world.add_user(POOL, username)

    def happen(self, username: str, number: int = 1, **fields: object) -> None:
        """Let a user sign in so many times just now."""
        for _ in range(number):
            self.world.add_event(POOL, username, auth_event(time.time(), **fields))
            self.truth += 1


@pytest.fixture
def town(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Town]:
    """Return a town whose simulator ends with the test; a test's parameter has options of the simulator."""
    made = Town(tmp_path, **getattr(request, "param", {}))
    made.configure()
    yield made
    made.simulator.close()
