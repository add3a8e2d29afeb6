"""Faults that nobody here wrote: microburst in front of an independent Cognito, which fails as its authors know AWS to fail."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import WAIT, Process, Start, eventually, free_port, need
from tests.e2e.test_ministack import CONFIG, Pool, ministack

__all__ = ["ministack"]

PEOPLE = ("ada", "grace", "edsger", "barbara", "alan", "katherine", "donald", "frances")
EFFECTS: Mapping[str, Mapping[str, Any]] = {
    "throttled": {"error": {"code": "TooManyRequestsException"}},
    "server_error": {"error": {"code": "InternalErrorException"}},
    "an error of their choice": {"error": {}},
    "connection": {"reset": True},
    "connection, after half a body": {"response": {"abort_frac": 0.5}},
    "timeout": {"timeout_ms": 3000},
    "malformed": {"response": {"truncate_frac": 0.5}},
    "malformed, by wrong bytes": {"response": {"corrupt_bytes": 8}},
    "ok, after a while": {"latency": {"min": 100, "max": 500}},
}
"""What microburst does to a request, by what the exporter says of it."""
SHARE = 0.4  # of requests that one of these befalls


def _rules() -> Sequence[Mapping[str, Any]]:
    """Return microburst's rules; each has its chance where none before it has taken the request."""
    part = SHARE / len(EFFECTS)
    chances = [part / (1.0 - part * before) for before in range(len(EFFECTS))]
    return [
        {"service": "cognito-idp", "probability": chance, **effect}
        for chance, effect in zip(chances, EFFECTS.values(), strict=True)
    ]


@pytest.fixture
def microburst(ministack: str, tmp_path: Path) -> Iterator[str]:
    """Start microburst in front of ministack, still without rules, and return its address."""
    command = need(Path(sys.prefix) / "bin" / "microburst", "run `make test`, which installs it")
    port = free_port()
    process, url = (
        Process([command, "--upstream", ministack, "--port", str(port)], tmp_path),
        f"http://127.0.0.1:{port}",
    )
    try:
        eventually(lambda: httpx.get(f"{url}/_microburst/health").status_code == 200, "microburst")
        yield url
    finally:
        process.close()


def test_foreign_faults_cost_no_count(ministack: str, microburst: str, start: Start, tmp_path: Path) -> None:
    """With every kind of fault that microburst has, at two fifths of the requests, what is counted is what boto3 reads."""
    pool = Pool(ministack)  # people sign in, and the truth is read, without faults
    pool.api.create_group(GroupName="staff", UserPoolId=pool.id)
    for name in PEOPLE:
        pool.hire(name)
    # it reads botocore's models first, which takes seconds on a busy machine
    rules = httpx.post(f"{microburst}/_microburst/rules", json=_rules(), timeout=WAIT).json()
    numbers = {rule["id"] for rule in rules}
    config = CONFIG.format(pool=pool.id, url=microburst).replace(
        "min_interval", "max_staleness: 4s, request_timeout: 2s, min_interval"
    )
    (tmp_path / "config.yaml").write_text(config)
    exporter = start()

    def happened_to() -> set[int]:
        fired = httpx.get(f"{microburst}/_microburst/fired?limit=100000", timeout=WAIT).json()
        return {each["rule_id"] for each in fired}

    people = cycle(PEOPLE)

    def live() -> bool:
        name = next(people)
        pool.sign_in(name, "wrong")
        pool.sign_in(name)
        return happened_to() == numbers

    def counted() -> Counter[tuple[str, str]]:
        by: Counter[tuple[str, str]] = Counter()
        for labels, value in exporter.samples("cognito_auth_events_total").items():
            by[dict(labels)["event_type"], dict(labels)["response"]] += int(value)
        return by

    eventually(live, "every kind of fault")
    eventually(lambda: counted() == pool.truth(), "exact counts")
    told = {dict(labels)["outcome"] for labels in exporter.samples("cognito_auth_exporter_api_requests_total")}
    assert told >= {"ok", "throttled", "server_error", "connection", "timeout", "malformed"}
    assert exporter.end() == 0
    assert "Traceback" not in exporter.output
    assert "by a fault" not in exporter.output
