"""How an act becomes an auth event: an id, a verdict of threat protection, its context, feedback that comes later."""

import math
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random

from exporter.event.event import AuthEvent, Feedback, Risk
from exporter.simulator.episodes import Act, Step, Suspicion
from exporter.simulator.places import context
from exporter.simulator.world import EventRecord

# RiskLevel is absent with NoRisk, and with Block from an always-block address.
_VERDICTS = (("NoRisk", None), ("AccountTakeover", "Low"), ("AccountTakeover", "Medium"), ("AccountTakeover", "High"))
_VERDICTS_AND_BLOCKS = (*_VERDICTS, ("Block", "High"), ("Block", None))
_WEIGHTS = {
    Suspicion.NONE: (970, 25, 5, 0, 0, 0),
    Suspicion.USUAL: (960, 27, 8, 4, 1, 0),
    Suspicion.ABROAD: (600, 200, 130, 60, 10, 0),
    Suspicion.HOSTILE: (120, 130, 200, 350, 170, 30),
}
_COMPROMISED = {Suspicion.NONE: 0.0, Suspicion.USUAL: 0.002, Suspicion.ABROAD: 0.002, Suspicion.HOSTILE: 0.08}
_FEEDBACK_AFTER = math.log(240.0)  # world seconds in the middle

Clock = Callable[[float], float]
"""Turns a moment of the world (epoch seconds) into the real one (epoch seconds) at which it is seen."""


def record(rng: Random, act: Act, began: float, real: Clock) -> EventRecord:
    """Return the event that an act leaves, its episode having begun at `began` (world, epoch seconds)."""
    moment = began + act.at
    risk = _risk(rng, act)
    steps = _blocked(act.steps) if risk.decision == "Block" else act.steps
    first = _first_state(rng, act, risk, round(real(moment), 3))
    states = [
        (real(moment + step.after), first._replace(response=step.response, challenges=step.challenges))
        for step in steps
    ]
    states += _feedback(rng, act, moment, states[-1][1], real)
    return EventRecord(visible_at=real(moment) + rng.uniform(0.2, 3.0), states=tuple(states))


def _first_state(rng: Random, act: Act, risk: Risk, created: float) -> AuthEvent:
    return AuthEvent(
        event_id=str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        created=datetime.fromtimestamp(created, UTC),
        event_type=act.event_type,
        response=None,
        risk=risk,
        challenges=(),
        context=context(rng, act.origin),
        feedback=None,
    )


def _risk(rng: Random, act: Act) -> Risk:
    decision, level = rng.choices(_VERDICTS_AND_BLOCKS, _WEIGHTS[act.suspicion])[0]
    compromised = rng.random() < _COMPROMISED[act.suspicion] and act.event_type == "SignIn"
    return Risk(decision, level, compromised_credentials=compromised)


def _blocked(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    return (Step(0.0, "Fail", steps[0].challenges),)


def _feedback(rng: Random, act: Act, moment: float, last: AuthEvent, real: Clock) -> list[tuple[float, AuthEvent]]:
    risky = last.risk is not None and last.risk.decision != "NoRisk"
    after = 90.0 + rng.lognormvariate(_FEEDBACK_AFTER, 1.0)  # nobody judges a sign-in that is still going on
    draw, doubt, by_admin = rng.random(), rng.random(), rng.random() < 0.8
    if draw > (0.1 if risky else 0.001):
        return []
    is_doubted = act.suspicion is not Suspicion.NONE and (doubt < 0.85) == (act.suspicion is Suspicion.HOSTILE)
    value = "Invalid" if is_doubted else "Valid"
    date = datetime.fromtimestamp(round(real(moment + after), 3), UTC)
    given = Feedback(value, "Admin" if by_admin else "User", date)
    return [(date.timestamp(), last._replace(feedback=given))]
