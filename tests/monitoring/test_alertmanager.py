"""Alertmanager's example: what amtool takes, who is told, what a message says."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.conftest import need

KIT = Path(__file__).parents[2] / "monitoring"
EXAMPLE = KIT / "alertmanager.example.yml"


def amtool(*arguments: str) -> str:
    """Run amtool and return what it prints."""
    program = need("amtool", "apt-get install prometheus-alertmanager")
    return subprocess.run([program, *arguments], capture_output=True, check=True, text=True).stdout


def test_the_example_is_a_good_configuration() -> None:
    """Amtool takes the example, which names one template; that it is there and renders, the messages below tell."""
    assert "1 templates\n  SUCCESS" in amtool("check-config", str(EXAMPLE))


ROUTES = {
    ("threat", "critical"): "security-page",
    ("threat", "warning"): "security-chat",
    ("threat", "info"): "security-mail",
    ("exporter", "critical"): "platform-page",
    ("exporter", "warning"): "platform-mail",
    ("exporter", "info"): "platform-mail",
}


@pytest.mark.parametrize(("labels", "receiver"), ROUTES.items())
def test_routes_by_kind_and_severity(labels: tuple[str, str], receiver: str) -> None:
    """Who is told goes by kind and severity: a break-in pages security, a slow exporter mails the platform team."""
    kind, severity = labels
    route = ["config", "routes", "test", f"--config.file={EXAMPLE}", f"--verify.receivers={receiver}"]
    assert amtool(*route, f"kind={kind}", f"severity={severity}", "alertname=CognitoAuthAny").split() == [receiver]


def alert(status: str, **annotations: str) -> dict[str, object]:
    """Return an alert as a template sees it."""
    usual = {"summary": "customers: a burst", "description": "12 failures.", "runbook_url": "https://example.org/r"}
    return {
        "status": status,
        "labels": {"severity": "warning"},
        "annotations": usual | annotations,
        "startsAt": "2026-01-02T03:04:05Z",
        "endsAt": "2026-01-02T04:05:06Z",
    }


MESSAGES = {
    "one": (
        [alert("firing", delay="5m 0s")],
        "[FIRING 1] customers: a burst",
        (
            "customers: a burst (warning)\n12 failures.\nNine of ten events were seen within 5m 0s.\n"
            "Since 2026-01-02 03:04:05 UTC\nWhat to do: https://example.org/r"
        ),
    ),
    "resolved": (
        [alert("resolved")],
        "[RESOLVED] customers: a burst",
        (
            "Resolved: customers: a burst (warning)\n12 failures.\n"
            "Since 2026-01-02 03:04:05 UTC until 04:05:06\nWhat to do: https://example.org/r"
        ),
    ),
    "one of two": (
        [alert("resolved"), alert("firing", summary="admins: another")],
        "[FIRING 1] admins: another, and more",
        (
            "Resolved: customers: a burst (warning)\n12 failures.\nSince 2026-01-02 03:04:05 UTC until 04:05:06\n"
            "What to do: https://example.org/r\n\n"
            "admins: another (warning)\n12 failures.\nSince 2026-01-02 03:04:05 UTC\nWhat to do: https://example.org/r"
        ),
    ),
    "two": (
        [alert("firing"), alert("firing", summary="admins: another")],
        "[FIRING 2] customers: a burst, and more",
        (
            "customers: a burst (warning)\n12 failures.\nSince 2026-01-02 03:04:05 UTC\nWhat to do: https://example.org/r\n\n"
            "admins: another (warning)\n12 failures.\nSince 2026-01-02 03:04:05 UTC\nWhat to do: https://example.org/r"
        ),
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_are_readable(name: str, tmp_path: Path) -> None:
    """A message says what is wrong and where, since when, how late that may be, and where to read on."""
    alerts, title, text = MESSAGES[name]
    (tmp_path / "data.json").write_text(json.dumps({"status": alerts[-1]["status"], "alerts": alerts}))
    rendered = [
        amtool(
            *("template", "render", f"--template.glob={KIT / 'alertmanager.tmpl'}"),
            *(
                f"--template.data={tmp_path / 'data.json'}",
                f'--template.text={{{{ template "cognito_auth.{part}" . }}}}',
            ),
        ).strip()
        for part in ("title", "text")
    ]
    assert rendered == [title, text]
