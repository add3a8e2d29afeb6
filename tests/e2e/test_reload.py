"""Reload: everything but the state's path changes while it runs, without a count or a poll lost; a mistake changes nothing."""

import signal
import time

import httpx
from prometheus_client.parser import text_string_to_metric_families

from exporter.simulator.world import auth_event
from tests.conftest import ExporterProcess, Start, eventually
from tests.e2e.conftest import Town

EVENTS = "cognito_auth_events_total"
OTHER = "eu-west-1_Other"


def test_a_bad_file_changes_nothing(town: Town, start: Start) -> None:
    """SIGHUP and POST /-/reload read the configuration anew; a bad file changes nothing and says so; counts go on."""
    town.settle("ada", "grace")
    town.happen("ada", 2)
    town.configure(users="usernames: [ada]")
    exporter = start("--web.enable-lifecycle")
    eventually(lambda: exporter.total(EVENTS) == 2, "the first events")
    town.happen("grace", 3)
    good = town.config.read_text()
    town.config.write_text("user_pools: []\nnonsense: 1\n")
    answer = _post(exporter.url)
    assert answer.status_code == 500
    assert "nonsense" in answer.text
    assert exporter.samples("cognito_auth_exporter_config_last_reload_successful") == {(): 0}
    assert exporter.total(EVENTS) == 2
    town.config.write_text(
        good.replace("usernames: [ada]", "usernames: [ada, grace]").replace("name: scripted", "name: new")
    )
    exporter.popen.send_signal(signal.SIGHUP)
    eventually(lambda: exporter.total(EVENTS) == 5, "grace's events")
    assert exporter.samples("cognito_auth_exporter_config_last_reload_successful") == {(): 1}
    assert 'user_pool="scripted"' not in exporter.get("/metrics").text
    town.config.write_text(town.config.read_text() + "state: {path: elsewhere.db}\n")
    answer = _post(exporter.url)
    assert (answer.status_code, "state.path" in answer.text) == (500, True)


def _post(url: str) -> httpx.Response:
    return httpx.post(f"{url}/-/reload", timeout=20)


def test_a_reload_keeps_what_the_pool_has_told(town: Town, start: Start) -> None:
    """Neither `up` nor the users' states nor readiness fall at a reload, though nobody may be polled again for a while."""
    text = town.config.read_text().replace("min_interval: 1s", "min_interval: 15s")
    town.config.write_text(text)
    town.settle("ada")
    exporter = start("--web.enable-lifecycle")
    eventually(lambda: exporter.samples("cognito_auth_up") == {(): 1}, "the pool")
    for _ in range(3):
        assert _post(exporter.url).status_code == 200
        assert exporter.samples("cognito_auth_up") == {(): 1}
        assert exporter.samples("cognito_auth_exporter_users")[("state", "ok"),] == 1
        assert exporter.get("/-/ready").status_code == 200


def test_a_reload_forgets_no_throttling(town: Town, start: Start) -> None:
    """The budget that throttling has cut is as small after a reload as before."""
    town.settle("ada")
    town.faults.inject("throttle")
    exporter = start("--web.enable-lifecycle")
    name = "cognito_auth_exporter_request_budget_per_second"
    eventually(lambda: max(exporter.samples(name).values(), default=100) < 60, "the cut")
    assert _post(exporter.url).status_code == 200
    assert max(exporter.samples(name).values()) < 100


def test_ends_in_time_during_a_reload_while_aws_hangs(town: Town, start: Start) -> None:
    """A reload that waits for hanging requests does not add its wait to that of the stop."""
    town.settle("ada", "grace")
    exporter = start()
    eventually(lambda: exporter.samples("cognito_auth_up") == {(): 1}, "the pool")
    town.faults.inject("hang")
    before = sum(town.simulator.requests.counts.values())
    eventually(lambda: sum(town.simulator.requests.counts.values()) > before, "a hanging request")
    exporter.popen.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    began = time.monotonic()
    assert exporter.end() == 0
    assert time.monotonic() - began < 2 + 2  # request_timeout + 2 s
    assert "Traceback" not in exporter.output


def test_a_mistake_shows_nobody_on_the_page(town: Town, start: Start) -> None:
    """A user's name that is no text fails the reload; the page and its JSON tell where, and neither they nor the log show it."""
    exporter = start()
    eventually(lambda: exporter.get("/-/ready").status_code == 200, "the exporter")
    town.configure(users="usernames: [491711234567]")
    exporter.popen.send_signal(signal.SIGHUP)
    eventually(lambda: "the configuration was not reloaded" in exporter.output, "the failure")
    for path in ("/", "/api/v1/status"):
        answer = exporter.get(path).text
        assert "config.yaml:6:25" in answer
        assert "491711234567" not in answer
    assert "a number is not a text" in exporter.output
    assert "491711234567" not in exporter.output


def test_a_group_that_is_misspelt_shows_on_the_page(town: Town, start: Start) -> None:
    """A selector that matches nobody is among what is wrong, with its path, though everything else is well."""
    town.settle("ada")
    town.configure(users="usernames: [ada], groups: [administratorz]")
    exporter = start()

    def told() -> bool:
        problems = exporter.get("/api/v1/status").json()["data"]["problems"]
        return [problem["text"] for problem in problems] == ["Selectors match nobody: user_pools[0].users.groups[0]"]

    eventually(told, "the selector among the problems")


def test_everything_else_may_change(town: Town, start: Start) -> None:
    """Pools, users, budget, intervals and labels change at reloads: counts go on, and a pool that is put back counts on."""
    town.world.add_pool(OTHER)
    town.world.add_user(OTHER, "eve")
    town.settle("ada", "grace")
    town.happen("ada", 3)
    town.configure(users="usernames: [ada]")
    one = town.config.read_text()
    two = one.replace(
        "polling:",
        f"  - {{id: {OTHER}, name: other, endpoint_url: {town.simulator.url}, users: {{all: true}}}}\npolling:",
    )
    exporter = start("--web.enable-lifecycle")

    def reload(text: str) -> None:
        town.config.write_text(text)
        answer = _post(exporter.url)
        assert answer.status_code == 200, answer.text

    eventually(lambda: exporter.total(EVENTS) == 3, "the first events")
    reload(
        two.replace("usernames: [ada]", "usernames: [ada, grace]").replace(
            "series_hold: 0s", "series_hold: 0s, country: name"
        )
    )
    town.happen("grace", 2)
    town.world.add_event(OTHER, "eve", auth_event(time.time()))
    eventually(lambda: _counts(exporter) == {"scripted": 5, "other": 1}, "all events")
    assert {dict(labels)["country"] for labels in exporter.samples(EVENTS)} == {"United Kingdom"}
    reload(
        one.replace("requests_per_second: 200", "requests_per_second: 50")
        .replace("min_interval: 1s, max_staleness: 1m", "min_interval: 1s, max_staleness: 2s")
        .replace("series_hold: 0s", "series_hold: 0s, country: none, per_user: plain")
    )
    assert exporter.total("cognito_auth_exporter_request_budget_per_second") == 50
    eventually(lambda: exporter.total("cognito_auth_exporter_requests_needed_per_second") == 0.5, "one user each 2 s")
    assert _counts(exporter) == {"scripted": 5}
    assert not any("country" in dict(labels) for labels in exporter.samples(EVENTS))
    town.world.add_event(OTHER, "eve", auth_event(time.time()))
    town.happen("ada")
    eventually(lambda: exporter.samples("cognito_auth_user_events_total"), "ada's own series")
    reload(two)
    eventually(lambda: _counts(exporter) == {"scripted": 6, "other": 2}, "what happened in the pool meanwhile")


def test_scrapes_during_reloads_see_no_hole(town: Town, start: Start) -> None:
    """While reloads follow each other and events go on, no scrape misses a series or sees a count fall."""
    town.settle("ada")
    town.happen("ada", 3)
    exporter = start()
    eventually(lambda: exporter.total(EVENTS) == 3, "the first events")
    before = 0.0
    for turn in range(60):
        if turn % 6 == 0:
            exporter.popen.send_signal(signal.SIGHUP)
        town.happen("ada")
        count = exporter.total(EVENTS)
        assert count >= max(before, 3)
        before = count
        assert exporter.samples("cognito_auth_up") == {(): 1}
        assert exporter.get("/-/ready").status_code == 200
    eventually(lambda: exporter.total(EVENTS) == town.truth, "all events")
    assert exporter.output.count("the configuration was reloaded") >= 5


def _counts(exporter: ExporterProcess) -> dict[str, float]:
    """Return the number of events by pool."""
    counts: dict[str, float] = {}
    for family in text_string_to_metric_families(exporter.get("/metrics").text):
        for sample in family.samples:
            if sample.name == EVENTS:
                counts[sample.labels["user_pool"]] = counts.get(sample.labels["user_pool"], 0) + sample.value
    return counts
