"""The exporter as its users run it: a process, a configuration file, a state file on disk, pages over HTTP."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.canned import POOL_ID
from bench.process import HOST, Server, free_port

OWN = "cognito_auth_exporter_"
MOST_REQUESTS = 10_000.0  # a second: the greatest budget a configuration may have, so that it is none
_USERS_FILE = "users.txt"

Section = Mapping[str, Any]


class ExporterProcess(Server):
    """`python -m exporter` with its files in `folder`; a second one in the same folder goes on with the first one's state."""

    def __init__(self, folder: Path, url: str, users: Section, **sections: Section) -> None:
        """Take the endpoint's address, the selectors, and sections of the configuration."""
        pool = {"id": POOL_ID, "name": "bench", "endpoint_url": url, "users": users}
        config = folder / "config.yaml"
        config.write_text(json.dumps({"user_pools": [pool], **sections}))  # YAML takes JSON as it is
        port = free_port()
        super().__init__("exporter", f"--config.file={config}", f"--web.listen-address={HOST}:{port}", port=port)

    def total(self, name: str) -> float:
        """Return the sum over the samples of a name."""
        lines = self.get("/metrics").splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))


def usernames(users: int) -> list[str]:
    """Return the names of so many users, all of one length."""
    return [f"user-{number:07d}" for number in range(users)]


def selected(folder: Path, users: int) -> Section:
    """Write a file of so many users, and return the selectors that read it."""
    (folder / _USERS_FILE).write_text("".join(f"{name}\n" for name in usernames(users)))
    return {"files": [_USERS_FILE]}
