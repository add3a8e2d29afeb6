"""What /metrics shows of a known state, byte for byte, in both formats, and that Prometheus takes it."""

import re
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.fetch.outcome import Outcome
from exporter.ledger import counters
from exporter.ledger.ledger import CounterState, EventState, FailedSignIns, PoolState
from exporter.metrics.committed import Committed
from exporter.metrics.exposition import Exposition
from exporter.metrics.families import FAMILIES, Kind
from exporter.metrics.instruments import Instruments
from exporter.metrics.view import PoolView, Presentation
from exporter.schedule.status import BudgetStatus, PoolStatus, Status
from tests.conftest import need

NOW = 1_700_000_000.0
GOLDEN = Path(__file__).parent / "golden"
PLAIN = Presentation(country="code", per_user="none", hash_key=b"key", recent_window=3600)
HIGH = ("SignIn", "Pass", "High", "United Kingdom")
LOW = ("SignIn", "Fail", "Low", 'Land "of" \\ back\nslash')


def committed() -> PoolState:
    """Return a state with something of every family."""
    return PoolState(
        counters=[
            CounterState(1, counters.EVENTS, HIGH, 3, NOW - 60, "event-1"),
            CounterState(2, counters.EVENTS, LOW, 0, NOW - 90, None),
            CounterState(3, counters.EVENTS, ("SignUp", "InProgress", "None", "unknown"), None, NOW - 30, None),
            CounterState(4, counters.EVENTS, (*HIGH[:3], "UK"), 2, NOW - 99, "event-0"),
            CounterState(5, counters.EVENTS, ("ResendCode", "Pass", "None", "FR"), 1, NOW - 9000, "x" * 200),
            CounterState(6, counters.RISK_DECISIONS, ("SignIn", "High", "AccountTakeover"), 3, None, None),
            CounterState(7, counters.FEEDBACK, ("Valid", "Admin"), 1, None, None),
            CounterState(8, counters.NEW_COUNTRY_SIGN_INS, ("Côte d'Ivoire",), 1, None, None),
            CounterState(12, counters.STOPPED_SIGN_INS, ("Mfa",), 2, None, None),
            CounterState(9, counters.USER_EVENTS, ("alice", "SignIn", "Pass", "High"), 3, NOW - 60, None),
            CounterState(10, counters.USER_EVENTS, ("alice", "SignIn", "Pass", "Low"), 3, NOW - 50, None),
            CounterState(11, counters.USER_EVENTS, ("other", "SignIn", "Pass", "Low"), 1, NOW - 70, None),
        ],
        events=[
            EventState("event-1", NOW - 60, 1, 1, "SignIn", is_open=False),
            EventState("event-0", NOW - 99, 1, 4, "SignIn", is_open=False),
            EventState("event-2", NOW - 30, 2, 3, "SignUp", is_open=True),
            EventState("event-3", NOW - 3600, 2, 5, "ResendCode", is_open=False),
        ],
        failing={
            1: FailedSignIns(4, NOW - 60),
            2: FailedSignIns(1, NOW - 86_400),
            3: FailedSignIns(20, NOW - 86_399),
            4: FailedSignIns(4, NOW - 60),
            5: FailedSignIns(2, NOW - 60),
            6: FailedSignIns(1, NOW - 60),
        },
        lags=[1.0],
        unknown_values={"response": 2},
        folded=1,
    )


STATUS = Status(
    version="1.2.3",
    now=NOW,
    started=NOW - 500,
    pools=(
        PoolStatus(
            name="customers", pool_id="eu-west-1_Ab129faBb", region="eu-west-1", account="default/eu-west-1", up=True,
            users={"ok": 3, "waiting": 0, "not_found": 1, "failing": 0}, oldest_poll=NOW - 90, newest_poll=NOW - 1,
            lag_seconds=4.0, in_progress=1, errors=(), threat_protection="ENFORCED",
        ),
    ),
    budgets=(BudgetStatus("default/eu-west-1", 5.0, 2.5, 0.0125, 900.0),),
    max_staleness=900,
    recent_window=3600,
    ready=True,
    stuck=None,
    reload_error=None,
)  # fmt: skip


@dataclass
class Shown:
    """An exposition of a known state."""

    presentation: Presentation = PLAIN
    state: PoolState = field(default_factory=committed)
    status: Status = STATUS

    def exposition(self, *, instruments: bool = False) -> Exposition:
        """Return the exposition, with the exporter's own counters where asked for."""
        view = PoolView("customers", self.presentation)
        view.update(self.state, NOW)
        shown = Committed(lambda: {"customers": view}, lambda: self.status, lambda: NOW)
        own = Instruments()
        self._use(own)
        return Exposition(*([own.sections] if instruments else []), shown.sections)

    def _use(self, instruments: Instruments) -> None:
        instruments.built("1.2.3", "abc", "3.11.0")
        instruments.reloaded(NOW)
        instruments.show_pool("customers")
        instruments.request("customers", "AdminListUserAuthEvents", Outcome.OK, 0.02)
        instruments.poll("customers", Outcome.OK)
        instruments.truncated_poll("customers")
        instruments.committed("customers", self.state)

    def values(self, name: str) -> dict[tuple[str, ...], float]:
        """Return a family's samples by label values in the order of the names."""
        text = self.exposition().text().decode()
        return {
            tuple(value for _, value in sorted(sample.labels.items())): sample.value
            for family in parse_text(text)
            for sample in family.samples
            if sample.name == name
        }


FORMATS = {"text": (Exposition.text, "metrics.txt"), "openmetrics": (Exposition.openmetrics, "openmetrics.txt")}
NAMES = {family.name for family in FAMILIES}


@pytest.mark.parametrize("form", FORMATS)
def test_golden(form: str) -> None:
    """A known state is shown exactly so; look at the difference, and if it is meant, write the file anew."""
    render, name = FORMATS[form]
    assert render(Shown().exposition(), NAMES).decode() == (GOLDEN / name).read_text()


def test_promtool_takes_the_text() -> None:
    """`promtool check metrics` finds nothing to say about the whole exposition, own families and per_user included."""
    promtool = need("promtool", "apt-get install prometheus")
    text = Shown(replace(PLAIN, per_user="hashed")).exposition(instruments=True).text()
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


def test_openmetrics_parses_strictly() -> None:
    """The OpenMetrics exposition satisfies the reference parser, exemplars included, and has no _created series."""
    text = Shown(replace(PLAIN, per_user="plain")).exposition(instruments=True).openmetrics().decode()
    samples = [sample for family in parse_openmetrics(text) for sample in family.samples]
    exemplars = [sample.exemplar.labels for sample in samples if sample.exemplar]
    assert exemplars == [{"event_id": "event-1"}]
    assert not [sample.name for sample in samples if sample.name.endswith("_created")]


def test_every_family_of_the_table_is_served_and_no_other() -> None:
    """What is served is what the table declares: name, type, help and labels."""
    exposition = Shown(replace(PLAIN, per_user="plain")).exposition(instruments=True)
    served: dict[str, Any] = {}
    for metric in parse_text(exposition.text().decode()):
        if metric.name.startswith("cognito_auth_"):
            served[metric.name + ("_total" if metric.type == "counter" else "")] = metric
    assert served.keys() == {family.name for family in FAMILIES}
    for family in FAMILIES:
        shown = served[family.name]
        labels = {name for sample in shown.samples for name in sample.labels} - (
            {"le"} if family.kind is Kind.HISTOGRAM else set()
        )
        assert (shown.type, shown.documentation, labels) == (family.kind.value, family.help, set(family.labels))


def test_spellings_of_a_country_are_one_series() -> None:
    """Two spellings of one country add up under its code; under names they stand apart."""
    assert Shown().values("cognito_auth_events_total")["GB", "SignIn", "Pass", "High", "customers"] == 5
    named = Shown(replace(PLAIN, country="name")).values("cognito_auth_events_total")
    assert named["United Kingdom", "SignIn", "Pass", "High", "customers"] == 3


def test_country_none_leaves_the_label_out() -> None:
    """Without countries the label and the family of new countries are gone, and counts add up."""
    shown = Shown(replace(PLAIN, country="none"))
    assert shown.values("cognito_auth_events_total")["SignIn", "Pass", "High", "customers"] == 5
    assert shown.values("cognito_auth_recent_events")["SignIn", "Pass", "High", "customers"] == 2
    assert shown.values("cognito_auth_new_country_sign_ins_total") == {}


def test_users_are_hashed_or_plain_only_when_asked() -> None:
    """No user name is shown unless per_user says plain; hashed names are 16 hexadecimal digits that depend on the key."""
    assert b"alice" not in Shown().exposition().text()
    hashed = Shown(replace(PLAIN, per_user="hashed"))
    assert b"alice" not in hashed.exposition().text()
    users = {labels[-2] for labels in hashed.values("cognito_auth_user_events_total")}
    other_key = Shown(replace(PLAIN, per_user="hashed", hash_key=b"another"))
    assert users != {labels[-2] for labels in other_key.values("cognito_auth_user_events_total")}
    assert users - {"other"} == {next(iter(users - {"other"}))}
    assert all(len(user) == 16 and int(user, 16) >= 0 for user in users - {"other"})
    plain = Shown(replace(PLAIN, per_user="plain")).values("cognito_auth_user_last_event_timestamp_seconds")
    assert plain["SignIn", "Pass", "alice", "customers"] == NOW - 50


def test_recent_events_expire() -> None:
    """Recent events leave the gauges when they are older than the window; what stands at its edge has left."""
    view = PoolView("customers", PLAIN)
    view.update(committed(), NOW)
    users = Shown().values("cognito_auth_recent_users")
    assert (sum(view.recent_events().values()), users["GB", "SignIn", "Pass", "High", "customers"]) == (3, 1)
    view.expire(NOW + 3540)
    assert sum(view.recent_events().values()) == 1
    view.expire(NOW + 3600)
    assert not view.recent_events()


def test_an_event_that_ends_leaves_in_progress() -> None:
    """An event counts as in progress until a commit says otherwise, however old it is."""
    view = PoolView("customers", PLAIN)
    view.update(committed(), NOW)
    view.expire(NOW + 9000)
    assert view.in_progress()["SignUp"] == 1
    view.update(PoolState(events=[EventState("event-2", NOW - 30, 2, 1, "SignUp", is_open=False)]), NOW)
    assert view.in_progress() == {"SignIn": 0, "SignUp": 0, "ForgotPassword": 0, "PasswordChange": 0, "ResendCode": 0}


def test_pool_that_leaves_takes_its_series_along() -> None:
    """Nothing of a removed pool is left among the exporter's own series."""
    instruments = Instruments()
    for pool in ("customers", "staff"):
        instruments.show_pool(pool)
        instruments.request(pool, "ListUsers", Outcome.OK, 0.1)
        instruments.committed(pool, PoolState(lags=[1.0], folded=1))
    instruments.hide_pool("customers")
    text = Exposition(instruments.sections).text().decode()
    assert 'user_pool="customers"' not in text
    assert 'user_pool="staff"' in text


def test_no_transaction_was_in_1970() -> None:
    """Until the state is open there is no time of its last transaction: an alert on its age would be wrong."""
    own = Instruments()
    name = "cognito_auth_exporter_ledger_last_commit_timestamp_seconds"
    assert not re.search(rf"^{name} ", Exposition(own.sections).text().decode(), re.MULTILINE)
    own.ledger_committed(NOW)
    assert re.search(rf"^{name} 1\.7e\+?0?9$", Exposition(own.sections).text().decode(), re.MULTILINE)
