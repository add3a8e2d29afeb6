"""What a pool's answers tell."""

from structlog.testing import CapturingLogger

from exporter.fetch.outcome import Outcome
from exporter.schedule.health import PoolHealth


def test_protection_is_off_until_events_come() -> None:
    """A refusal says that threat protection is off; events say that it is on again, also to who may not describe the pool."""
    health, logger = PoolHealth(), CapturingLogger()
    health.answered(Outcome.THREAT_PROTECTION_OFF, logger)
    assert health.threat_protection == "OFF"
    health.answered(Outcome.USER_NOT_FOUND, logger)
    assert health.threat_protection == "OFF"
    health.answered(Outcome.OK, logger)
    assert health.threat_protection is None
