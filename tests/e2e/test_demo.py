"""The demonstration: the exporter against the embedded simulator, as a stranger starts it."""

import re
import signal
from pathlib import Path

from tests.conftest import Start, eventually

EVENTS = "cognito_auth_events_total"


def test_demo_shows_events_soon_and_leaves_nothing(start: Start, tmp_path: Path) -> None:
    """Counted events are shown within 10 s, the printed addresses answer, and nothing stays behind."""
    exporter = start("demo")
    eventually(lambda: "metrics:" in exporter.output, "the addresses")
    eventually(lambda: exporter.total(EVENTS) > 0, "counted events", seconds=10)
    for address in re.findall(r"http://\S+", exporter.output)[:2]:
        path = address.partition(f":{exporter.port}")[2]
        assert exporter.get(path).status_code == 200
    assert "demo" in exporter.get("/").text
    before = exporter.total(EVENTS)
    eventually(lambda: exporter.total(EVENTS) > before, "more events")
    assert exporter.end(signal.SIGINT) == 0
    assert "Traceback" not in exporter.output
    assert list(tmp_path.iterdir()) == [exporter.log]


def test_demo_takes_users_and_speed(start: Start) -> None:
    """So many users are simulated and polled; those who sign up later come beside them."""
    exporter = start("demo", "--users", "60", "--speed=20")
    eventually(lambda: exporter.total("cognito_auth_exporter_users") > 40, "the users")
    eventually(lambda: exporter.total(EVENTS) > 60, "their events")
    assert exporter.total("cognito_auth_exporter_users") <= 60
