"""The units under a real systemd, booted from a throw-away copy of this machine, with the exporter installed as the page says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import do_without, need

ROOT = Path(__file__).parents[2]
BOOT = Path(__file__).parent / "boot"

PROMISED = {
    "start": ["0"],
    "status": ["listening on [::]:10078"],
    "counts": ["0"],
    "process_metrics": ["0"],
    "user": ["cognito-auth-exporter"],
    "capabilities": ["0000000000000000"],
    "new_privileges_denied": ["1"],
    "system_calls_filtered": ["2"],  # SECCOMP_MODE_FILTER
    "descriptors": ["process_max_fds 4096.0"],
    "state": ["-rw------- cognito-auth-exporter"],
    "reload": ["0"],
    "reloaded": ["0"],
    "stop": ["success 0"],
    "mistake": ["failed 2 0"],  # and not started again
    "lasting_user": ["0"],
    "lasting_id": ["1"],
    "watchdog": ["1 active"],
    "scrape": ["0"] * 20,  # all through a restart
}
"""What boot/trial.sh tells, by its names."""


@pytest.mark.timeout(600)  # it installs the exporter with all that it takes
def test_the_service_lives_as_the_page_says(tmp_path: Path) -> None:
    """Installed by pip into a venv, it starts, counts, reloads, stops, is watched over, and its socket bridges a restart."""
    if os.geteuid() != 0:
        do_without("only root can boot a systemd")
    need("systemd-nspawn", "apt-get install systemd-container")
    need("/usr/bin/python3", "apt-get install python3")
    need("curl", "apt-get install curl")
    command = ["unshare", "--mount", "bash", str(BOOT / "boot.sh"), str(ROOT), sys.executable, str(tmp_path)]
    with (tmp_path / "console").open("wb") as console:
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, timeout=500, check=False)
    told: dict[str, list[str]] = {}
    results = tmp_path / "seen" / "results"
    assert results.exists(), (tmp_path / "console").read_text(errors="replace")[-3000:]
    for line in results.read_text().splitlines():
        name, _, value = line.partition(" ")
        told.setdefault(name, []).append(value)
    assert told == PROMISED
