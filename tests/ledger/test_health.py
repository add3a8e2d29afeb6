"""How the state is doing: what is said of a trouble, when it is over, and what is told of it."""

import pytest
import structlog
from structlog.testing import capture_logs

from exporter.ledger.health import LedgerHealth
from exporter.ledger.ledger import CommitError
from tests.ledger.test_writer import Heard


def fail(health: LedgerHealth, kind: str, error: str) -> None:
    """Let some work fail."""
    with pytest.raises(CommitError, match=error), health.watching(kind):
        raise CommitError(error)


def work(health: LedgerHealth, kind: str) -> None:
    """Let some work be done."""
    with health.watching(kind):
        pass


def test_the_latest_failure_is_the_reason() -> None:
    """Why the state cannot be used is what failed last, of what has not worked since."""
    health = LedgerHealth(Heard(), structlog.get_logger())
    reasons = [health.error]
    for kind, error in (("writing", "full"), ("reading", "gone"), ("writing", "full")):
        fail(health, kind, error)
        reasons.append(health.error)
    for kind in ("writing", "selecting", "reading"):
        work(health, kind)
        reasons.append(health.error)
    assert reasons == [None, "full", "gone", "full", "gone", "gone", None]


def test_each_trouble_is_said_once_as_it_begins_and_once_as_it_ends() -> None:
    """In a trouble each reason is one error, its end tells of how many failures there were; the next trouble is said anew."""
    heard = Heard()
    health = LedgerHealth(heard, structlog.get_logger())
    with capture_logs() as lines:
        for _ in range(2):
            fail(health, "writing", "full")
            fail(health, "writing", "full")
            fail(health, "reading", "gone")
            work(health, "reading")
            work(health, "writing")
            work(health, "writing")
    begun = "the state cannot be used; the last committed numbers are served, and it is tried again"
    trouble = [
        {"log_level": "error", "event": begun, "error": "full"},
        {"log_level": "debug", "event": begun, "error": "full"},
        {"log_level": "error", "event": begun, "error": "gone"},
        {"log_level": "info", "event": "the state can be used again", "failures": 3},
    ]
    assert lines == trouble * 2
    assert heard.failures == 6


def test_a_commit_is_told() -> None:
    """When the state took a transaction is told as it was."""
    heard = Heard()
    LedgerHealth(heard, structlog.get_logger()).committed(7.5)
    assert heard.commits == [7.5]
