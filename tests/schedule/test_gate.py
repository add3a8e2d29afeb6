"""The gate: a pool that gives no answers is asked ever more rarely, and at once again when it answers."""

import pytest

from exporter.fetch.outcome import Outcome
from exporter.schedule.gate import Gate


def test_closes_ever_longer_up_to_a_minute() -> None:
    """A pool without access is asked after 1, 2, 4 ... 60 seconds."""
    gate, now, waits = Gate(), 0.0, []
    for _ in range(9):
        gate.answered(Outcome.NOT_AUTHORIZED, now, now)
        waits.append(gate.opens_at - now)
        now = gate.opens_at
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_answers_on_their_way_count_once() -> None:
    """Requests that were under way when the gate closed do not close it further."""
    gate = Gate()
    gate.answered(Outcome.CREDENTIALS, 0.0, 0.1)
    gate.answered(Outcome.CREDENTIALS, 0.05, 0.2)
    assert gate.opens_at == pytest.approx(1.1)


def test_one_slow_user_does_not_close_the_pool() -> None:
    """Time-outs close the gate only when nothing else answers in between."""
    gate = Gate()
    for now in range(10):
        gate.answered(Outcome.TIMEOUT, now, now)
        gate.answered(Outcome.OK, now, now)
    assert not gate.is_probing
    for now in range(10, 13):
        gate.answered(Outcome.TIMEOUT, now, now)
    assert gate.is_probing


def test_an_answer_opens_it() -> None:
    """An answer, even about an unknown user, ends the waiting; throttling says nothing."""
    gate = Gate()
    gate.answered(Outcome.NOT_AUTHORIZED, 0.0, 0.0)
    gate.answered(Outcome.THROTTLED, 2.0, 2.0)
    assert gate.is_probing
    gate.answered(Outcome.USER_NOT_FOUND, 2.0, 2.0)
    assert not gate.is_probing
