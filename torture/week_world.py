"""`python -m torture.week_world`: a simulated Cognito of many users, which lives up to a moment and answers alike throughout."""

import argparse
import signal
import sys
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from math import inf

from exporter.simulator.server import Simulator
from exporter.simulator.traffic import TrafficWorld
from exporter.simulator.world import EventRecord

_STOPPING = (signal.SIGTERM, signal.SIGINT)


class RememberedWorld(TrafficWorld):
    """A traffic world in which each user's whole life is drawn once.

    Drawn anew at each request, a life takes longer the longer it is, and what is measured would be that.
    """

    def __init__(self, seed: int, users: int, start: float, speed: float, history_seconds: float, until: float) -> None:
        super().__init__(seed, users, start, speed, history_seconds)
        self.freeze(until)
        self._until = until
        self._lives: dict[tuple[str, str], tuple[list[float], list[EventRecord]]] = {}

    def _records(self, pool_id: str, username: str, now: float) -> Iterator[EventRecord]:
        created, records = self._life(pool_id, username)
        return (records[at] for at in range(bisect_right(created, now) - 1, -1, -1))

    def _life(self, pool_id: str, username: str) -> tuple[list[float], list[EventRecord]]:
        """Return when the user's events are created, and the events, oldest first."""
        life = self._lives.get((pool_id, username))
        if life is None:
            records = [*super()._records(pool_id, username, self._until)][::-1]
            life = self._lives[pool_id, username] = [record.created for record in records], records
        return life


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m torture.week_world", description=__doc__)
    for name, kind in (("port", int), ("seed", int), ("users", int), ("start", float), ("speed", float)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    parser.add_argument("--history", type=float, required=True, help="seconds before the start")
    parser.add_argument("--until", type=float, default=inf, help="epoch seconds after which nothing happens")
    flags = parser.parse_args(arguments)
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)  # before there are threads, which inherit it
    world = RememberedWorld(flags.seed, flags.users, flags.start, flags.speed, flags.history, flags.until)
    with Simulator(world, port=flags.port):
        signal.sigwait(_STOPPING)
    return 0


if __name__ == "__main__":
    sys.exit(main())
