"""What the counts are a sign of: high risk that passed, stopped sign-ins, abandoned flows, users who fail in a row."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.event.event import AuthEvent, Challenge, Risk
from exporter.ledger.counters import ABANDONED_FLOWS, HIGH_RISK_SIGN_INS, STOPPED_SIGN_INS
from exporter.ledger.ledger import FailedSignIns
from tests.ledger.scene import BEGIN, POOL, Scene, auth_event

RIGHT, WRONG = Challenge("Password", "Success"), Challenge("Password", "Failure")
MFA_FAILED, MFA_PASSED = Challenge("Mfa", "Failure"), Challenge("Mfa", "Success")
HIGH, LOW = Risk("AccountTakeover", "High", False), Risk("NoRisk", "Low", False)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Return a scene with one user."""
    made = Scene(tmp_path / "state.db")
    made.select("alice")
    yield made
    made.close()


SIGNALS: list[tuple[AuthEvent, dict[str, tuple[str, ...]]]] = [
    (auth_event("e", 1, risk=HIGH), {HIGH_RISK_SIGN_INS: ("AccountTakeover",)}),
    (auth_event("e", 1, risk=LOW), {}),
    (auth_event("e", 1, "Fail", risk=HIGH), {}),
    (auth_event("e", 1, event_type="PasswordChange", risk=HIGH), {}),
    (auth_event("e", 1, "Fail", challenges=(RIGHT, MFA_FAILED)), {STOPPED_SIGN_INS: ("Mfa",)}),
    (auth_event("e", 1, "Fail", challenges=(WRONG, RIGHT, MFA_FAILED, MFA_FAILED)), {STOPPED_SIGN_INS: ("Mfa",)}),
    (auth_event("e", 1, "Fail", challenges=(RIGHT, Challenge("Riddle", "Failure"))), {STOPPED_SIGN_INS: ("Riddle",)}),
    (auth_event("e", 1, "Pass", challenges=(RIGHT, MFA_FAILED, MFA_PASSED)), {}),
    (auth_event("e", 1, "Fail", challenges=(MFA_FAILED, WRONG)), {}),
    (auth_event("e", 1, "Fail", challenges=(MFA_FAILED, RIGHT)), {}),
    (auth_event("e", 1, "Fail", challenges=(RIGHT,)), {}),
    (auth_event("e", 1, "InProgress", challenges=(RIGHT,)), {ABANDONED_FLOWS: ("SignIn", "true")}),
    (auth_event("e", 1, "InProgress", challenges=(WRONG,)), {ABANDONED_FLOWS: ("SignIn", "false")}),
    (
        auth_event("e", 1, "InProgress", challenges=(RIGHT, MFA_FAILED)),
        {ABANDONED_FLOWS: ("SignIn", "true"), STOPPED_SIGN_INS: ("Mfa",)},
    ),
    (auth_event("e", 1, "InProgress", event_type="ForgotPassword"), {ABANDONED_FLOWS: ("ForgotPassword", "false")}),
    (auth_event("e", 1, "InProgress", event_type="SignUp"), {}),
]


@pytest.mark.parametrize(("event", "signals"), SIGNALS)
def test_signals(event: AuthEvent, signals: dict[str, tuple[str, ...]], scene: Scene) -> None:
    """Each event counts under what it is a sign of, when it is counted, and under nothing else."""
    scene.poll(event, now=2000)
    families = (HIGH_RISK_SIGN_INS, STOPPED_SIGN_INS, ABANDONED_FLOWS)
    counted = {family: counts for family in families if (counts := scene.counts(family))}
    assert counted == {family: {labels: 1} for family, labels in signals.items()}


def test_an_abandoned_flow_counts_when_it_is_given_up(scene: Scene) -> None:
    """A flow in progress is no sign of anything until it has had its time, and none if it ends well."""
    started = auth_event("e", 100, "InProgress", challenges=(RIGHT,))
    scene.poll(started, now=110)
    assert scene.counts(ABANDONED_FLOWS) == {}
    scene.poll(started._replace(response="Pass"), now=120)
    assert scene.counts(ABANDONED_FLOWS) == {}
    scene.poll(auth_event("f", 200, "InProgress", challenges=(RIGHT,)), now=210)
    scene.poll(gone=True, now=2000)
    assert scene.counts(ABANDONED_FLOWS) == {("SignIn", "true"): 1}


# -- failing users ---------------------------------------------------------------------------------------------------------------


def failing(scene: Scene) -> dict[str, tuple[int, float]]:
    """Return who is failing, how often in a row, and when last, as it is loaded at a start."""
    told = scene.ledger.load(POOL, BEGIN).failing
    names = {scene.row(name): name for name in scene.selected()}
    return {names[user]: (each.failures, each.failed_at - BEGIN) for user, each in told.items() if each is not None}


def fail(number: int, **changes: Any) -> AuthEvent:
    """Return a sign-in that failed, created at that second."""
    return auth_event(f"e{number}", number, "Fail", **changes)


def test_failures_in_a_row_add_up_and_end_with_a_pass(scene: Scene) -> None:
    """Failed sign-ins add up over polls that show each other's, and a passed one ends the row."""
    change = scene.poll(fail(1), fail(2), now=10)
    assert failing(scene) == {"alice": (2, 2)}
    assert change.failing == {scene.row(): FailedSignIns(2, BEGIN + 2)}
    scene.poll(fail(2), fail(11), now=20)
    assert failing(scene) == {"alice": (3, 11)}
    scene.restart()
    change = scene.poll(fail(11), fail(21), now=30)
    assert failing(scene) == {"alice": (4, 21)}
    assert change.failing == {scene.row(): FailedSignIns(4, BEGIN + 21)}
    change = scene.poll(fail(21), auth_event("p", 22), now=40)
    assert (failing(scene), change.failing) == ({}, {scene.row(): None})
    assert scene.poll(auth_event("p", 22), now=45).failing == {}
    scene.poll(auth_event("p", 22), fail(41), now=50)
    assert failing(scene) == {"alice": (1, 41)}


def test_every_failure_counts_once_whenever_it_is_known(scene: Scene) -> None:
    """A failure that ends after a younger one, turns up late, or has the time of another counts, though pages show a part."""
    scene.poll(*(fail(number) for number in range(1, 6)), auth_event("slow", 5.5, "InProgress"), now=10)
    assert failing(scene) == {"alice": (5, 5)}
    scene.poll(fail(6), auth_event("twin", 6, "Fail"), auth_event("slow", 5.5, "Fail"), now=20)
    assert failing(scene) == {"alice": (8, 6)}
    scene.poll(auth_event("late", 4.5, "Fail"), fail(6), now=30)
    assert failing(scene) == {"alice": (9, 6)}
    scene.poll(fail(5), fail(6), now=40)
    assert failing(scene) == {"alice": (9, 6)}


def test_only_ended_sign_ins_tell(scene: Scene) -> None:
    """Other events, and sign-ins in progress, neither end a row nor make it longer."""
    scene.poll(fail(1), auth_event("x", 2, event_type="PasswordChange"), auth_event("y", 3, "InProgress"), now=10)
    scene.poll(fail(4, event_type="ForgotPassword"), now=20)
    assert failing(scene) == {"alice": (1, 1)}


def test_a_late_pass_ends_what_came_before(scene: Scene) -> None:
    """A passed sign-in that turns up late ends the failures before it, not those after; a late failure before it is none."""
    scene.poll(fail(1), fail(5), now=10)
    scene.poll(fail(1), auth_event("p", 3), fail(5), now=20)
    assert failing(scene) == {"alice": (1, 5)}
    scene.poll(fail(2), auth_event("p", 3), fail(5), now=30)
    assert failing(scene) == {"alice": (1, 5)}
    scene.poll(auth_event("p", 3), fail(4), fail(5), fail(6), now=40)
    assert failing(scene) == {"alice": (3, 6)}


def test_history_from_before_the_start_tells(scene: Scene) -> None:
    """As in the gauges, what is not counted is seen: who was failing before the start is failing."""
    scene.select("alice", "bob", now=100, start="now")
    scene.poll(fail(90), fail(91), now=110, user="bob")
    assert (failing(scene), scene.counts()) == ({"bob": (2, 91)}, {})


def test_who_is_gone_is_not_failing(scene: Scene) -> None:
    """Whoever AWS does not know, or is no longer selected, is failing no more, though a poll of theirs ends after that."""
    scene.poll(fail(1), now=10)
    assert scene.poll(gone=True, now=20).failing == {scene.row(): None}
    assert failing(scene) == {}
    scene.poll(fail(25), now=30)
    scene.select("bob", now=40)
    assert failing(scene) == {}
    assert scene.poll(fail(25), fail(45), now=50).failing == {scene.row(): None}
