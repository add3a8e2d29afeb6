"""Promises 1 to 7, by a machine that lets everything happen in any order, and counts on its own."""

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from exporter.event.event import AuthEvent
from exporter.fetch.source import FULL_PAGE
from exporter.simulator.faults import Kind
from exporter.simulator.operations import TokenMode
from tests.promises.rig import BEGIN, OVERLAP, POOL, SETTLE, WINDOW, Key, Rig, user_of
from torture.truth import country, expected

USERS = ("alice", "bob")
NAMES = (*USERS, *(f"{user}@example.com" for user in USERS))
COUNTRIES = ("United Kingdom", "France", "null")
MOST_SKEW = 30.0  # seconds by which the exporter's clock may be off while AWS answers
SOON = SETTLE - 2 * MOST_SKEW  # seconds: who ends by then ends in time, whatever the clock
LIKES = (
    *(Kind.NO_EVENT_ID, Kind.NO_CREATION_DATE, Kind.WRONG_TYPE, Kind.YEAR_9999, Kind.BEFORE_1970, Kind.LONG_CITY),
    *(Kind.DUPLICATES, Kind.EMPTY_PAGE, Kind.THROTTLE, Kind.EXPIRED_TOKEN, Kind.REPEATED_TOKEN),
)
"""What an answer may be like, now and then."""

FEEDBACK = "cognito_auth_feedback_total"
APART = {"cognito_auth_new_country_sign_ins_total", "cognito_auth_user_events_total"}
"""Families that depend on the order of polls, or on names."""

users = st.sampled_from(USERS)
names = st.sampled_from(NAMES)
limits = st.sampled_from([1, 2, 5, FULL_PAGE, FULL_PAGE])
events = st.fixed_dictionaries(
    {
        "before": st.sampled_from([0.0, 0.0004, 1.0]),
        "late": st.sampled_from([0.0, 0.0, 7.0, OVERLAP - 1.0]),
        "finishes": st.sampled_from([0.0, 0.0, 5.0, SOON, 2 * SETTLE, None]),
        "passed": st.booleans(),
        "country": st.sampled_from(COUNTRIES),
        "feedback": st.sampled_from([None, None, None, 10.0, 200.0]),
    }
)
"""How an event comes about, in the words of `Rig.happen`."""

page_seconds = st.sampled_from([0.0, 0.0, 0.5, 3.0])
faults = st.lists(st.sampled_from([None, None, None, *LIKES]), max_size=4)


class Promises(RuleBasedStateMachine):
    """Two users, each known by two names, and all that can happen to them and to the exporter."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.selected: list[str] = []
        self.starts: dict[str, float] = {}
        self.deleted: set[str] = set()
        """Users who were deleted at any time."""

    @initialize(
        page_size=st.sampled_from([1, 3, FULL_PAGE]),
        tokens=st.sampled_from(TokenMode),
        disorder=st.sampled_from([0.0, 0.0, 5.0]),
        hold=st.sampled_from([0.0, 20.0]),
        selected=st.lists(names, min_size=1, unique=True),
    )
    def begin(self, page_size: int, tokens: TokenMode, disorder: float, hold: float, selected: list[str]) -> None:
        self.rig = Rig(Path(self._folder.name), page_size=page_size, tokens=tokens, disorder=disorder, hold=hold)
        self.page_size = page_size
        for user in USERS:
            self.rig.world.add_user(POOL, user, created=BEGIN)
        self._select(selected, "beginning")

    # -- what people do --------------------------------------------------------------------------------------------------------

    @rule(user=users, number=st.sampled_from([1, 1, 2, 9]), event=events)
    def happen(self, user: str, number: int, event: Mapping[str, Any]) -> None:
        if self.rig.world.user(POOL, user, self.rig.now) is not None:
            for _ in range(number):
                self.rig.happen(user, **event)

    @rule(seconds=st.sampled_from([0.0, 0.3, 4.0, 31.0, OVERLAP, SETTLE, 2 * WINDOW]))
    def wait(self, seconds: float) -> None:
        self.rig.advance(seconds)
        self.rig.release()

    @rule(user=users)
    def delete(self, user: str) -> None:
        if self.rig.world.user(POOL, user, self.rig.now) is not None:
            self.rig.world.delete_user(POOL, user)
            self.deleted.add(user)

    @rule(user=users)
    def create_again(self, user: str) -> None:
        if self.rig.world.user(POOL, user, self.rig.now) is None:
            self.rig.world.add_user(POOL, user, created=self.rig.now)

    # -- what the exporter does ------------------------------------------------------------------------------------------------

    @rule(name=names, limit=limits, seconds=page_seconds, faults=faults)
    def poll(self, name: str, limit: int, seconds: float, faults: Sequence[Kind | None]) -> None:
        self.poll_together([name], limit, seconds, faults)

    @rule(some=st.lists(names, min_size=2, unique=True), limit=limits, seconds=page_seconds, faults=faults)
    def poll_together(self, some: list[str], limit: int, seconds: float, faults: Sequence[Kind | None]) -> None:
        """Walk one name after another, and commit what they bring together."""
        polls = self._polls(some, limit, seconds, faults)
        if polls:
            self.rig.record(*polls)

    @rule(
        name=names,
        rounds=st.lists(st.none() | events, min_size=2, max_size=6),
        gap=st.sampled_from([5.0, 20.0, 31.0, OVERLAP + 1.0]),
        limit=limits,
        faults=faults,
    )
    def go_on(
        self,
        name: str,
        rounds: Sequence[Mapping[str, Any] | None],
        gap: float,
        limit: int,
        faults: Sequence[Kind | None],
    ) -> None:
        """Poll a name again and again, with answers that are as strange each time, while its user goes on."""
        for event in rounds:
            if event is not None:
                self.happen(user_of(name), 1, event)
            self.poll_together([name], limit, 0.0, faults)
            self.wait(gap)

    @rule(name=names, limit=limits, seconds=page_seconds, faults=faults)
    def set_out(self, name: str, limit: int, seconds: float, faults: Sequence[Kind | None]) -> None:
        """Make a walk that is recorded later."""
        if name in self.selected and name not in self.rig.walks:
            poll = self.rig.walk(name, seconds=seconds, limit=limit, faults=faults)
            if poll is not None:
                self.rig.walks[name] = poll

    @precondition(lambda self: self.rig.walks)
    @rule(data=st.data())
    def come_back(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.rig.walks)))
        self.rig.record(self.rig.walks.pop(name))

    @rule(chosen=st.lists(names, min_size=1, unique=True), start=st.sampled_from(["beginning", "now"]))
    def select(self, chosen: list[str], start: str) -> None:
        """Selectors change; a poll of someone who is selected no more may be under way."""
        self._select(chosen, start)

    # -- what befalls it -------------------------------------------------------------------------------------------------------

    @rule()
    def restart(self) -> None:
        self.rig.restart()

    @rule(name=names, limit=limits, statement=st.integers(0, 25), torn=st.none() | st.floats(0.0, 1.0))
    def kill(self, name: str, limit: int, statement: int, torn: float | None) -> None:
        """Kill it at any statement of a commit, or while that is written."""
        polls = self._polls([name], limit, 0.0, ())
        if polls:
            self.rig.kill_in_commit(polls, statement, torn)

    @rule(skew=st.sampled_from([0.0, 3.0, -3.0, MOST_SKEW, -MOST_SKEW, 5000.0, -5000.0, 4e5, -4e5]))
    def set_clock(self, skew: float) -> None:
        self.rig.set_clock(skew)

    # -- what holds ------------------------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_counted_twice_or_too_much(self) -> None:
        if not hasattr(self, "rig"):
            return
        counted = self.rig.counted()
        assert len(dict(counted)) == len(counted), "an event counts twice"
        for event_id, response in counted:
            shown = self.rig.shown[event_id]
            assert shown.event.created.timestamp() >= self._start_of(self.rig.owners[event_id]), "from before the start"
            assert response in shown.states
            created = shown.event.created.timestamp()
            assert response != "InProgress" or any(asked >= created + SETTLE for asked in shown.unfinished), "too early"
        exposed, truth = self.rig.counters(), self._truth(counted)
        for key, value in exposed.items():
            assert value >= self.rig.highest.get(key, 0), f"{key} falls"
            if key[0] not in APART:
                assert value <= truth.get(key, 0), f"{key} is too high"
        assert exposed.keys() >= self.rig.highest.keys(), "a series is gone"
        self.rig.highest = dict(exposed)

    def teardown(self) -> None:
        with self._folder, ExitStack() as stack:
            if hasattr(self, "rig"):
                stack.callback(self.rig.close)
                self._calm_down()
                self._all_is_exact()

    def _calm_down(self) -> None:
        """Everybody is polled for some time, and nothing more goes wrong."""
        rig = self.rig
        rig.set_clock(0.0)
        for name in list(rig.walks):
            rig.record(rig.walks.pop(name))
        self._select(NAMES, "now")
        rig.advance(3 * SETTLE)
        for _ in range(3):
            for name in self.selected:
                self.poll_together([name], FULL_PAGE, 0.0, ())
            rig.advance(OVERLAP + 1.0)
        rig.release()
        rig.advance(30.0)
        rig.release()
        self.nothing_is_counted_twice_or_too_much()

    def _all_is_exact(self) -> None:
        rig, counted = self.rig, dict(self.rig.counted())
        for user in USERS:
            start = self._start_of(user)
            for event in rig.world.history(POOL, user, rig.now):
                if event.created.timestamp() >= start:
                    assert event.event_id in counted, f"{event} is lost"
                    ends = rig.ends[event.event_id]
                    assert ends is None or ends > SOON or counted[event.event_id] == event.response, (
                        f"{event} is not final"
                    )
        shown = {key: value for key, value in rig.counters().items() if value}
        truth = self._truth(list(counted.items()))
        for family in {key[0] for key in (*shown, *truth)}:
            one, other = ({k: v for k, v in each.items() if k[0] == family} for each in (shown, truth))
            if family not in APART and (family != FEEDBACK or self._shows_all_feedback()):
                assert one == other, family
        assert sum(value for key, value in shown.items() if key[0] == "cognito_auth_user_events_total") == len(counted)
        self._gauges_are_exact(counted)

    def _gauges_are_exact(self, counted: Mapping[str, str]) -> None:
        rig = self.rig
        since = rig.clock() - WINDOW
        states = [known.event for known in rig.shown.values()]
        recent = Counter(_labels(event) for event in states if event.created.timestamp() > since)
        exposed = rig.exposed()
        assert {key[1:]: v for key, v in exposed.items() if key[0] == "cognito_auth_recent_events"} == recent
        waiting = {key: value for key, value in exposed.items() if key[0] == "cognito_auth_in_progress_events"}
        assert sum(waiting.values()) == sum(self._is_waiting(event_id, counted) for event_id in rig.shown)

    def _shows_all_feedback(self) -> bool:
        """Tell whether the first page of each history shows all of it, so that feedback on any event is seen."""
        histories = [len(list(self.rig.world.history(POOL, user, self.rig.now))) for user in USERS]
        return self.page_size == FULL_PAGE and max(histories) <= FULL_PAGE and not self.deleted

    def _is_waiting(self, event_id: str, counted: Mapping[str, str]) -> bool:
        """Tell whether an event in progress, of a user who is gone, is to be counted once it has settled."""
        shown = self.rig.shown[event_id]
        counts = any(shown.event.created.timestamp() >= self.starts[name] for name in shown.names)
        return shown.event.response == "InProgress" and event_id not in counted and counts

    # -- helpers ---------------------------------------------------------------------------------------------------------------

    def _select(self, chosen: Sequence[str], start: str) -> None:
        for name in chosen:
            self.starts.setdefault(name, 0.0 if start == "beginning" else self.rig.clock())
        self.rig.select(chosen, start)
        self.selected = list(chosen)

    def _start_of(self, user: str) -> float:
        """Return since when a user's events count: since the earliest start of the names that were ever selected."""
        return min((at for name, at in self.starts.items() if user_of(name) == user), default=float("inf"))

    def _polls(self, some: Sequence[str], limit: int, seconds: float, faults: Sequence[Kind | None]) -> list[Any]:
        found = [
            self.rig.walk(name, seconds=seconds, limit=limit, faults=faults)
            for name in some
            if name in self.selected and name not in self.rig.walks
        ]
        return [poll for poll in found if poll is not None]

    def _truth(self, counted: Sequence[tuple[str, str]]) -> Mapping[Key, int]:
        """Return what the events that were counted make, each as it was counted, with the feedback it has by now."""
        histories: dict[str, list[AuthEvent]] = {user: [] for user in USERS}
        for event_id, response in counted:
            shown = self.rig.shown[event_id]
            state = shown.states[response]._replace(feedback=shown.event.feedback)
            histories[self.rig.owners[event_id]].append(state)
        return expected(histories.values())


def _labels(event: AuthEvent) -> Key:
    place = country(event.context and event.context.country)
    return str(event.event_type), str(event.response), "None", place


TestPromises = Promises.TestCase
TestPromises.settings = settings(
    max_examples=(settings.default or settings()).max_examples // 4,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)
