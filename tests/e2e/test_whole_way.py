"""The whole way: a real process against the simulator, from the configuration to /metrics."""

import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from exporter.event.event import Challenge, Context
from exporter.simulator.faults import Kind
from tests.conftest import ExporterProcess, Start, eventually
from tests.e2e.conftest import POOL, Town

EVENTS = "cognito_auth_events_total"
FRANCE = Context(None, None, None, None, "France")


def test_counts_what_happens(town: Town, start: Start) -> None:
    """Events of several users are counted under their labels, each once, and a later one is seen."""
    town.settle("ada", "grace")
    town.happen("ada", 70)
    town.happen("grace", 3, response="Fail", challenges=(Challenge("Password", "Failure"),), context=FRANCE)
    exporter = start()
    eventually(lambda: exporter.total(EVENTS) == town.truth, "all events")
    by = {
        (dict(labels)["response"], dict(labels)["country"]): value for labels, value in exporter.samples(EVENTS).items()
    }
    assert by == {("Pass", "GB"): 70, ("Fail", "FR"): 3}
    assert exporter.total("cognito_auth_challenges_total") == 73
    assert exporter.samples("cognito_auth_up") == {(): 1}
    town.happen("grace")
    eventually(lambda: exporter.total(EVENTS) == town.truth, "the later event")
    assert exporter.total("cognito_auth_recent_events") == town.truth


def test_an_event_in_progress_is_counted_when_it_ends(town: Town, start: Start) -> None:
    """An event in progress is in no counter until it has ended or settled."""
    town.config.write_text(town.config.read_text().replace("settle: 3s", "settle: 2m"))
    town.settle("ada")
    town.happen("ada", response="InProgress")
    event = next(iter(town.world.history(POOL, "ada", time.time())))
    exporter = start()
    eventually(lambda: exporter.total("cognito_auth_in_progress_events") == 1, "the open event")
    assert exporter.total(EVENTS) == 0
    town.world.change_event(POOL, event.event_id, response="Fail")
    eventually(lambda: exporter.total(EVENTS) == 1, "its end")
    assert {dict(labels)["response"] for labels in exporter.samples(EVENTS)} == {"Fail"}
    assert exporter.total("cognito_auth_in_progress_events") == 0


def test_nothing_from_before_is_counted(town: Town, start: Start) -> None:
    """With `start: now` history wakes nobody, though the gauges show it; what comes next is counted."""
    town.configure(start="now")
    town.settle("ada")
    town.happen("ada", 5)
    time.sleep(0.05)
    exporter = start()
    eventually(lambda: exporter.total("cognito_auth_recent_events") == 5, "the gauges")
    assert exporter.total(EVENTS) == 0
    town.happen("ada", 2)
    eventually(lambda: exporter.total(EVENTS) == 2, "the new events")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_cleanly_and_goes_on(number: signal.Signals, town: Town, start: Start) -> None:
    """SIGTERM and SIGINT end with 0 within 5 s; what happened while it was down is counted at the next start, once."""
    town.settle("ada")
    town.happen("ada", 5)
    exporter = start()
    eventually(lambda: exporter.total(EVENTS) == 5, "the first events")
    began = time.monotonic()
    assert exporter.end(number) == 0
    assert time.monotonic() - began < 5
    town.happen("ada", 100)
    again = start()
    eventually(lambda: again.total(EVENTS) == 105, "the gap")


def test_ends_in_time_while_aws_hangs(town: Town, start: Start) -> None:
    """A hanging AWS keeps the end back no longer than request_timeout + 2 s, and what it hid is counted later."""
    town.settle("ada", "grace", "edsger")
    town.happen("ada")
    exporter = start()
    eventually(lambda: exporter.total(EVENTS) == 1, "the first event")
    hang = town.faults.inject("hang", seconds=30)
    town.happen("ada")
    eventually(lambda: hang.struck > 0, "a hanging request")
    began = time.monotonic()
    assert exporter.end() == 0
    assert time.monotonic() - began < 2 + 2
    town.faults.clear()
    again = start()
    eventually(lambda: again.total(EVENTS) == 2, "the hidden event")


def test_two_names_of_one_user_count_once(town: Town, start: Start) -> None:
    """A user named by user name and by e-mail address is polled twice and counted once."""
    town.configure(users="usernames: [ada, ada@example.com, nobody]")
    town.settle("ada")
    town.happen("ada", 65)
    exporter = start()
    eventually(lambda: exporter.total("cognito_auth_exporter_polls_total") > 8, "some polls")
    town.happen("ada", 3)
    eventually(lambda: exporter.total(EVENTS) == 68, "the events")
    states = {dict(labels)["state"]: value for labels, value in exporter.samples("cognito_auth_exporter_users").items()}
    assert states == {"ok": 2, "waiting": 0, "not_found": 1, "failing": 0}


def test_users_come_and_go(town: Town, start: Start) -> None:
    """Selectors are followed again and again: groups, files and filters; the excluded stay out."""
    names = town.config.parent / "names.txt"
    names.write_text("# break glass\nglass\n")
    town.configure(users="groups: [admins], files: [names.txt], filters: ['username ^= \"svc-\"'], exclude: [svc-load]")
    town.settle("glass", "svc-a", "svc-load", "late", "other")
    town.world.add_user(POOL, "root", groups=["admins"])
    exporter = start()

    def ok() -> float:
        return {
            dict(labels)["state"]: value for labels, value in exporter.samples("cognito_auth_exporter_users").items()
        }["ok"]

    eventually(lambda: ok() == 3, "glass, svc-a and root")
    names.write_text("glass\nlate\n")
    town.world.change_user(POOL, "root", groups=frozenset())
    town.settle("svc-b")
    eventually(lambda: ok() == 4, "late and svc-b, without root")
    polled = {request.username for request in town.simulator.requests.newest if request.username}
    assert polled == {"glass", "svc-a", "root", "late", "svc-b"}


def test_faults_of_aws_lose_and_double_nothing(town: Town, start: Start) -> None:
    """With throttling, 5xx, resets, half bodies and broken answers at a third of all requests, totals are exact."""
    users = [f"user{number}" for number in range(8)]
    town.settle(*users)
    for user in users:
        town.happen(user, 90)
    for kind in (
        "throttle",
        "server_error",
        "reset",
        "half_body",
        "html",
        "not_json",
        "gzip_garbage",
        "repeated_token",
    ):
        town.faults.inject(kind, probability=0.04)
    exporter = start()
    eventually(lambda: exporter.total(EVENTS) > 0, "a first answer")
    for user in users:
        town.happen(user, 5)
    eventually(lambda: exporter.total(EVENTS) == town.truth, "exact totals", seconds=90)
    outcomes = {dict(labels)["outcome"] for labels in exporter.samples("cognito_auth_exporter_api_requests_total")}
    assert outcomes >= {"ok", "throttled", "server_error", "malformed"}
    assert "Traceback" not in exporter.output
    for user in users:
        assert user not in exporter.output.replace("level=debug", "")


def test_never_more_requests_than_the_budget(town: Town, start: Start) -> None:
    """All requests together, discovery and retries included, stay within the budget in any window."""
    town.configure(more="")
    text = town.config.read_text().replace("requests_per_second: 200", "requests_per_second: 20")
    town.config.write_text(text)
    town.settle(*(f"user{number}" for number in range(60)))
    town.happen("user1", 200)
    town.faults.inject("server_error", probability=0.3)
    exporter = start()
    eventually(lambda: sum(town.simulator.requests.counts.values()) > 150, "some requests")
    exporter.end()
    for seconds in (0.5, 1.0, 3.0, 7.0):
        assert town.simulator.requests.most_within(seconds) <= 20 * (seconds + 1)


def test_slow_answers_are_followed_by_no_burst(town: Town, start: Start) -> None:
    """Requests that slow answers have held up do not come all at once after them: their budget is not spent later."""
    text = town.config.read_text()
    town.config.write_text(text.replace("requests_per_second: 200", "requests_per_second: 10").replace("2s}", "9s}"))
    town.settle(*(f"user{number}" for number in range(300)))
    slow = town.faults.inject(Kind.SLOW, seconds=4.0)
    exporter = start()
    eventually(lambda: slow.struck > 25, "more slow answers than workers")
    town.faults.clear()
    before = sum(town.simulator.requests.counts.values())
    eventually(lambda: sum(town.simulator.requests.counts.values()) > before + 60, "quick ones")
    exporter.end()
    for seconds in (0.3, 1.0, 3.0):
        assert town.simulator.requests.most_within(seconds) <= 10 * (seconds + 1)


def test_every_request_has_a_purpose(town: Town, start: Start) -> None:
    """Requests are shown by what they are for, and add up to all there were; ordinary polls ask for small pages."""
    town.settle("ada", "grace")
    town.happen("ada", 130)
    exporter = start()
    eventually(lambda: exporter.total(EVENTS) == town.truth, "the history")
    town.happen("ada")
    eventually(lambda: exporter.total(EVENTS) == town.truth, "the later event")
    town.faults.inject(Kind.SERVER_ERROR, probability=1.0, operation="ListUsers")
    eventually(lambda: spent(exporter)["retry"] > 0, "a retry")
    town.faults.clear()
    purposes = spent(exporter)
    assert purposes["first_walk"] == 4  # three pages and one
    assert min(purposes["new"], purposes["discovery"]) > 0
    eventually(
        lambda: sum(spent(exporter).values()) == exporter.total("cognito_auth_exporter_api_requests_total"), "the sum"
    )
    sizes = page_sizes(town)
    assert (max(sizes), 60 in sizes) == (60, True)
    eventually(lambda: min(page_sizes(town)) <= 10, "small pages, once the pool has shown its order")


def page_sizes(town: Town) -> set[int]:
    """Return how many events were asked for at once."""
    newest = town.simulator.requests.newest
    return {request.limit or 0 for request in newest if request.operation == "AdminListUserAuthEvents"}


def spent(exporter: ExporterProcess) -> dict[str, float]:
    """Return the number of requests by purpose."""
    samples = exporter.samples("cognito_auth_exporter_api_requests_by_purpose_total")
    return {dict(labels)["purpose"]: value for labels, value in samples.items()}


def test_too_small_a_budget_is_said_once(town: Town, start: Start) -> None:
    """Where the budget cannot hold `max_staleness`, the log says so once, with what to change, and the metrics show it."""
    town.settle(*(f"u{number}" for number in range(30)))
    text = town.config.read_text()
    town.config.write_text(text.replace("requests_per_second: 200", "requests_per_second: 2").replace("1m", "5s"))
    exporter = start()
    needed, allowed = (f"cognito_auth_exporter_{name}_per_second" for name in ("requests_needed", "request_budget"))
    eventually(lambda: exporter.total(needed) > 6, "the need")
    assert exporter.total(allowed) == 2
    eventually(lambda: exporter.samples("cognito_auth_exporter_users")[(("state", "ok"),)] == 30, "a first round")
    assert exporter.output.count("the budget is too small for polling.max_staleness: raise") == 1
    assert "longest_wait=0." in exporter.output


def test_what_is_learned_of_users_outlives_a_restart(town: Town, start: Start, tmp_path: Path) -> None:
    """The state keeps what the schedule knows of each user, and a restart polls nobody anew out of turn."""
    town.settle("ada", "grace")
    town.happen("ada", 20)
    town.config.write_text(town.config.read_text().replace("min_interval: 1s", "min_interval: 20s"))
    exporter = start()
    eventually(lambda: exporter.total(EVENTS) == 20, "the events")
    assert exporter.end() == 0
    with closing(sqlite3.connect(tmp_path / "data/cognito-auth-exporter.db")) as state:
        assert {len(kept) for (kept,) in state.execute("SELECT activity FROM user")} == {32}
    before = town.simulator.requests.counts["AdminListUserAuthEvents"]
    again = start()
    eventually(lambda: again.get("/-/ready").status_code == 200, "the start")
    time.sleep(3)
    assert town.simulator.requests.counts["AdminListUserAuthEvents"] == before


def test_a_pool_in_trouble_is_alone(town: Town, start: Start) -> None:
    """A pool without access is down and asked ever more rarely; the one beside it is polled as ever."""
    town.world.add_pool("eu-west-1_Broken")
    town.world.add_user("eu-west-1_Broken", "root")
    town.faults.inject("AccessDeniedException", pool_id="eu-west-1_Broken")
    text = town.config.read_text()
    second = f"  - {{id: eu-west-1_Broken, name: broken, endpoint_url: {town.simulator.url}, users: {{usernames: [root]}}}}\n"
    town.config.write_text(text.replace("polling:", second + "polling:"))
    town.settle("ada")
    town.happen("ada", 3)
    exporter = start()
    eventually(lambda: exporter.total(EVENTS) == 3, "the events of the good pool")
    metrics = exporter.get("/metrics").text
    assert 'cognito_auth_up{user_pool="broken"} 0.0' in metrics
    assert 'cognito_auth_up{user_pool="scripted"} 1.0' in metrics
    assert exporter.get("/-/healthy").status_code == 200
    town.faults.clear()
    eventually(lambda: 'cognito_auth_up{user_pool="broken"} 1.0' in exporter.get("/metrics").text, "the pool to heal")


def test_threat_protection_off_is_told(town: Town, start: Start) -> None:
    """A pool without threat protection is down and says so."""
    town.world.set_threat_protection(POOL, "OFF")
    town.settle("ada")
    exporter = start()
    eventually(lambda: exporter.samples("cognito_auth_user_pool_info"), "the pool")
    eventually(
        lambda: (
            {dict(labels)["threat_protection"] for labels in exporter.samples("cognito_auth_user_pool_info")} == {"OFF"}
        ),
        "the mode",
    )
    assert exporter.samples("cognito_auth_up") == {(): 0}


def test_a_series_is_seen_at_zero_first(town: Town, start: Start) -> None:
    """A new series stands at 0 before it takes its value, and after a restart at once at its value."""
    town.configure(hold="3s")
    town.settle("ada")
    town.happen("ada", 4)
    exporter = start()
    eventually(lambda: set(exporter.samples(EVENTS).values()) == {0}, "the series at zero")
    eventually(lambda: exporter.total(EVENTS) == 4, "its value")
    exporter.end()
    again = start()
    seen: list[float] = []

    def look() -> bool:
        seen.extend(again.samples(EVENTS).values())
        return bool(seen)

    eventually(look, "the series after a restart")
    assert seen[0] == 4


@pytest.mark.usefixtures("town")
def test_no_state_is_touched_that_is_not_ours(start: Start, tmp_path: Path) -> None:
    """A state file of another program, or held by another exporter, ends the start with 1 and is named."""
    first = start()
    eventually(lambda: first.get("/-/ready").status_code == 200, "the first exporter")
    second = start()
    assert second.popen.wait(20) == 1
    assert "another process holds it" in second.output
    first.end()
    state = tmp_path / "data" / "cognito-auth-exporter.db"
    state.write_bytes(b"my diary" * 100)
    third = start()
    assert third.popen.wait(20) == 1
    assert str(state) in third.output
    assert state.read_bytes() == b"my diary" * 100


def test_ends_soon_with_a_small_budget(town: Town, start: Start) -> None:
    """An exporter that waits for a token of a tiny budget ends when it is told to, not when the token comes."""
    town.config.write_text(town.config.read_text().replace("requests_per_second: 200", "requests_per_second: 0.05"))
    town.settle("ada", "grace")
    exporter = start()
    eventually(lambda: sum(town.simulator.requests.counts.values()) > 0, "the first request")
    began = time.monotonic()
    assert exporter.end() == 0
    assert time.monotonic() - began < 5


def test_refused_selectors_are_asked_once_each_discovery(town: Town, start: Start) -> None:
    """Of many groups that may not be listed one is asked for, and the user selected by name is polled all the same."""
    town.settle("ada")
    town.happen("ada", 2)
    groups = ", ".join(f"group{number}" for number in range(50))
    town.configure(users=f"usernames: [ada], groups: [{groups}]")
    town.faults.inject("AccessDeniedException", operation="ListUsersInGroup")
    exporter = start()
    eventually(lambda: exporter.total(EVENTS) == 2, "the events")
    eventually(lambda: town.simulator.requests.counts["ListUsersInGroup"] >= 2, "a second discovery")
    assert town.simulator.requests.counts["ListUsersInGroup"] < 10
    assert "users.groups[49]" in exporter.output


def test_one_damaged_event_leaves_the_pool_up(town: Town, start: Start) -> None:
    """A page with an entry that cannot be read is an answer of the pool: its other events count, and `up` stays 1."""
    town.settle("ada")
    town.happen("ada", 3)
    town.faults.inject("no_event_id", username="ada")
    exporter = start()
    eventually(lambda: exporter.total(EVENTS) == 2, "the readable events")
    assert exporter.samples("cognito_auth_up") == {(): 1}
    assert exporter.samples("cognito_auth_exporter_users")[(("state", "failing"),)] == 0
    town.faults.clear()
    eventually(lambda: exporter.total(EVENTS) == 3, "the third")


def test_a_users_file_that_is_no_file_stops_nobody(town: Town, start: Start, tmp_path: Path) -> None:
    """A users file replaced by a pipe is a selector that cannot be followed: scrapes, polls and the stop go on."""
    town.settle("ada", "grace")
    names = tmp_path / "names.txt"
    names.write_text("ada\n")
    town.configure(users="files: [names.txt], usernames: [grace]")
    exporter = start()
    eventually(lambda: exporter.total("cognito_auth_exporter_users") == 2, "the users")
    names.unlink()
    os.mkfifo(names)
    eventually(lambda: "not a regular file" in exporter.output, "the failure")
    town.happen("ada", 2)
    eventually(lambda: exporter.total(EVENTS) == 2, "the events of who was in the file")
    assert exporter.end() == 0
