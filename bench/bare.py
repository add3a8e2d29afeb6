"""The yardstick: boto3 alone, asking what the exporter asks, with nothing kept, counted or served."""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from bench.canned import POOL_ID
from bench.exporter_process import usernames
from bench.process import Child

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient
    from mypy_boto3_cognito_idp.type_defs import AuthEventTypeTypeDef


class Bare(Child):
    """boto3 in a process of its own, in one of the `MODES`."""

    def __init__(self, mode: str, url: str, users: int, workers: int = 1) -> None:
        super().__init__("bench.bare", mode, f"--url={url}", f"--users={users}", f"--workers={workers}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask as the mode says."""
    parser = argparse.ArgumentParser(prog="python -m bench.bare", description=__doc__)
    parser.add_argument("mode", choices=_MODES)
    parser.add_argument("--url", required=True)
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--workers", type=int, default=1)
    flags = parser.parse_args(arguments)
    _MODES[flags.mode](_client(flags.url, flags.workers), usernames(flags.users), flags.workers)
    return 0


def _client(url: str, workers: int) -> "CognitoIdentityProviderClient":
    config = Config(max_pool_connections=workers)
    return boto3.client("cognito-idp", region_name=POOL_ID.partition("_")[0], endpoint_url=url, config=config)


def _poll(client: "CognitoIdentityProviderClient", users: Sequence[str], workers: int) -> None:
    """Ask for everybody's first page, again and again, until the process is ended."""
    with ThreadPoolExecutor(workers) as threads:
        for number in range(workers):
            threads.submit(_poll_each, client, users[number::workers])


def _poll_each(client: "CognitoIdentityProviderClient", users: Sequence[str]) -> None:
    for user in cycle(users):
        client.admin_list_user_auth_events(UserPoolId=POOL_ID, Username=user)


def _ingest(client: "CognitoIdentityProviderClient", users: Sequence[str], _workers: int) -> None:
    """Count everybody's whole history once; print the events, the seconds and the CPU seconds it took."""
    begun, cpu = time.monotonic(), time.process_time()
    counts: Counter[tuple[str | None, ...]] = Counter()
    pages = client.get_paginator("admin_list_user_auth_events")
    for user in users:
        for page in pages.paginate(UserPoolId=POOL_ID, Username=user):
            counts.update(map(_labels, page["AuthEvents"]))
    took = {"events": counts.total(), "seconds": time.monotonic() - begun, "cpu_seconds": time.process_time() - cpu}
    sys.stdout.write(json.dumps(took))


def _labels(event: "AuthEventTypeTypeDef") -> tuple[str | None, ...]:
    return (
        event.get("EventType"),
        event.get("EventResponse"),
        event.get("EventRisk", {}).get("RiskLevel"),
        event.get("EventContextData", {}).get("Country"),
    )


_MODES: Mapping[str, Callable[["CognitoIdentityProviderClient", Sequence[str], int], None]] = {
    "poll": _poll,
    "ingest": _ingest,
}

if __name__ == "__main__":
    sys.exit(main())
