"""Whose events: selectors over a pool that changes, files that change, names that nobody has, listings of any length."""

import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

from tests.conftest import ExporterProcess, Start, eventually
from tests.e2e.conftest import POOL, Town

EVENTS = "cognito_auth_events_total"


def users(exporter: ExporterProcess) -> dict[str, float]:
    """Return the number of users by state, those of which there are any."""
    samples = exporter.samples("cognito_auth_exporter_users")
    return {dict(labels)["state"]: value for labels, value in samples.items() if value}


def polls(town: Town) -> Counter[str | None]:
    """Return how often each user was asked for."""
    return Counter(request.username for request in town.simulator.requests.newest if request.username)


def test_who_leaves_is_polled_to_the_end(town: Town, start: Start) -> None:
    """Deleted, disabled or out of the group: what was done until then is counted, and then they are asked for no more."""
    for name in ("deleted", "disabled", "moved", "stays"):
        town.world.add_user(POOL, name, groups=["staff"])
    text = town.config.read_text().replace("min_interval: 1s", "min_interval: 3s")
    town.config.write_text(text.replace("all: true", "groups: [staff]"))
    exporter = start()
    eventually(lambda: users(exporter) == {"ok": 4}, "everybody")
    for name in ("disabled", "moved"):
        town.happen(name, 2)
    town.world.delete_user(POOL, "deleted")
    town.world.change_user(POOL, "disabled", enabled=False)
    town.world.change_user(POOL, "moved", groups=frozenset())
    eventually(lambda: users(exporter) == {"ok": 1}, "the end of the others")
    assert exporter.total(EVENTS) == town.truth == 4
    before = polls(town)
    eventually(lambda: polls(town)["stays"] >= before["stays"] + 2, "later polls")
    assert polls(town) - before == Counter(stays=polls(town)["stays"] - before["stays"])
    town.world.change_user(POOL, "moved", groups=frozenset({"staff"}))
    town.happen("moved")
    eventually(lambda: exporter.total(EVENTS) == 5, "who is back, from where it was")


def test_a_file_that_changes_is_read_again(town: Town, start: Start, tmp_path: Path) -> None:
    """Long before the next discovery, names written into a file are polled, and those taken out are not."""
    town.settle("ada", "grace", "joan")
    names = tmp_path / "names.txt"
    names.write_text("ada\n")
    town.configure(users="files: [names.txt]")
    town.config.write_text(town.config.read_text().replace("discovery_interval: 2s", "discovery_interval: 1h"))
    exporter = start()
    eventually(lambda: users(exporter) == {"ok": 1}, "ada")
    names.write_text("grace\njoan\n")
    eventually(lambda: users(exporter) == {"ok": 2}, "the new names", seconds=30)
    replaced = tmp_path / "replaced.txt"
    replaced.write_text("grace\n")
    replaced.rename(names)
    eventually(lambda: users(exporter) == {"ok": 1}, "the names of the file in its place", seconds=30)
    assert set(polls(town)) == {"ada", "grace", "joan"}


def test_names_that_nobody_has(town: Town, start: Start) -> None:
    """A name that no user has is told by its place, asked for ever more rarely, makes nobody stale, and is found in the end."""
    town.settle("ada")
    town.configure(users="usernames: [ada, nobody]")
    text = town.config.read_text().replace("max_staleness: 1m", "max_staleness: 2s")
    town.config.write_text(text)
    exporter = start()
    eventually(lambda: polls(town)["ada"] >= 12, "many polls")
    assert 3 <= polls(town)["nobody"] <= 6
    (line,) = [line for line in exporter.output.splitlines() if "a selector matches nobody" in line]
    assert "path=user_pools[0].users.usernames[1]" in line
    assert "nobody " not in exporter.output.replace("matches nobody ", "")
    assert users(exporter) == {"ok": 1, "not_found": 1}
    assert time.time() - exporter.total("cognito_auth_exporter_oldest_poll_timestamp_seconds") < 5
    assert exporter.total("cognito_auth_exporter_requests_needed_per_second") == 0.5
    town.settle("nobody")
    town.happen("nobody", 2)
    eventually(lambda: exporter.total(EVENTS) == 2, "the events of who is there now")


def test_a_group_that_is_deleted_lets_its_members_go(town: Town, start: Start) -> None:
    """A group that is gone, in a pool that answers, matches nobody and says so; its members are polled no more, others go on."""
    town.settle("ada")
    town.world.add_user(POOL, "root", groups=["admins"])
    town.configure(users="usernames: [ada], groups: [admins]")
    exporter = start()
    eventually(lambda: users(exporter) == {"ok": 2}, "both")
    town.faults.inject("ResourceNotFoundException", operation="ListUsersInGroup")
    eventually(lambda: users(exporter) == {"ok": 1}, "the group's end")
    assert "path=user_pools[0].users.groups[0]" in exporter.output
    assert exporter.samples("cognito_auth_up") == {(): 1}
    town.happen("ada", 2)
    eventually(lambda: exporter.total(EVENTS) == 2, "the events of who is left")


def test_a_listing_takes_its_turns(town: Town, start: Start) -> None:
    """While thousands are listed page by page, the listing takes half of the budget at most, and who was found is polled."""
    town.settle(*(f"user{number:04}" for number in range(3000)))
    town.config.write_text(town.config.read_text().replace("requests_per_second: 200", "requests_per_second: 16"))
    exporter = start()
    counts = lambda: town.simulator.requests.counts  # noqa: E731 - read again and again
    eventually(lambda: counts()["ListUsers"] >= 40, "most of the pages")
    assert counts()["AdminListUserAuthEvents"] >= 0.6 * counts()["ListUsers"]
    exporter.end()
    listed = [request.instant for request in town.simulator.requests.newest if request.operation == "ListUsers"]
    for first, later in zip(listed, listed[17:], strict=False):
        assert later - first >= 1.9
    assert town.simulator.requests.most_within(3.0) <= 16 * 4


def test_listings_survive_expired_tokens_and_failures(town: Town, start: Start) -> None:
    """Tokens that expire begin a listing again, failures half way drop nobody, and a later discovery has everybody."""
    town.settle(*(f"user{number:03}" for number in range(400)))
    expired = town.faults.inject("expired_token", operation="ListUsers", requests=2)
    exporter = start()
    eventually(lambda: users(exporter) == {"ok": 400}, "everybody", seconds=90)
    assert expired.struck == 2
    assert "could not be followed" not in exporter.output
    town.faults.clear()
    broken = town.faults.inject("expired_token", operation="ListUsers")
    eventually(lambda: broken.struck >= 6, "two discoveries that fail half way")
    assert users(exporter) == {"ok": 400}
    town.faults.clear()
    town.world.delete_user(POOL, "user007")
    eventually(lambda: users(exporter) == {"ok": 399}, "a whole discovery")


def test_state_of_who_left_long_ago_is_forgotten(town: Town, start: Start, tmp_path: Path) -> None:
    """Users out of the selection for over two years leave the state with the next discovery; others stay in it."""
    town.settle("ada", "grace")
    town.happen("grace")
    exporter = start()
    eventually(lambda: users(exporter) == {"ok": 2}, "both")
    town.configure(users="usernames: [ada]")
    assert exporter.end() == 0
    state = tmp_path / "data" / "cognito-auth-exporter.db"
    with closing(sqlite3.connect(state)) as database, database:
        database.execute("UPDATE user SET selected = 0, polled_at = polled_at - 800 * 86400 WHERE name = 'grace'")
    again = start()
    eventually(lambda: users(again) == {"ok": 1}, "ada")
    eventually(lambda: town.simulator.requests.counts["DescribeUserPool"] >= 3, "the discovery")
    assert again.end() == 0
    with closing(sqlite3.connect(state)) as database:
        assert database.execute("SELECT name FROM user").fetchall() == [("ada",)]
        assert database.execute("SELECT count(*) FROM event").fetchone() == (0,)
    assert again.output.count("Traceback") == 0


def test_failing_users_are_shown(town: Town, start: Start) -> None:
    """Who fails again and again is counted by how often, over a restart, until a sign-in passes."""
    town.settle("ada", "grace")
    town.happen("ada", 4, response="Fail")
    exporter = start()

    def steps(of: ExporterProcess) -> dict[str, float]:
        samples = of.samples("cognito_auth_failing_users")
        return {dict(labels)["failures"]: value for labels, value in samples.items() if value}

    eventually(lambda: steps(exporter) == {"3-4": 1}, "the failures")
    exporter.end()
    again = start()
    eventually(lambda: again.get("/-/ready").status_code == 200, "the restart")
    assert steps(again) == {"3-4": 1}
    town.happen("ada", 2, response="Fail")
    town.happen("grace", response="Fail")
    eventually(lambda: steps(again) == {"5-9": 1, "1-2": 1}, "more failures")
    town.happen("ada")
    eventually(lambda: steps(again) == {"1-2": 1}, "the pass")
    town.world.delete_user(POOL, "grace")
    eventually(lambda: steps(again) == {}, "nobody")
