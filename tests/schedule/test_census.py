"""How users are counted by state, and who is the stalest."""

from exporter.fetch.outcome import Outcome
from exporter.schedule.census import Census, UserState

A, B = 0, 1


def census_of(*users: tuple[UserState, float]) -> Census:
    """Return a census of users in these states, answered at these times, in slots from 0 on."""
    census = Census()
    for slot, (state, at) in enumerate(users):
        census.add(slot, state, at)
    return census


def test_states_follow_outcomes() -> None:
    """A user is waiting until polled, then as the last outcome says; throttling says nothing."""
    census = census_of((UserState.WAITING, 1.0), (UserState.WAITING, 1.0))
    assert census.by_state == {"ok": 0, "waiting": 2, "not_found": 0, "failing": 0}
    census.polled(A, Outcome.OK, 2.0)
    census.polled(B, Outcome.USER_NOT_FOUND, 2.0)
    assert census.by_state == {"ok": 1, "waiting": 0, "not_found": 1, "failing": 0}
    census.polled(A, Outcome.SERVER_ERROR, 3.0)
    assert census.polled(B, Outcome.THROTTLED, 3.0) == 0
    assert census.by_state == {"ok": 0, "waiting": 0, "not_found": 1, "failing": 1}


def test_stalest_user_is_the_one_answered_longest_ago() -> None:
    """Only answers make a user fresh; one never polled counts from the selection."""
    census = census_of((UserState.OK, 5.0), (UserState.WAITING, 7.0))
    assert (census.oldest_poll, census.newest_poll) == (5.0, 5.0)
    census.polled(A, Outcome.TIMEOUT, 8.0)
    assert census.oldest_poll == 5.0
    census.polled(A, Outcome.OK, 9.0)
    assert (census.oldest_poll, census.newest_poll) == (7.0, 9.0)


def test_recalled_users_are_lined_up() -> None:
    """Users taken in in any order are sorted by lining them up, the one answered longest ago first."""
    census = census_of((UserState.OK, 9.0), (UserState.FAILING, 4.0))
    for slot in sorted((A, B), key=census.answered_at):
        census.line_up(slot)
    assert (census.oldest_poll, census.newest_poll) == (4.0, 9.0)


def test_who_does_not_exist_is_not_the_stalest() -> None:
    """Whom AWS does not know is asked for rarely, which makes nobody stale: from the start, from a poll, until found again."""
    census = census_of((UserState.NOT_FOUND, 1.0), (UserState.OK, 5.0))
    assert (census.oldest_poll, census.known, len(census)) == (5.0, 1, 2)
    census.polled(B, Outcome.USER_NOT_FOUND, 6.0)
    assert (census.oldest_poll, census.known) == (None, 0)
    census.polled(B, Outcome.TIMEOUT, 7.0)
    census.polled(A, Outcome.OK, 8.0)
    assert (census.oldest_poll, census.known) == (8.0, 2)


def test_faults_in_a_row_are_counted() -> None:
    """Faults add up until an answer; there may be any number of them."""
    census = census_of((UserState.OK, 0.0))
    assert [census.polled(A, Outcome.TIMEOUT, 1.0) for _ in range(300)][-1] == 255
    assert census.polled(A, Outcome.USER_NOT_FOUND, 2.0) == 255
    assert census.polled(A, Outcome.OK, 3.0) == 0


def test_who_left_is_forgotten() -> None:
    """A user who is no longer selected is in no state, and a poll that was under way changes nothing."""
    census = census_of((UserState.OK, 1.0), (UserState.OK, 2.0))
    census.remove(A)
    assert census.polled(A, Outcome.TIMEOUT, 3.0) == 0
    assert (len(census), census.by_state["ok"], census.oldest_poll) == (1, 1, 2.0)
    census.remove(B)
    assert (len(census), census.oldest_poll) == (0, None)
