"""Gauges that are kept as things come and go show what counting everything anew would show."""

from collections import Counter, defaultdict
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.ledger import counters
from exporter.ledger.ledger import CounterState, EventState, FailedSignIns, PoolState
from exporter.metrics.exposition import Exposition
from exporter.metrics.families import COMMITTED
from exporter.metrics.view import PoolView, Presentation

WINDOW, DAY = 3600.0, 86_400.0
COUNTRIES = ("United Kingdom", "UK", "France", "Japan")  # the first two are one label set
SHOWN = ("GB", "GB", "FR", "JP")
SERIES = PoolState(
    counters=[
        CounterState(number, counters.EVENTS, ("SignIn", "Pass", "None", country), None, None, None)
        for number, country in enumerate(COUNTRIES)
    ]
)
EVENTS = st.builds(
    lambda number, series, is_open: EventState(
        f"event-{number}", 400.0 * number, number % 3, series, ("SignIn", "Novel")[number % 2], is_open
    ),
    st.integers(0, 20),
    st.integers(0, 3),
    st.booleans(),
)
FAILED = st.none() | st.builds(FailedSignIns, st.integers(1, 25), st.floats(0, 2 * DAY))
STEPS = st.tuples(
    st.lists(EVENTS, max_size=6), st.dictionaries(st.integers(0, 4), FAILED, max_size=3), st.floats(0, WINDOW)
)


def samples(view: PoolView, now: float) -> dict[str, dict[str, float]]:
    """Return what each family shows, by its second label in the order of their names."""
    blocks = view.blocks(now)
    text = Exposition(lambda: [(family, [blocks[family.name]]) for family in COMMITTED if family.name in blocks]).text()
    shown: dict[str, dict[str, float]] = defaultdict(dict)
    for family in parse_text(text.decode()):
        for sample in family.samples:
            labels = {name: value for name, value in sample.labels.items() if name != "user_pool"}
            shown[sample.name][labels.get("country") or next(iter(labels.values()), "")] = sample.value
    return shown


@given(st.lists(STEPS, max_size=12))
def test_as_if_counted_anew(steps: list[tuple[list[EventState], Mapping[int, FailedSignIns | None], float]]) -> None:
    """Events that come, move, end and expire, and users who fail and stop failing, are counted exactly."""
    view = PoolView("pool", Presentation("code", "none", b"", WINDOW))
    view.update(SERIES, 0.0)
    now, events, failing = 0.0, dict[str, EventState](), dict[int, FailedSignIns]()
    for come, failed, later in steps:
        now += later
        events |= {event.event_id: event for event in come}
        failing |= {user: each for user, each in failed.items() if each is not None}
        failing = {user: each for user, each in failing.items() if failed.get(user, each) is not None}
        view.update(PoolState(events=come, failing=dict(failed)), now)
        recent = [event for event in events.values() if event.created > now - WINDOW]
        shown = samples(view, now)
        assert shown["cognito_auth_recent_events"] == Counter(SHOWN[event.series] for event in recent)
        users = {(SHOWN[event.series], event.user) for event in recent}
        assert shown["cognito_auth_recent_users"] == Counter(country for country, _ in users)
        still_open = Counter(event.event_type for event in events.values() if event.is_open)
        assert +Counter(view.in_progress()) == still_open
        in_a_row = [each.failures for each in failing.values() if each.failed_at > now - DAY]
        gauge = shown["cognito_auth_failing_users"]
        assert sum(gauge.values()) == len(in_a_row)
        assert gauge["1-2"] == sum(failures <= 2 for failures in in_a_row)
        assert gauge["20+"] == sum(failures >= 20 for failures in in_a_row)


def test_series_forgotten_leave_what_is_shown() -> None:
    """A label set that no series of the ledger is behind any more is gone, and one that stands at zero goes back to zero."""
    view = PoolView("pool", Presentation("none", "plain", b"", WINDOW))
    view.update(
        PoolState(
            counters=[
                CounterState(1, counters.USER_EVENTS, ("ada", "SignIn", "Pass", "Low"), 2, 50.0, None),
                CounterState(2, counters.USER_EVENTS, ("ada", "SignIn", "Pass", "High"), 3, 90.0, None),
                CounterState(3, counters.STOPPED_SIGN_INS, ("Mfa",), 4, None, None),
            ]
        ),
        0.0,
    )
    last_event = "cognito_auth_user_last_event_timestamp_seconds"
    assert list(samples(view, 0.0)[last_event].values()) == [90.0]
    view.update(PoolState(forgotten=[2, 3, 17]), 0.0)
    assert list(samples(view, 0.0)[last_event].values()) == [50.0]
    assert samples(view, 0.0)["cognito_auth_stopped_sign_ins_total"] == {"Mfa": 0.0}
    view.update(PoolState(forgotten=[1]), 0.0)
    assert last_event not in samples(view, 0.0)


def test_a_clock_that_was_ahead_loses_nobody() -> None:
    """Users whose sign-ins fail are counted again once a clock that was a day ahead is put right."""
    view = PoolView("pool", Presentation("code", "none", b"", WINDOW))
    view.update(PoolState(failing={1: FailedSignIns(20, 3 * DAY), 2: FailedSignIns(1, DAY)}), 3 * DAY)
    for now, expected in ((3 * DAY, 1), (5 * DAY, 0), (3 * DAY, 1), (1.5 * DAY, 2), (4.5 * DAY, 0)):
        assert sum(samples(view, now)["cognito_auth_failing_users"].values()) == expected, now


def test_failures_of_one_user_take_one_place() -> None:
    """A user who fails all day long takes no more memory than one who has failed once, and is left out a day after the last."""
    view = PoolView("pool", Presentation("code", "none", b"", WINDOW))
    for failure in range(10_000):
        view.update(PoolState(failing={1: FailedSignIns(failure + 1, float(failure))}), float(failure))
    assert len(view._failing._by_age) < 100
    assert sum(samples(view, 9_998 + DAY)["cognito_auth_failing_users"].values()) == 1
    assert sum(samples(view, 9_999 + DAY)["cognito_auth_failing_users"].values()) == 0


def test_label_sets_that_are_gone_are_forgotten() -> None:
    """Nothing is kept of recent events under a label set that has none any more."""
    view = PoolView("pool", Presentation("code", "none", b"", WINDOW))
    view.update(SERIES, 0.0)
    view.update(PoolState(events=[EventState("e", 0.0, 1, 0, "SignIn", is_open=False)]), 1.0)
    view.expire(2 * WINDOW)
    assert not view._recent._users
