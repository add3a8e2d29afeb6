"""The torture: that it kills where it says, that it would see what is wrong, and a quick run of everything."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import nan
from pathlib import Path

import pytest

from exporter.event.event import AuthEvent, Challenge, Context, Feedback, Risk
from exporter.simulator.traffic import POOL_ID, TrafficWorld
from exporter.simulator.world import auth_event
from tests.conftest import need
from torture.scenarios import SCENARIOS
from torture.truth import Key, differences, expected
from torture.watcher import Record, counters
from torture.week import Hour, table
from torture.week_world import RememberedWorld

ROOT = Path(__file__).parents[1]
START = 1_800_000_000.0
RIGHT, WRONG_CODE = Challenge("Password", "Success"), Challenge("Mfa", "Failure")
RISKY = Risk("AccountTakeover", "High", compromised_credentials=True)
EVENTS, OTHER = (
    ("cognito_auth_events_total", "SignIn", "Pass", "None", "GB"),
    ("cognito_auth_feedback_total", "Valid", "Admin"),
)


def run(*arguments: str, env: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """Run a module as its users do; whatever it has started ends with it."""
    call = [sys.executable, "-m", *arguments]
    process = subprocess.Popen(
        call, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, process_group=0
    )
    try:
        output, errors = process.communicate(timeout=280)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(call, process.returncode, output, errors)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_kills_lose_and_double_nothing(scenario: str) -> None:
    """Killed wherever the scenario says, the exporter counts each event once, and no counter ever falls."""
    if SCENARIOS[scenario].is_traced:
        need("strace", "Debian's package strace")
    done = run("torture", "--quick", "--scenario", scenario)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.match(r"seed: \d+\n", done.stdout)
    name, kills, aimed, events, counted, series, scrapes, *_ = [
        cell.strip() for cell in done.stdout.splitlines()[-1].strip("|").split("|")
    ]
    assert (name, events) == (scenario, counted)
    assert 0 < int(aimed) <= int(kills)
    assert int(series) > 50
    assert int(scrapes) > 50


def test_a_short_week_is_exact() -> None:
    """Restarts and kills each simulated hour lose and double nothing, and each figure has a row."""
    done = run("torture.week", "--quick", "--seed=7")
    assert done.returncode == 0, done.stdout + done.stderr
    seed, head, _, *rows, blank, totals = done.stdout.splitlines()
    assert (seed, blank) == ("seed: 7", "")
    assert "last day/first day" in head
    assert len(rows) == 6
    assert totals.endswith(", 0 wrong")


def test_days_are_compared() -> None:
    """A figure that is twice as large on the last day is shown as that, and an hour without a poll is none of fast polls."""
    hours = [Hour(1.0, 1.0, nan, 1.0, 1.0, 1.0)] + [Hour(*[1.0] * 6)] * 23 + [Hour(2.0, *[1.0] * 5)] * 24
    ratios = [line.split("|")[-2].strip() for line in table(hours).splitlines()[2:]]
    assert ratios == ["2.00", *["1.00"] * 5]


def test_strace_is_asked_for(tmp_path: Path) -> None:
    """Where the tool is missing that a scenario needs, the call is wrong, and says so before anything is started."""
    done = run("torture", "--quick", env={"PATH": str(tmp_path)})
    assert (done.returncode, done.stdout) == (2, "")
    assert "strace is missing" in done.stderr


@pytest.mark.parametrize(
    ("scrapes", "most", "wrong"),
    [
        ([{EVENTS: 1, OTHER: 1}, {EVENTS: 2, OTHER: 1}], 2, []),
        ([{EVENTS: 2}, {EVENTS: 1}], 2, ["cognito_auth_events_total SignIn Pass None GB is 1 after 2"]),
        ([{EVENTS: 1, OTHER: 0}, {EVENTS: 1}], 2, ["cognito_auth_feedback_total Valid Admin is not shown after 0"]),
        ([{EVENTS: 3}], 2, ["3 events are shown, and there are 2"]),
    ],
)
def test_what_must_not_be_is_seen(scrapes: Sequence[Mapping[Key, float]], most: int, wrong: Sequence[str]) -> None:
    """A counter that falls, one that is gone and one that runs ahead of the truth are each told."""
    record = Record()
    for scrape in scrapes:
        record.add(scrape, most)
    assert record.wrong == wrong


def test_a_state_made_anew_begins_at_zero() -> None:
    """What was shown of a state that was taken away is not held against the next one."""
    record = Record()
    record.add({EVENTS: 5}, 5)
    record.begin_anew()
    record.add({EVENTS: 1}, 5)
    assert (record.wrong, record.total, record.scrapes) == ([], 1, 2)


def test_a_label_set_that_is_not_exact_is_told() -> None:
    """The judgement names each label set with both numbers, and takes one at zero for none."""
    told = differences({EVENTS: 2, OTHER: 0}, {EVENTS: 1})
    assert told == ["cognito_auth_events_total SignIn Pass None GB: 2 shown, 1 is the truth"]


def test_pages_are_read_whatever_a_reload_has_renamed() -> None:
    """The pool's name says nothing, a country is the same by name and by code, and families of the process are left out."""
    page = (
        "# TYPE cognito_auth_events_total counter\n"
        'cognito_auth_events_total{country="United Kingdom",event_type="SignIn",response="Pass",risk_level="None",user_pool="a"} '
        "3\n"
        'cognito_auth_feedback_total{provider="Admin",user_pool="b",value="Valid"} 1\n'
        'cognito_auth_recent_events{country="GB"} 9\ncognito_auth_exporter_polls_total{outcome="ok",user_pool="a"} 7\n'
    )
    assert counters(page) == {EVENTS: 3, OTHER: 1}


FAMILIES: Sequence[tuple[AuthEvent, set[Key]]] = (
    (
        auth_event(START, risk=RISKY, feedback=Feedback("Invalid", "Admin", None)),
        {
            ("events", "SignIn", "Pass", "High", "GB"),
            ("risk_decisions", "SignIn", "High", "AccountTakeover"),
            ("compromised_credentials", "SignIn", "Pass"),
            ("challenges", "Password", "Success"),
            ("feedback", "Invalid", "Admin"),
            ("high_risk_sign_ins", "AccountTakeover"),
        },
    ),
    (
        auth_event(START, response="InProgress", challenges=(RIGHT, WRONG_CODE), risk=None, context=None),
        {
            ("events", "SignIn", "InProgress", "Unknown", "unknown"),
            ("risk_decisions", "SignIn", "Unknown", "Unknown"),
            ("challenges", "Password", "Success"),
            ("challenges", "Mfa", "Failure"),
            ("stopped_sign_ins", "Mfa"),
            ("abandoned_flows", "SignIn", "true"),
        },
    ),
    (
        auth_event(START, event_type="SignUp", response="InProgress", challenges=()),
        {("events", "SignUp", "InProgress", "None", "GB"), ("risk_decisions", "SignUp", "None", "NoRisk")},
    ),
    (
        auth_event(START, event_type="not a word", response=None, challenges=()),
        {("events", "Other", "Unknown", "None", "GB"), ("risk_decisions", "Other", "None", "NoRisk")},
    ),
)


@pytest.mark.parametrize(("event", "families"), FAMILIES)
def test_the_truth_of_an_event(event: AuthEvent, families: set[Key]) -> None:
    """What an event has to add is what the documents say."""
    assert expected([[event]]) == {(f"cognito_auth_{family}_total", *labels): 1 for family, *labels in families}


def test_the_truth_of_travellers() -> None:
    """Each country of a passed sign-in but the user's first counts once, whatever is in progress or unknown."""
    places = ["null", "France", "Germany", "France", "Germany", "Spain"]
    history = [
        auth_event(
            START + number,
            context=Context(None, None, None, None, place),
            response="Fail" if place == "Spain" else "Pass",
        )
        for number, place in enumerate(places)
    ]
    counts = expected([reversed(history), history[:2]])
    new = {key[1:]: count for key, count in counts.items() if key[0] == "cognito_auth_new_country_sign_ins_total"}
    assert new == {("DE",): 1}


def test_a_remembered_life_is_the_same() -> None:
    """The world of the week shows at any moment what the traffic of its seed shows, and nothing after its end."""
    plain, remembered = TrafficWorld(3, 8, START, 300.0, 60.0), RememberedWorld(3, 8, START, 300.0, 60.0, START + 300)
    plain.freeze(START + 300)
    names = [user.username for user in plain.users(POOL_ID, START + 300)]
    for now in (START, START + 100.5, START + 600):
        histories = [[list(world.history(POOL_ID, name, now)) for name in names] for world in (plain, remembered)]
        assert histories[0] == histories[1]
    assert any(histories[0])
