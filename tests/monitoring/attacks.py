"""Attacks and troubles to stage in the simulator, one a pool, and the alerts that each has to lead to."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from exporter.event.event import Challenge, Context, Risk
from exporter.simulator.faults import Fault, Kind
from exporter.simulator.places import COUNTRIES
from exporter.simulator.server import Simulator
from exporter.simulator.world import ScriptedWorld, auth_event

USERS = 12
CROWD = 40
PAGE = 20
"""Auth events to a page of the simulator."""

_HIGH = Risk("AccountTakeover", "High", compromised_credentials=False)
_TAKEOVER = Risk("AccountTakeover", "Medium", compromised_credentials=False)
_LEAKED = Risk("NoRisk", None, compromised_credentials=True)
_WRONG: dict[str, Any] = {"response": "Fail", "challenges": (Challenge("Password", "Failure"),)}
_STOPPED: dict[str, Any] = {
    "response": "Fail",
    "challenges": (Challenge("Password", "Success"), Challenge("Mfa", "Failure")),
}


class Stage:
    """One pool of the simulator, in which one thing happens; `faults` are in force until they are ended."""

    def __init__(self, simulator: Simulator, world: ScriptedWorld, name: str, region: str) -> None:
        self.pool_id = f"{region}_{name.replace('_', '')}"
        self.name = name
        self._simulator = simulator
        self._world = world
        self._faults: list[Fault] = []
        world.add_pool(self.pool_id)
        for number in range(CROWD if name == "stuffing" else USERS):
            world.add_user(self.pool_id, user(number))

    def happen(self, username: str, number: int = 1, **fields: object) -> str:
        """Let so many events of a user be created now, and return the id of the last."""
        for _ in range(number):
            event = self._world.add_event(self.pool_id, username, auth_event(time.time(), **fields))
        return event.event_id

    def judge(self, event_id: str, value: str) -> None:
        """Give feedback on an event."""
        self._world.give_feedback(self.pool_id, event_id, value, time.time())

    def protect(self, mode: str) -> None:
        """Set the mode of threat protection."""
        self._world.set_threat_protection(self.pool_id, mode)

    def welcome(self, username: str) -> None:
        """Create a user."""
        self._world.add_user(self.pool_id, username)

    def fail(self, kind: str, *, username: str | None = None, operation: str | None = None) -> None:
        """Let requests fail: those about a user, those of an operation, or all."""
        faults = self._simulator.faults
        self._faults.append(faults.inject(kind, pool_id=self.pool_id, username=username, operation=operation))

    def mend(self) -> None:
        """End what fails."""
        while self._faults:
            self._simulator.faults.withdraw(self._faults.pop())


def user(number: int) -> str:
    """Return the name of a pool's user."""
    return f"user-{number}"


def _each(stage: Stage, users: int, number: int = 1, **fields: object) -> None:
    for one in range(users):
        stage.happen(user(one), number, **fields)


def _abroad(stage: Stage) -> None:
    stage.happen(user(0), context=Context("192.0.2.1", "Other, Other", "-03:00", "Recife", "Brazil"))


def _many_countries(stage: Stage) -> None:
    for country in COUNTRIES:
        context = Context("192.0.2.1", "Other, Other", "+00:00", None, country.name)
        _each(stage, 1, event_type="PasswordChange", context=context)


def _recovery(stage: Stage) -> None:
    for event_type in ("ForgotPassword", "ResendCode"):
        _each(stage, 8, event_type=event_type)


def _nothing(_: Stage) -> None:
    pass


Deed = Callable[[Stage], object]


@dataclass(frozen=True, slots=True)
class Plot:
    """What happens in a pool: before everything, when it is time, and to end it.

    `alerts` have to come to their receiver; `besides` may come too, as what follows from them and is muted a moment later.
    """

    deed: Deed
    alerts: frozenset[str]
    besides: frozenset[str] = frozenset()
    before: Deed = _nothing
    end: Deed = Stage.mend
    region: str = "eu-west-1"
    users: str = "all: true"


def _plot(deed: Deed, *alerts: str, besides: tuple[str, ...] = (), **more: object) -> Plot:
    full = [frozenset(f"CognitoAuth{name}" for name in names) for names in (alerts, besides)]
    return Plot(deed, *full, **more)  # type: ignore[arg-type]


_UNANSWERED = ("PoolNotAnswering", "UsersStale", "DiscoveryFailing")

PLOTS: Mapping[str, Plot] = {
    "calm": _plot(lambda stage: _each(stage, 9)),
    "novelty": _plot(lambda stage: stage.happen(user(0), event_type="Teleportation")),
    "takeover": _plot(lambda stage: stage.happen(user(0), risk=_HIGH), "HighRiskSignIn"),
    "verdicts": _plot(lambda stage: _each(stage, 10, 3, risk=_TAKEOVER), "RiskDecisionsRising"),
    "abandoned": _plot(lambda stage: stage.happen(user(0), response="InProgress")),
    "leaked": _plot(lambda stage: stage.happen(user(0), risk=_LEAKED, **_WRONG), "CompromisedCredentials"),
    "accepted": _plot(lambda stage: stage.happen(user(0), risk=_LEAKED), "CompromisedPasswordAccepted"),
    "guessing": _plot(lambda stage: stage.happen(user(0), 12, **_WRONG), "PasswordGuessing", besides=("FailureBurst",)),
    "stuffing": _plot(lambda stage: _each(stage, CROWD, **_WRONG), "PasswordStuffing", besides=("FailureBurst",)),
    "broken": _plot(lambda stage: _each(stage, 4, 8, **_WRONG), "FailureBurst"),
    "codes": _plot(lambda stage: stage.happen(user(0), 6, **_STOPPED), "MfaFailures"),
    "abroad": _plot(_abroad, "NewCountry", "CountryNotAllowed", before=lambda stage: stage.happen(user(0))),
    "recovery": _plot(_recovery, "RecoveryBurst"),
    "feedback": _plot(lambda stage: stage.judge(stage.happen(user(0)), "Invalid"), "FeedbackInvalid"),
    "silence": _plot(_nothing, "Silence", end=lambda stage: stage.happen(user(0))),
    "unprotected": _plot(
        lambda stage: stage.protect("OFF"),
        "ThreatProtectionOff",
        besides=_UNANSWERED,
        end=lambda stage: stage.protect("ENFORCED"),
    ),
    "denied": _plot(lambda stage: stage.fail("AccessDeniedException"), "CredentialsFailing", besides=_UNANSWERED),
    "unreachable": _plot(lambda stage: stage.fail(Kind.RESET), "PoolNotAnswering", besides=_UNANSWERED),
    "throttled": _plot(
        lambda stage: stage.fail(Kind.THROTTLE),
        "Throttled",
        besides=("BudgetTooSmall", "UsersStale", "DiscoveryFailing"),
        region="eu-west-2",
    ),
    "failing": _plot(lambda stage: stage.fail(Kind.SERVER_ERROR, username=user(3)), "UsersFailing", "UsersStale"),
    "mistyped": _plot(
        _nothing,
        "UsersNotFound",
        end=lambda stage: stage.welcome("usr-1"),
        users="usernames: [usr-1, user-2]",
    ),
    "unlisted": _plot(
        _nothing,
        "DiscoveryFailing",
        before=lambda stage: stage.fail("AccessDeniedException", operation="ListUsersInGroup"),
        users="usernames: [user-1], groups: [administrators]",
    ),
    "deep": _plot(lambda stage: stage.happen(user(0), 7 * PAGE), "EventsMissed"),
    "countries": _plot(_many_countries, "SeriesFolded"),
}
"""By name of the pool."""
