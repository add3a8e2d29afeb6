"""The census: how each user is doing, and who has waited longest."""

from exporter.fetch.outcome import Outcome
from exporter.ledger.ledger import KnownUser
from exporter.schedule.census import Census


def census_of(*users: KnownUser) -> Census:
    """Return a census of these users."""
    census = Census()
    census.add(users)
    return census


A = KnownUser("a", 10.0, 100.0, found=True)
B = KnownUser("b", 20.0, None, found=True)
C = KnownUser("c", 30.0, 90.0, found=False)


def test_starts_from_the_state() -> None:
    """Users known from the state stand as they stood; one never polled waits, and counts from the selection."""
    census = census_of(A, B, C)
    assert census.by_state == {"ok": 1, "waiting": 1, "not_found": 1, "failing": 0}
    assert (census.oldest_poll, census.newest_poll) == (20.0, 100.0)


def test_stalest_user_follows_polls() -> None:
    """An answer, also that a user does not exist, makes a user fresh; a fault does not."""
    census = census_of(A, B, C)
    census.polled("b", Outcome.OK, 110.0)
    assert census.oldest_poll == 90.0
    census.polled("c", Outcome.USER_NOT_FOUND, 111.0)
    census.polled("a", Outcome.SERVER_ERROR, 112.0)
    assert (census.oldest_poll, census.newest_poll) == (100.0, 111.0)


def test_faults_in_a_row() -> None:
    """Faults are counted until the user is fine again; throttling says nothing of a user."""
    census = census_of(A)
    faults = [census.polled("a", outcome, 1.0) for outcome in (Outcome.TIMEOUT, Outcome.THROTTLED, Outcome.MALFORMED)]
    assert faults == [1, 0, 2]
    assert census.by_state["failing"] == 1
    assert census.polled("a", Outcome.OK, 2.0) == 0
    assert census.by_state == {"ok": 1, "waiting": 0, "not_found": 0, "failing": 0}


def test_removed_users_leave_no_trace() -> None:
    """A user no longer selected is in no number, though a poll of theirs ends later."""
    census = census_of(A, B)
    census.remove("b")
    census.remove("b")
    census.polled("b", Outcome.OK, 500.0)
    assert (len(census), census.by_state["waiting"], census.newest_poll, census.oldest_poll) == (1, 0, 100.0, 100.0)
