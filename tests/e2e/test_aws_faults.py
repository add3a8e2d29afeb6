"""Faults of AWS at a third of all requests and more: what is counted is exact, and the cost is bounded."""

import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.event.event import AuthEvent, Challenge, Context, Risk
from exporter.fetch.outcome import Outcome
from exporter.simulator.faults import Kind
from exporter.simulator.server import Simulator
from exporter.simulator.strange import missing_member
from exporter.simulator.wire import wire_event
from exporter.simulator.world import ScriptedWorld, auth_event
from tests.conftest import WAIT, ExporterProcess, Start, eventually

SHARE = 0.35  # of requests that a fault strikes
BUDGET, STALENESS = 120, 4.0  # requests a second of each Region, seconds
USERS = ("ada", "edsger", "grace", "barbara")
RUSH = 130  # events, so that a walk asks for a page below one that a token led to
EVENTS = "AdminListUserAuthEvents"
LONGEST_GAP = 1.5 * STALENESS  # seconds between two polls of a user, on a busy machine
MOST_MORE_MEMORY = 96 * 2**20
"""Bytes by which faults may raise the peak; up to 30 MiB were seen."""

CONFIG = """
user_pools:
{pools}
polling:
  requests_per_second: {budget}
  min_interval: 1s
  max_staleness: {staleness:g}s
  discovery_interval: 3s
  request_timeout: 2s
counting: {{start: beginning}}
metrics: {{series_hold: 0s}}
"""
POOL = "  - {{id: {id}, name: {name}, endpoint_url: '{url}', users: {{all: true}}}}"

Labels = tuple[str, str, str, str]
"""Type, response, level of risk and country, as the metrics write them."""


def _signs(response: str, risk: Risk | None, country: str) -> dict[str, object]:
    challenges = (Challenge("Password", "Failure" if response == "Fail" else "Success"),)
    context = Context("192.0.2.99", "Chrome 126, Windows 10", "+00:00", "Loughborough", country)
    return {"response": response, "risk": risk, "challenges": challenges, "context": context}


LIFE: Sequence[tuple[dict[str, object], Labels]] = (
    (_signs("Pass", Risk("NoRisk", None, compromised_credentials=False), "United Kingdom"), ("SignIn", "Pass", "None", "GB")),
    (_signs("Fail", Risk("AccountTakeover", "High", compromised_credentials=False), "France"), ("SignIn", "Fail", "High", "FR")),
    (_signs("Pass", None, "Japan"), ("SignIn", "Pass", "Unknown", "JP")),
    (_signs("InProgress", Risk("NoRisk", None, compromised_credentials=False), "Chile"), ("SignIn", "Pass", "None", "CL")),
)  # fmt: skip
"""What happens, and under which labels it is counted once it has ended: who is in progress passes later."""
IN_PROGRESS = len(LIFE) - 1

LACKING: Mapping[str, Callable[[Labels], Labels]] = {
    "EventType": lambda labels: ("Unknown", *labels[1:]),
    "EventResponse": lambda labels: (labels[0], "Unknown", *labels[2:]),
    "EventRisk": lambda labels: (*labels[:2], "Unknown", labels[3]),
    "ChallengeResponses": lambda labels: labels,
    "EventContextData": lambda labels: (*labels[:3], "unknown"),
}


@dataclass(frozen=True, slots=True)
class Case:
    """A pool whose requests meet faults, and the outcomes of its requests and of its polls beside `ok`.

    `faults` strike so large a `share` of the requests, all together, and only those about `username` if there is one. `polls`
    are None where they end as the requests do. Where everybody may seem to be gone, nobody is in progress. Only where a walk goes
    on after the fault is there more than a page to be read.
    """

    faults: Sequence[str]
    requests: Sequence[str] = ()
    polls: Sequence[str] | None = None
    share: float = SHARE
    username: str | None = None
    region: str = "eu-west-1"
    in_progress: bool = True
    pages: bool = False

    @property
    def outcomes(self) -> tuple[set[str], set[str]]:
        """The outcomes of requests and of polls."""
        polls = self.requests if self.polls is None else self.polls
        return set(self.requests), set(polls)


def _refused(code: str, outcome: str, **more: object) -> tuple[str, Case]:
    return code, Case([code], [outcome], **more)  # type: ignore[arg-type]


THROTTLED = "eu-west-2"  # a Region of its own: what is throttled has its budget cut
REFUSALS: Mapping[str, Case] = dict(
    [
        _refused("TooManyRequestsException", "throttled", region=THROTTLED),
        _refused("ThrottlingException", "throttled", region=THROTTLED),
        _refused("InvalidParameterException", "invalid_parameter"),
        _refused("ResourceNotFoundException", "pool_not_found"),
        _refused("NotAuthorizedException", "not_authorized"),
        _refused("AccessDeniedException", "not_authorized"),
        _refused("UserNotFoundException", "user_not_found", in_progress=False),
        _refused("UserPoolAddOnNotEnabledException", "threat_protection_off"),
        _refused("OperationNotEnabledException", "threat_protection_off"),
        _refused("InternalErrorException", "server_error"),
        _refused("ExpiredTokenException", "credentials"),
        _refused("UnrecognizedClientException", "credentials"),
        _refused("InvalidSignatureException", "credentials"),
        _refused("BrandNewException", "other"),
    ]
)
MALFORMED = ["malformed"]
BROKEN: Mapping[str, Case] = {
    Kind.RESET: Case([Kind.RESET], ["connection"]),
    Kind.HANG: Case([Kind.HANG], ["timeout"]),
    Kind.SLOW: Case([Kind.SLOW]),
    Kind.HALF_BODY: Case([Kind.HALF_BODY], ["connection"], pages=True),
    **{kind: Case([kind], MALFORMED) for kind in (Kind.HTML, Kind.NOT_JSON, Kind.GZIP_GARBAGE, Kind.HUGE_BODY)},
    Kind.REPEATED_TOKEN: Case([Kind.REPEATED_TOKEN], polls=MALFORMED, pages=True),
    Kind.EXPIRED_TOKEN: Case([Kind.EXPIRED_TOKEN], ["invalid_parameter"], pages=True),
    Kind.EMPTY_PAGE: Case([Kind.EMPTY_PAGE], pages=True),
}
DAMAGED = (Kind.NO_EVENT_ID, Kind.NO_CREATION_DATE, Kind.WRONG_TYPE, Kind.YEAR_9999, Kind.BEFORE_1970)
ODD = (Kind.LONG_CITY, Kind.DUPLICATES, Kind.TWO_VERSIONS, Kind.FOREIGN_EVENT)
STRANGE: Mapping[str, Case] = {
    **{kind: Case([kind], polls=MALFORMED) for kind in DAMAGED},
    **{kind: Case([kind], pages=True) for kind in ODD},
    Kind.OVERFULL_PAGE: Case([Kind.OVERFULL_PAGE], MALFORMED),
    Kind.MISSING_MEMBER: Case([Kind.MISSING_MEMBER], share=1.0),  # or the same event would have two labels
}
ALL_KINDS = [kind for kind in Kind if kind is not Kind.MISSING_MEMBER]
ALL_CODES = [code for code in REFUSALS if code != "UserNotFoundException"]
EVERYTHING: Mapping[str, Case] = {
    "everything": Case(
        [*ALL_KINDS, *ALL_CODES],
        [outcome for outcome in Outcome if outcome is not Outcome.USER_NOT_FOUND],
        share=0.5,
        pages=True,
    )
}
GROUPS = {"refusals": REFUSALS, "broken answers": BROKEN, "strange answers": STRANGE, "everything": EVERYTHING}


@dataclass(slots=True)
class Region:
    """A simulator with the pools of a Region, and what is to be counted of each pool."""

    simulator: Simulator
    world: ScriptedWorld
    truth: dict[str, Counter[Labels]] = field(default_factory=lambda: defaultdict(Counter))
    open: list[tuple[float, str, str]] = field(default_factory=list)

    def settle(self, pool_id: str) -> None:
        """Have a pool, and people in it who have signed in some times."""
        self.world.add_pool(pool_id)
        for number, user in enumerate(USERS):
            self.world.add_user(pool_id, user)
            for at in range(3 + 20 * number):
                self.happen(pool_id, user, at % IN_PROGRESS, lacking=False)

    def happen(self, pool_id: str, user: str, what: int, *, lacking: bool) -> None:
        """Let a user sign in just now; who is in progress passes a second later, by `pass_on`."""
        fields, labels = LIFE[what]
        event = self.world.add_event(pool_id, user, auth_event(time.time(), **fields))
        self.truth[pool_id][_lacking(event, labels) if lacking else labels] += 1
        if what == IN_PROGRESS:
            self.open.append((time.monotonic() + 1.0, pool_id, event.event_id))

    def pass_on(self) -> None:
        """Let those pass who have been in progress for long enough."""
        now = time.monotonic()
        for _, pool_id, event_id in [each for each in self.open if each[0] <= now]:
            self.world.change_event(pool_id, event_id, response="Pass")
        self.open = [each for each in self.open if each[0] > now]

    def asked(self, pool_id: str, since: float) -> Mapping[str, list[float]]:
        """Return when (monotonic) each user's first page was asked for, from `since` on."""
        times: dict[str, list[float]] = defaultdict(list)
        for request in self.simulator.requests.newest:
            if request.pool_id == pool_id and request.operation == EVENTS and request.instant >= since:
                times[request.username or ""].append(request.instant)
        return times


def _lacking(event: AuthEvent, labels: Labels) -> Labels:
    return LACKING[missing_member(wire_event(event))](labels)


class Trial:
    """One exporter that polls a pool for each case, and a healthy pool of another Region at another endpoint."""

    def __init__(self, cases: Mapping[str, Case], folder: Path, start: Start, regions: Callable[[str], Region]) -> None:
        self.cases = {name: (f"{case.region}_Case{at}", case) for at, (name, case) in enumerate(cases.items())}
        self.regions = {name: regions(name) for name in {"us-east-1", *(case.region for case in cases.values())}}
        self.pools = {"healthy": "us-east-1_Healthy", **{name: pool_id for name, (pool_id, _) in self.cases.items()}}
        for pool_id in self.pools.values():
            self.region(pool_id).settle(pool_id)
        pools = [
            POOL.format(id=pool_id, name=name, url=self.region(pool_id).simulator.url)
            for name, pool_id in self.pools.items()
        ]
        (folder / "config.yaml").write_text(CONFIG.format(pools="\n".join(pools), budget=BUDGET, staleness=STALENESS))
        self.exporter = start()
        eventually(self.is_exact, "the history, while nothing is wrong")

    def region(self, pool_id: str) -> Region:
        """Return the Region of a pool."""
        return self.regions[pool_id.partition("_")[0]]

    def go_wrong(self) -> None:
        """Put every case's faults in force."""
        for pool_id, case in self.cases.values():
            inject = self.region(pool_id).simulator.faults.inject
            for left, kind in enumerate(reversed(case.faults), 1):
                # each strikes what those before it have spared, so that all have the same part of the share
                part = case.share / len(case.faults)
                probability = part / (1.0 - case.share + part * left)
                inject(kind, probability=probability, pool_id=pool_id, username=case.username, seconds=0.3)

    def live(self, seconds: float) -> None:
        """Let people sign in for some seconds, and one at last so often that it takes three pages."""
        rng, until = random.Random(1), time.monotonic() + seconds
        while time.monotonic() < until:
            for pool_id, case in [*self.cases.values(), (self.pools["healthy"], Case([]))]:
                self._happen(pool_id, case, rng.choice(USERS), rng.randrange(len(LIFE)))
            self.pass_on()
            time.sleep(0.3)
        self.rush([name for name, (_, case) in self.cases.items() if case.pages])

    def rush(self, names: Sequence[str]) -> None:
        """Let somebody in each of these pools sign in so often that it takes three pages to read."""
        for pool_id, case in [self.cases[name] for name in names]:
            for at in range(RUSH):
                self._happen(pool_id, case, USERS[0], at % IN_PROGRESS)

    def _happen(self, pool_id: str, case: Case, user: str, what: int) -> None:
        what = what if case.in_progress else what % IN_PROGRESS
        self.region(pool_id).happen(pool_id, user, what, lacking=Kind.MISSING_MEMBER in case.faults)

    def pass_on(self) -> None:
        """Let those pass who have been in progress for long enough, in every Region."""
        for region in self.regions.values():
            region.pass_on()

    def rush_on(self, names: Sequence[str]) -> None:
        """Have more to be read in those of these pools in which all has been: else walks would only grow, and never end."""
        self.pass_on()
        counted, pools = counts(self.exporter), {name: self.pools[name] for name in names if self.cases[name][1].pages}
        self.rush([name for name, pool_id in pools.items() if counted[name] == self.region(pool_id).truth[pool_id]])

    def is_exact(self) -> bool:
        """Tell whether every pool's events are counted, each under its labels and no other."""
        self.pass_on()
        counted = counts(self.exporter)
        truth = {name: self.region(pool_id).truth[pool_id] for name, pool_id in self.pools.items()}
        assert {name: (counted[name], truth[name]) for name in truth if counted[name] != truth[name]} == {}
        return True


def samples(exporter: ExporterProcess, name: str) -> Iterator[tuple[dict[str, str], float]]:
    """Return the samples of a name, with all their labels."""
    lines = [line for line in exporter.get("/metrics").text.splitlines() if line.startswith(name + "{")]
    for family in text_string_to_metric_families(
        "\n".join([*lines, ""])
    ):  # to parse the others takes a second of this test
        yield from ((sample.labels, sample.value) for sample in family.samples)


def counts(exporter: ExporterProcess) -> Mapping[str, Counter[Labels]]:
    """Return how many events are counted of each pool, by their labels."""
    by: dict[str, Counter[Labels]] = defaultdict(Counter)
    for labels, value in samples(exporter, "cognito_auth_events_total"):
        key = (labels["event_type"], labels["response"], labels["risk_level"], labels["country"])
        by[labels["user_pool"]][key] += int(value)
    return by


def outcomes(exporter: ExporterProcess, name: str) -> Mapping[str, set[str]]:
    """Return which outcomes there have been in each pool."""
    by: dict[str, set[str]] = defaultdict(set)
    for labels, value in samples(exporter, name):
        if value and labels.get("operation", EVENTS) == EVENTS:
            by[labels["user_pool"]].add(labels["outcome"])
    return by


def peak(exporter: ExporterProcess) -> int:
    """Return the most memory (bytes) that the process has held so far."""
    status = Path(f"/proc/{exporter.popen.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


def longest_gap(times: Mapping[str, list[float]], until: float) -> float:
    """Return for how long somebody was not asked about, at most."""
    return max(later - earlier for asked in times.values() for earlier, later in pairwise([*asked, until]))


@pytest.fixture
def regions() -> Iterator[Callable[[str], Region]]:
    """Return what makes a Region, with a simulator that ends with the test."""
    with ExitStack() as running:

        def made(_name: str) -> Region:
            world = ScriptedWorld()
            return Region(running.enter_context(Simulator(world)), world)

        yield made


NewTrial = Callable[[Mapping[str, Case]], Trial]


@pytest.fixture
def new_trial(tmp_path: Path, start: Start, regions: Callable[[str], Region]) -> NewTrial:
    """Return what begins a trial of some cases."""
    return partial(Trial, folder=tmp_path, start=start, regions=regions)


@pytest.mark.parametrize("group", GROUPS)
def test_faults_cost_no_count(group: str, new_trial: NewTrial) -> None:
    """Whatever AWS answers to a third of the requests and more, each event is counted once, under its own labels.

    The outcomes are told, no request goes beyond the budget, memory stays, nothing in the log is unforeseen, and nobody in a
    healthy pool waits for it.
    """
    trial = new_trial(GROUPS[group])
    exporter, before, since = trial.exporter, peak(trial.exporter), time.monotonic()
    trial.go_wrong()
    trial.live(3.0)
    eventually(partial(_outcomes_are_told, trial), "the outcomes")
    eventually(trial.is_exact, "exact counts", seconds=2 * WAIT)  # after throttling by a twentieth of the budget
    more = peak(exporter) - before
    print(f"peak: {before / 2**20:.0f} MiB and {more / 2**20:.0f} more; {time.monotonic() - since:.1f} s")
    assert more < MOST_MORE_MEMORY
    healthy = trial.pools["healthy"]
    assert longest_gap(trial.region(healthy).asked(healthy, since), time.monotonic()) < LONGEST_GAP
    assert exporter.end() == 0
    assert "Traceback" not in exporter.output
    assert "by a fault" not in exporter.output
    for region in trial.regions.values():
        for seconds in (0.5, 1.0, 3.0, 7.0):
            assert region.simulator.requests.most_within(seconds) <= BUDGET * (seconds + 1)


def _outcomes_are_told(trial: Trial) -> bool:
    """Tell whether each pool has had its outcomes, and no other; where one has not come, there is more to be asked for."""
    requests, polls = (
        outcomes(trial.exporter, f"cognito_auth_exporter_{name}_total") for name in ("api_requests", "polls")
    )
    missing = []
    for name, (_, case) in trial.cases.items():
        for told, expected in zip((requests[name], polls[name]), case.outcomes, strict=True):
            assert told <= expected | {"ok", "timeout"}, (
                name,
                told,
            )  # what is slow on a busy machine is a timeout, too
            missing += [name] if len(case.faults) == 1 and told < expected | {"ok"} else []
    trial.rush_on(missing)
    assert missing == []
    return True


ALONE: Mapping[str, Case] = {
    kind: Case([kind], share=1.0, username=USERS[-1])
    for kind in (
        *(Kind.RESET, Kind.HANG, Kind.HTML, Kind.HUGE_BODY, Kind.NO_EVENT_ID, Kind.WRONG_TYPE, Kind.LONG_CITY),
        *("InternalErrorException", "InvalidParameterException", "UserNotFoundException"),
    )
}
ANSWERED = frozenset({Kind.NO_EVENT_ID, Kind.WRONG_TYPE, Kind.LONG_CITY})
"""What leaves the rest of a page good, so that its user is asked as ever."""
MOST_POLLS = 6
"""Of a user whose polls all fail, in twice the longest wait; four are due, at growing distances, and of others eight."""


def test_a_user_in_trouble_is_alone(new_trial: NewTrial) -> None:
    """A user whose polls all fail is asked for ever more rarely; nobody else in the pool waits for it, or for damaged pages."""
    trial = new_trial(ALONE)
    trial.go_wrong()
    since = time.monotonic()
    trial.live(2 * STALENESS)
    until = time.monotonic()
    gaps, polls = {}, {}
    for name, (pool_id, _) in trial.cases.items():
        asked = dict(trial.region(pool_id).asked(pool_id, since))
        polls[name] = len(asked.pop(USERS[-1]))
        gaps[name] = longest_gap(asked, until)
    assert {name: gap for name, gap in gaps.items() if gap >= LONGEST_GAP} == {}
    failing = {name: polls[name] for name in polls if name not in ANSWERED}
    assert max(failing.values()) <= MOST_POLLS, failing
    for region in trial.regions.values():
        region.simulator.faults.clear()
    eventually(trial.is_exact, "exact counts, once nothing is wrong")
