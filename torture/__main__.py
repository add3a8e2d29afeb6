"""`python -m torture`: kill the exporter again and again, and print one Markdown table of what came of it."""

import argparse
import random
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tabulate import tabulate

from torture.life import Place
from torture.ordeal import Broken, Ordeal
from torture.scenarios import SCENARIOS, Scenario
from torture.town import Town
from torture.watcher import Watcher

_KILLS = 300
_QUICK = 4  # kills in each scenario
_SEEDS = 2**32
_HEAD = (
    *("scenario", "kills", "at the point", "events", "counted", "series watched", "scrapes"),
    *("counted at a kill, lowest", "highest", "seconds"),
)

Cells = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class _Plan:
    """The scenarios to run, and how many kills each has."""

    names: Sequence[str]
    kills: int
    seed: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the seed, then the table; return 0, or 1 where a promise was broken."""
    plan = _plan(arguments)
    sys.stdout.write(f"seed: {plan.seed}\n")
    sys.stdout.flush()
    rows: list[Cells] = []
    try:
        for name in plan.names:
            rows.append(_row(name, plan))
            sys.stderr.write(f"{rows[-1]}\n")
    except (Broken, TimeoutError) as error:
        sys.stderr.write(f"{plan.names[len(rows)]}, seed {plan.seed}: {error}\n")
    sys.stdout.write(tabulate(rows, _HEAD, tablefmt="github", disable_numparse=True) + "\n")
    return 0 if len(rows) == len(plan.names) else 1


def _plan(arguments: Sequence[str] | None) -> _Plan:
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    parser.add_argument("--seed", type=int, help="draws the moments and what happens; default: a random one, printed")
    parser.add_argument("--kills", type=int, default=_KILLS, help="of all scenarios together (default: %(default)s)")
    parser.add_argument("--scenario", choices=[*SCENARIOS], action="append", help="repeatable; default: all of them")
    parser.add_argument("--quick", action="store_true", help=f"{_QUICK} kills in each scenario")
    flags = parser.parse_args(arguments)
    names = flags.scenario or [*SCENARIOS]
    if any(SCENARIOS[name].is_traced for name in names) and shutil.which("strace") is None:
        parser.error("strace is missing: install it, or name scenarios that need none")
    seed = flags.seed if flags.seed is not None else random.SystemRandom().randrange(_SEEDS)
    return _Plan(names, _QUICK if flags.quick else -(-flags.kills // len(names)), seed)


def _row(name: str, plan: _Plan) -> Cells:
    begun = time.monotonic()
    rng = random.Random(f"{plan.seed}/{name}")
    scenario = SCENARIOS[name]
    town = Town(rng, scenario.leavers)
    try:
        cells = _cells(scenario, town, plan.kills, rng)
    finally:
        town.simulator.close()
    return (name, *cells, f"{time.monotonic() - begun:.0f}")


def _cells(scenario: Scenario, town: Town, kills: int, rng: random.Random) -> Cells:
    with TemporaryDirectory() as name, Watcher(lambda: town.events) as watcher:
        place = Place(Path(name), town.simulator.url, town.second_names)
        with Ordeal(town, place, watcher, rng) as ordeal:
            scenario.run(ordeal, kills)
            tally, record = ordeal.finish(), watcher.record
    shares = (f"{share:.1%}" for share in (tally.lowest, tally.highest))
    return tally.kills, tally.aimed, town.events, f"{record.total:g}", record.series, record.scrapes, *shares


if __name__ == "__main__":
    sys.exit(main())
