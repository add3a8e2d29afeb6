"""What users and attackers do: each episode is a short list of acts, and each act leaves one auth event."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from random import Random

from exporter.event.event import Challenge
from exporter.simulator.people import Person
from exporter.simulator.places import Origin, country_other_than, origin_in

_RIGHT_PASSWORD = Challenge("Password", "Success")
_WRONG_PASSWORD = Challenge("Password", "Failure")


class Suspicion(Enum):
    """How strange an act looks to threat protection; NONE is beyond doubt."""

    NONE = auto()
    USUAL = auto()
    ABROAD = auto()
    HOSTILE = auto()


@dataclass(frozen=True, slots=True)
class Step:
    """A state of an event, from `after` seconds after its creation on."""

    after: float
    response: str
    challenges: tuple[Challenge, ...] = ()


@dataclass(frozen=True, slots=True)
class Act:
    """A request that leaves an auth event, `at` seconds after its episode began."""

    at: float
    event_type: str
    steps: tuple[Step, ...]
    origin: Origin
    suspicion: Suspicion


@dataclass(frozen=True, slots=True)
class Scene:
    """Who acts, and from where."""

    person: Person
    origin: Origin
    suspicion: Suspicion

    def act(self, at: float, event_type: str, *steps: Step) -> Act:
        """Return an act of this scene."""
        return Act(at, event_type, steps, self.origin, self.suspicion)


def draw_episode(rng: Random, scene: Scene) -> list[Act]:
    """Draw what happens next in the life of a user; nobody attacks where suspicion is beyond question."""
    episodes = _HONEST_EPISODES if scene.suspicion is Suspicion.NONE else _EPISODES
    return rng.choices(list(episodes), list(episodes.values()))[0](rng, scene)


def _sign_in(rng: Random, scene: Scene) -> list[Act]:
    acts: list[Act] = []
    at = 0.0
    while rng.random() < scene.person.mistypes and len(acts) < 4:
        acts.append(scene.act(at, "SignIn", Step(0.0, "Fail", (_WRONG_PASSWORD,))))
        at += rng.uniform(4.0, 20.0)
    steps = _with_mfa(rng) if scene.person.uses_mfa else (Step(0.0, "Pass", (_RIGHT_PASSWORD,)),)
    return [*acts, scene.act(at, "SignIn", *steps)]


def _with_mfa(rng: Random) -> tuple[Step, ...]:
    begun = Step(0.0, "InProgress", (_RIGHT_PASSWORD,))
    draw = rng.random()
    if draw < 0.08:
        return (begun,)
    response, result = ("Fail", "Failure") if draw < 0.12 else ("Pass", "Success")
    return (begun, Step(rng.uniform(5.0, 60.0), response, (_RIGHT_PASSWORD, Challenge("Mfa", result))))


def _forgotten_password(rng: Random, scene: Scene) -> list[Act]:
    wrong = [scene.act(8.0 * number, "SignIn", Step(0.0, "Fail", (_WRONG_PASSWORD,))) for number in range(2)]
    response = "Fail" if rng.random() < 0.06 else "Pass"
    acts = [*wrong, scene.act(30.0, "ForgotPassword", Step(0.0, response))]
    if rng.random() < 0.3:
        acts.append(scene.act(rng.uniform(60.0, 120.0), "ResendCode", Step(0.0, "Pass")))
    if response == "Pass":
        acts.append(scene.act(rng.uniform(130.0, 400.0), "SignIn", Step(0.0, "Pass", (_RIGHT_PASSWORD,))))
    return acts


def _password_change(rng: Random, scene: Scene) -> list[Act]:
    response = "Fail" if rng.random() < 0.1 else "Pass"
    change = scene.act(rng.uniform(30.0, 90.0), "PasswordChange", Step(0.0, response))
    return [scene.act(0.0, "SignIn", Step(0.0, "Pass", (_RIGHT_PASSWORD,))), change]


def sign_up(rng: Random, scene: Scene) -> list[Act]:
    """Return a sign-up, which Cognito leaves in progress for ever, and now and then a lost code."""
    acts = [scene.act(0.0, "SignUp", Step(0.0, "InProgress"))]
    if rng.random() < 0.3:
        acts.append(scene.act(rng.uniform(40.0, 200.0), "ResendCode", Step(0.0, "Pass")))
    return acts


def _guessing(rng: Random, scene: Scene) -> list[Act]:
    attacker = _attacker(rng, scene.person)
    tries = rng.randint(6, 30)
    acts = [
        attacker.act(number * 1.7 + rng.random(), "SignIn", Step(0.0, "Fail", (_WRONG_PASSWORD,)))
        for number in range(tries)
    ]
    if rng.random() < 0.05:
        acts.append(attacker.act(tries * 1.7 + 1.0, "SignIn", Step(0.0, "Pass", (_RIGHT_PASSWORD,))))
    return acts


def _attacker(rng: Random, victim: Person) -> Scene:
    country = country_other_than(rng, victim.origins[0].country)
    return Scene(victim, origin_in(rng, country, hostile=True), Suspicion.HOSTILE)


def stuffing(rng: Random, scene: Scene) -> list[Act]:
    """Return one try of a list of leaked passwords, rarely the right one."""
    leaked = rng.random() < 0.03
    step = Step(0.0, "Pass", (_RIGHT_PASSWORD,)) if leaked else Step(0.0, "Fail", (_WRONG_PASSWORD,))
    return [scene.act(0.0, "SignIn", step)]


_HONEST_EPISODES: dict[Callable[[Random, Scene], list[Act]], float] = {
    _sign_in: 92.0,
    _forgotten_password: 3.0,
    _password_change: 2.0,
    sign_up: 1.0,  # somebody registers anew under a name that exists, and never confirms it
}
_EPISODES = {**_HONEST_EPISODES, _guessing: 0.5}
