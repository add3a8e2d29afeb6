"""`python -m exporter.simulator`: the simulator in the foreground."""

import argparse
import signal
import sys
import time
from collections.abc import Sequence

from exporter.simulator.faults import Faults, Kind
from exporter.simulator.server import LOOPBACK, Simulator
from exporter.simulator.traffic import POOL_ID, TrafficWorld, demo_activity

_STOPPING = (signal.SIGTERM, signal.SIGINT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return 0, or 1 where the port is taken."""
    flags = _parser().parse_args(arguments)
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)  # before there are threads, which inherit it
    try:
        simulator = Simulator(_world(flags), faults=_faults(flags), host=flags.host, port=flags.port)
    except OSError as error:
        sys.stderr.write(f"cannot listen on {flags.host}:{flags.port}: {error.strerror}\n")
        return 1
    with simulator:
        sys.stdout.write(f"listening on {simulator.url}\n")
        sys.stdout.flush()
        signal.sigwait(_STOPPING)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m exporter.simulator", description="A simulator of Amazon Cognito.")
    parser.add_argument("--host", default=LOOPBACK, help="address to listen on; default %(default)s")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--users", type=int, default=25)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", type=float, default=1.0, help="seconds of traffic in a second")
    parser.add_argument("--activity", type=float, help="times life's traffic; by default an event every few seconds")
    parser.add_argument("--calm", action="store_true", help="nobody attacks or travels, and nothing is of high risk")
    parser.add_argument("--history", type=float, default=3600.0, help="seconds of history at the start")
    parser.add_argument("--user-pool-id", action="append", help=f"repeatable; default {POOL_ID}")
    parser.add_argument("--quota", type=float, help="requests a second, beyond which calls are throttled")
    parser.add_argument("--slow-seconds", type=float, default=1.0, help="delay of a slow answer")
    for kind in Kind:
        parser.add_argument(f"--{kind.replace('_', '-')}", type=float, default=0.0, help="share of requests, 0 to 1")
    return parser


def _world(flags: argparse.Namespace) -> TrafficWorld:
    return TrafficWorld(
        flags.seed,
        flags.users,
        time.time(),
        flags.speed,
        flags.history,
        activity=flags.activity or demo_activity(flags.users),
        calm=flags.calm,
        pool_ids=flags.user_pool_id or [POOL_ID],
    )


def _faults(flags: argparse.Namespace) -> Faults:
    faults = Faults(flags.seed, quota_per_second=flags.quota)
    for kind in Kind:
        probability = getattr(flags, kind)
        if probability > 0:
            faults.inject(kind, probability=probability, seconds=flags.slow_seconds)
    return faults


if __name__ == "__main__":
    sys.exit(main())
