"""The numbers on the page about scaling are those of the promises, of the measurements it cites, and of the code."""

import math
import re
import uuid
from pathlib import Path

import pytest
import yaml

from exporter.commands.numbers import duration_text
from exporter.configuration.durations import parse_duration
from exporter.event.labels import FIELDS
from exporter.fetch.source import ListedUser
from exporter.fetch.walk import Walk
from exporter.ledger import counters
from exporter.ledger.ledger import Poll
from exporter.ledger.rules import Settings
from exporter.ledger.sqlite import SqliteLedger
from exporter.metrics.families import COUNTED
from exporter.schedule.policy import Policy, PoolQueue
from exporter.simulator.world import auth_event
from tests.documentation.pages import ROOT, rows, text_of

PAGE = "docs/scaling.md"
POOL = "eu-west-1_Ab129faBb"
NOW = 1_700_000_000.0
_USERS = 3000
BOUNDS = [row for row in rows(PAGE, "Users and budget") if len(row) == 6 and row[2].endswith(("min", "h"))][:7]
MEASURED = [
    row for row in rows(PAGE, "Users and budget") if row[2].endswith(("m", "h")) and row[3] in {"bursty", "steady"}
]
BUDGETS = (1, 5, 10, 25, 50)


def number(text: str) -> float:
    """Return a number written with separators."""
    return float(text.replace(",", ""))


def longest_wait(users: int, requests: float, max_staleness: float) -> float:
    """Return what the polling policy holds itself to, as a request is mostly a poll."""
    policy, queue = Policy(0.0, max_staleness), PoolQueue(15.0, 4.0)
    policy.capacity = requests
    policy.join(queue)
    for slot in range(users):
        queue.add(slot, 0.0)
    return policy.longest_wait


@pytest.mark.parametrize("row", BOUNDS, ids=lambda row: row[0])
def test_bounds_are_those_of_the_promise(row: list[str]) -> None:
    """Nobody waits longer than the table says: `max_staleness`, or 1.25 rounds of all users, to the minute."""
    users = number(row[0])
    for budget, told in zip(BUDGETS, row[1:], strict=True):
        assert told == duration_text(60 * round(max(900.0, 1.25 * users / budget) / 60))


def test_bounds_are_the_policys_own() -> None:
    """The formula of the table is what the policy computes."""
    assert longest_wait(1000, 1, 900.0) == 1250.0
    assert longest_wait(1000, 5, 900.0) == 900.0


def test_tables_are_whole() -> None:
    """Each row of both tables is looked at."""
    assert [number(row[0]) for row in BOUNDS] == [100, 1000, 3600, 12_000, 36_000, 100_000, 1_000_000]
    assert len(MEASURED) == 5


@pytest.mark.parametrize("row", MEASURED, ids=" ".join)
def test_means_are_those_measured(row: list[str]) -> None:
    """What an event waits in the mean is the ratio of docs/performance.md times what it would be in turn."""
    users, requests, staleness, traffic, mean, in_turn = row
    hours = parse_duration(staleness) / 3600
    case = f"{traffic}, {users} users, {requests}/s, max_staleness {hours:g}h"
    figure = [case, "mean delay until hour 24, to round robin"]
    ratio = next(float(found[2]) for found in rows("docs/performance.md") if found[:2] == figure)
    turn = number(users) / number(requests) / 2
    assert (mean, in_turn) == (duration_text(ratio * turn), duration_text(turn))


def test_machine_is_as_measured() -> None:
    """What one machine holds are the figures of docs/performance.md."""
    measured = {(row[0], row[1]): row[2] for row in rows("docs/performance.md")}
    for what, value in rows(PAGE, "What one machine holds"):
        if found := re.fullmatch(r"memory, ([\d,]+ users)", what):
            assert measured[found[1], "memory in all"] == value
        if found := re.fullmatch(r"start to first poll, ([\d,]+ users)", what):
            assert measured[found[1], "start to first poll"] == value
    assert "| a scrape of 10,000 series | 12 ms |" in text_of(PAGE)
    assert measured["10,000 series, nobody is polled", "scrape"] == "12 ms"


def test_week_is_as_measured() -> None:
    """What the simulated week says of series and of the state stands in docs/testing.md."""
    for told in ("1,047 series", "8.5 MiB"):
        assert told in text_of(PAGE)
        assert told in text_of("docs/testing.md")


def _state_bytes(file: Path, events: int) -> float:
    """Return the bytes of a state for each of its users, of each of whom so many events are remembered."""
    ledger = SqliteLedger(file, Settings(900.0, 600.0, 3600.0, 60.0, 5000, per_user=False), NOW)
    empty = file.stat().st_size
    names = [ListedUser(str(uuid.uuid4()), None) for _ in range(_USERS)]
    ledger.select(POOL, names, began=NOW, start=lambda *_: 0.0)
    rows = [known.user for known in ledger.users(POOL, 0, _USERS)]
    began = ledger.look_out(rows[0], NOW).began
    polls = [Poll(POOL, row, NOW, began, _walk(events), activity=bytes(32)) for row in rows]
    ledger.record(polls, oldest_walk=began, now=NOW)
    ledger.close()
    return (file.stat().st_size - empty) / _USERS


def _walk(events: int) -> Walk:
    """Return a walk that showed so many sign-ins."""
    shown = tuple(auth_event(NOW - 3600.0 * age) for age in range(events, 0, -1))
    return Walk(NOW, NOW, 0.0, shown, frozenset(event.event_id for event in shown), None)


@pytest.mark.parametrize(
    ("events", "told"), [(0, "about {} bytes for a user who never signs in"), (3, "{} for one of whom three")]
)
def test_state_is_as_large_as_told(events: int, told: str, tmp_path: Path) -> None:
    """A user takes so many bytes of the state as the page says, to a tenth."""
    measured = _state_bytes(tmp_path / "state.db", events)
    found = re.search(told.format(r"(\d+)"), text_of(PAGE))
    assert found is not None
    assert measured == pytest.approx(int(found[1]), rel=0.1)


def test_series_at_zero_are_counted() -> None:
    """The number of series that a pool has from the start, and each family's part in it, are those of the counters' table."""
    zeros = {family.name: len(list(counters.COUNTERS[str(family.counts)].zeros())) for family in COUNTED}
    text = text_of(PAGE)
    assert f"at 0, {sum(zeros.values())} series of the counters" in text
    listed = {name: int(count) for name, count in re.findall(r"`(cognito_auth_\w+_total)`\s(\d+)", text)}
    assert listed == {name: count for name, count in zeros.items() if count}


def test_combinations_are_counted() -> None:
    """A country has at most as many series as there are types, responses and levels, an absent risk among them."""
    kinds = (len(FIELDS["event_type"]), len(FIELDS["response"]), len(counters.RISK_LEVELS) + 1)
    told = re.search(
        r"at most (\d) types . (\d) responses . (\d) risk levels = (\d+) for a country", " ".join(text_of(PAGE).split())
    )
    assert told is not None
    assert tuple(map(int, told.groups())) == (*kinds, math.prod(kinds))


def test_defaults_are_the_examples() -> None:
    """The defaults that the arithmetic begins with are those of config.example.yaml."""
    polling = yaml.safe_load((ROOT / "config.example.yaml").read_text())["polling"]
    assert (polling["requests_per_second"], polling["max_staleness"], polling["min_interval"]) == (5, "15m", "15s")
    assert "5 a second are 432,000 a day" in text_of(PAGE)
