"""Where and when the exporter is killed. Each scenario is a function that begins lives, ends them, and leaves the judgement."""

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench.process import wait_until
from exporter.ledger.rules import HISTORY_KEPT
from torture.life import Life
from torture.ordeal import Broken, Ordeal
from torture.traced import Strike

_HELD = "another process holds it"
_LONGEST_RACE = 60.0
_LEAVERS_A_LIFE = 3
_ANEW = 0.4  # share of races for a file that does not exist
_MAKE_OLD = (
    "UPDATE user SET polled_at = polled_at - ? WHERE id IN (SELECT id FROM user WHERE NOT selected AND polled_at > ? "
    "AND id NOT IN (SELECT user FROM event WHERE standing = 0) LIMIT ?)"
)


def random(ordeal: Ordeal, kills: int) -> None:
    """Kill at random instants under load."""
    with ordeal.town.lively():
        for _ in range(kills):
            life = ordeal.start()
            ordeal.linger(life)
            ordeal.kill(life)


def first_start(ordeal: Ordeal, kills: int) -> None:
    """Kill just after the first file is made, or at any moment of the very first start; the next start has to be exact."""
    for number in range(kills // 2):
        life = ordeal.start(anew=True)
        if number % 2:
            time.sleep(ordeal.rng.uniform(0.0, 2.0))
        else:
            wait_until(lambda life=life: life.has_ended or _has_begun(ordeal), "a file", 60.0, 0.001)  # type: ignore[misc]
            time.sleep(ordeal.rng.uniform(0.0, 0.03))
        ordeal.kill(life, is_aimed=not ordeal.has_answer)
        ordeal.kill(ordeal.become_exact(), is_aimed=False)


def _has_begun(ordeal: Ordeal) -> bool:
    return any(file != ordeal.place.config for file in ordeal.place.state.parent.iterdir())


@dataclass(frozen=True, slots=True)
class _Aim:
    """System calls on the state file or its log, the most of them before the one that kills, and whether the life is to end."""

    calls: str
    most: int
    on_log: bool = True
    at_end: bool = False


_AIMS: Sequence[_Aim] = (
    _Aim("pwrite64", 40),  # within a transaction's pages
    _Aim("fdatasync,fsync", 10),  # between the write of a transaction and its commit
    _Aim("pwrite64", 5, on_log=False, at_end=True),  # within the checkpoint of the end
    _Aim("fdatasync,fsync", 1, on_log=False, at_end=True),  # between the checkpoint and what follows it
    _Aim("unlink,ftruncate", 1, at_end=True),  # as the log goes
    _Aim("openat,open", 4),  # as the state is opened
)


def commit(ordeal: Ordeal, kills: int) -> None:
    """Kill at a system call on the state: between the write of the log and the commit, in checkpoints, as it is opened."""
    place = ordeal.place
    with ordeal.town.lively():
        for number in range(kills):
            aim = _AIMS[number % len(_AIMS)]
            paths = (place.state, place.log) if aim.on_log else (place.state,)
            life = ordeal.start(Strike(aim.calls, paths, ordeal.rng.randint(1, aim.most)))
            ordeal.await_strike(life, at_end=aim.at_end)


def pruning(ordeal: Ordeal, kills: int) -> None:
    """Kill while users are forgotten who left long ago; what they did stays counted."""
    leavers = ordeal.town.people.leavers
    ordeal.kill(ordeal.become_exact(), is_aimed=False)
    ordeal.place.configure(exclude=leavers)
    with ordeal.town.lively():
        seconds = 1.0
        while _unselected(ordeal.place.state) < len(leavers):
            _live(ordeal, seconds, is_aimed=False)
            seconds *= 2
        for _ in range(kills - 2):
            is_aimed = _make_old(ordeal.place.state, _LEAVERS_A_LIFE) > 0
            _live(ordeal, ordeal.rng.uniform(0.0, 0.6), is_aimed=is_aimed)
    _make_old(ordeal.place.state, len(leavers))
    life = ordeal.become_exact()
    ordeal.end(life)
    if left := _unselected(ordeal.place.state):
        raise Broken(f"{left} users are not forgotten")


def _live(ordeal: Ordeal, seconds: float, *, is_aimed: bool) -> None:
    """Live for some time after the first scrape."""
    life = ordeal.start()
    ordeal.await_answer(life)
    time.sleep(seconds)
    ordeal.kill(life, is_aimed=is_aimed)


def _make_old(state: Path, limit: int) -> int:
    """Make so many users, whose events are all counted, have left longer ago than histories are kept; return how many."""
    with closing(sqlite3.connect(state)) as connection, connection:
        return connection.execute(_MAKE_OLD, (HISTORY_KEPT + 1.0, time.time() - HISTORY_KEPT, limit)).rowcount


def _unselected(state: Path) -> int:
    with closing(sqlite3.connect(state)) as connection:
        return int(connection.execute("SELECT count(*) FROM user WHERE NOT selected").fetchone()[0])


def reload(ordeal: Ordeal, kills: int) -> None:
    """Kill while one configuration takes another's place."""
    changes: Sequence[dict[str, Any]] = (
        {},
        {"name": "renamed"},
        {"country": "name"},
        {"exclude": ordeal.town.people.guests},
    )
    with ordeal.town.lively():
        for _ in range(kills):
            life = ordeal.start()
            ordeal.await_answer(life)
            until = time.monotonic() + ordeal.rng.uniform(0.0, 1.5)
            while time.monotonic() < until:
                ordeal.place.configure(**ordeal.rng.choice(changes))
                life.reload()
                time.sleep(ordeal.rng.uniform(0.0, 0.2))
            ordeal.kill(life, is_aimed=True)
    ordeal.place.configure()


def race(ordeal: Ordeal, kills: int) -> None:
    """Start two on one file, which exists or not: one holds it and is killed, the other ends and says why."""
    with ordeal.town.lively():
        for _ in range(kills):
            winner = _won(ordeal, anew=ordeal.rng.random() < _ANEW)
            time.sleep(ordeal.rng.uniform(0.0, 1.0))
            ordeal.kill(winner, is_aimed=True)


def _won(ordeal: Ordeal, *, anew: bool) -> Life:
    """Return the one of two lives, begun at once, that holds the state; it has been scraped."""
    first = ordeal.start(anew=anew)
    second = ordeal.start_another()
    wait_until(lambda: first.has_ended or second.has_ended, "the end of one of two", _LONGEST_RACE)
    loser, winner = (first, second) if first.has_ended else (second, first)
    if loser.status != 1 or _HELD not in loser.output:
        raise Broken(f"the second on a file ended with {loser.status}:\n{loser.output}")
    loser.close()
    ordeal.watch(winner, anew=anew)
    ordeal.await_answer(winner)
    return winner


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is done, among how many who leave for good, and whether it takes strace."""

    run: Callable[[Ordeal, int], None]
    leavers: int = 0
    is_traced: bool = False


SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {
        "random": Scenario(random),
        "first-start": Scenario(first_start),
        "commit": Scenario(commit, is_traced=True),
        "pruning": Scenario(pruning, leavers=60),
        "reload": Scenario(reload),
        "race": Scenario(race),
    }
)
