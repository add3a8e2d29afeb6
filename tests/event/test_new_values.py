"""Values that the API did not have: each field has its own places for them, and an event seen again tells nothing new."""

from datetime import UTC, datetime

from exporter.event.event import AuthEvent
from exporter.event.labels import OTHER, Labels, ValueRules, label_event

EVENT = AuthEvent("e", datetime(2026, 5, 1, tzinfo=UTC), "Novel", "Pass", None, (), None, None)


def test_each_field_has_places_of_its_own() -> None:
    """Ten new values of one field leave ten to another, and a value that one has accepted is new to the other."""
    rules = ValueRules({})
    values = [f"New{number}" for number in range(11)]
    for field in ("event_type", "response"):
        assert [rules.label(field, value) for value in values] == [*values[:10], OTHER]
    assert rules.accepted_now == [(field, value) for field in ("event_type", "response") for value in values[:10]]


def test_an_event_seen_again_tells_nothing_new() -> None:
    """A new value is noticed of an event once, not at each poll that shows it; its label is the same."""
    rules = ValueRules({})
    first = label_event(EVENT, rules)
    again = label_event(EVENT, rules, is_new=False)
    assert (first, first.event_type) == (again, "Novel")
    assert rules.unknown == {"event_type": 1}


def test_labels_are_stored_without_blanks() -> None:
    """The labels of an event in progress take no more of the state than they must, and come back from it."""
    labels = label_event(EVENT, ValueRules({}))
    assert labels.to_json() == '["Novel","Pass","Unknown","Unknown","unknown",false,[],null]'
    assert Labels.from_json(labels.to_json()) == labels
