"""Failed sign-ins in a row: what a walk makes of what was known before it. Times in epoch seconds."""

from datetime import UTC, datetime

import pytest

from exporter.event.event import AuthEvent
from exporter.fetch.walk import Walk
from exporter.ledger.sign_ins import SignIns

T = 1_700_000_000.0
Shown = tuple[str, str, float]
"""(event type, response, seconds after T)"""


def walk_of(*shown: Shown) -> Walk:
    """Return a walk that shows these events."""
    events = tuple(
        AuthEvent(str(number), datetime.fromtimestamp(T + at, UTC), event_type, response, None, (), None, None)
        for number, (event_type, response, at) in enumerate(shown)
    )
    return Walk(T + 1000, T + 1000, T, events, frozenset(), None)


FAIL, PASS = ("SignIn", "Fail"), ("SignIn", "Pass")
KNOWN = SignIns(3, T + 50, T + 10)
CASES: dict[str, tuple[SignIns, list[Shown], list[float], SignIns]] = {
    "nothing known, nothing shown": (SignIns(), [], [], SignIns()),
    "nothing new": (KNOWN, [], [], KNOWN),
    "a first failure": (SignIns(), [(*FAIL, 20)], [20], SignIns(1, T + 20, None)),
    "a failure more": (KNOWN, [(*FAIL, 60)], [60], SignIns(4, T + 60, T + 10)),
    "failures that are known": (KNOWN, [(*FAIL, 40), (*FAIL, 50)], [], KNOWN),
    "more shown than known": (SignIns(1, T + 20, None), [(*FAIL, 20), (*FAIL, 30)], [], SignIns(2, T + 30, None)),
    "a late one": (KNOWN, [], [30], SignIns(4, T + 50, T + 10)),
    "one from before the pass": (KNOWN, [(*FAIL, 5)], [5], KNOWN),
    "one of the pass's own moment": (KNOWN, [(*FAIL, 10)], [10], KNOWN),
    "a pass ends the row": (KNOWN, [(*FAIL, 60), (*PASS, 70)], [60], SignIns(0, None, T + 70)),
    "a failure after a pass": (KNOWN, [(*PASS, 70), (*FAIL, 80)], [80], SignIns(1, T + 80, T + 70)),
    "an older pass": (KNOWN, [(*PASS, 5)], [], KNOWN),
    "what is no sign-in": (KNOWN, [("ForgotPassword", "Pass", 60), ("SignUp", "Fail", 70)], [], KNOWN),
    "what has not ended": (KNOWN, [("SignIn", "InProgress", 60)], [], KNOWN),
}


@pytest.mark.parametrize("case", CASES)
def test_failures_in_a_row(case: str) -> None:
    """Failures are counted since the latest pass, whether they are shown, new, or known from before."""
    before, shown, new, expected = CASES[case]
    assert before.after(walk_of(*shown), [T + at for at in new]) == expected
