"""The command as users and their scripts call it: flags, texts, exit statuses."""

import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from exporter import __version__
from tests.conftest import Start, eventually

GOOD = "user_pools: [{id: eu-west-1_Ab1, users: {usernames: [alice]}}]\nstate: {path: state.db}\n"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    call = [sys.executable, "-m", "exporter", *arguments]
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
    return done


def test_version_and_help(tmp_path: Path) -> None:
    """`--version` names the version, `--help` every flag and command; both end with 0."""
    version, text = run(tmp_path, "--version"), run(tmp_path, "--help")
    assert (version.returncode, text.returncode) == (0, 0)
    assert f"version {__version__} " in version.stdout
    flags = (
        *(
            "--config.file",
            "--web.listen-address",
            "--web.telemetry-path",
            "--web.config.file",
            "--web.enable-lifecycle",
        ),
        *("--web.max-requests", "--log.level", "--log.format", "--version"),
    )
    for word in (*flags, "check", "demo", "events"):
        assert word in text.stdout
    for command, own in (
        ("check", ("--config.file", "--live")),
        ("demo", ("--users", "--speed")),
        ("events", ("--config.file", "--user-pool", "--username", "--limit", "--output")),
    ):
        told = run(tmp_path, command, "--help").stdout
        assert [flag for flag in own if flag not in told] == []


def test_installed_command_is_the_same(tmp_path: Path) -> None:
    """`cognito-auth-exporter` and `python -m exporter` are one."""
    command = str(Path(sys.executable).parent / "cognito-auth-exporter")
    installed = subprocess.run([command, "--version"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert installed.stdout == run(tmp_path, "--version").stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--nonsense"], "--nonsense"),
        (["nonsense"], "nonsense"),
        (["--log.level=loud"], "loud"),
        (["--log.format", "xml"], "xml"),
        (["--web.listen-address=10078"], '"10078" is no listen address: write :10078'),
        (["--web.listen-address", "[::1"], "is no listen address"),
        (["--web.telemetry-path=metrics"], '"metrics" cannot be the telemetry path'),
        (["--web.max-requests=-1"], '"-1" is not a number of requests'),
        (["demo", "--web.config.file=web.yml"], "web.yml: cannot be read: No such file or directory"),
        (["--config.file=absent.yaml"], "absent.yaml: cannot be read: No such file or directory"),
        ([], "config.yaml: cannot be read: No such file or directory"),
        (["demo", "--users=0"], "--users"),
        (["demo", "--users=2.5"], "--users"),
        (["demo", "--speed=fast"], "--speed"),
        (["demo", "--speed=1001"], '"1001" is not a speed above 0 and up to 1000'),
        (["demo", "--users=1000", "--speed=500"], "--users times --speed may be 100000 at most"),
        (["check", "--live=yes"], "--live"),
        (["events", "--username=alice"], "--user-pool"),
        (["events", "--user-pool=customers"], "--username"),
        (["events", "--user-pool=customers", "--username=alice"], "config.yaml: cannot be read"),
        (["events", "--user-pool=customers", "--username="], "a user name has 1 to 128 characters"),
        (["events", "--username=a", "--user-pool=b", "--limit=0"], '"0" is not a number of events between 1 and 10000'),
        (["events", "--username=a", "--user-pool=b", "--limit", "many"], '"many" is not a number of events'),
        (["events", "--username=a", "--user-pool=b", "--output=yaml"], "yaml"),
    ],
)
def test_wrong_calls(arguments: list[str], says: str, tmp_path: Path) -> None:
    """A wrong call, or a configuration that is missing, ends with 2 and says what and how to mend it."""
    done = run(tmp_path, *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_wrong_configuration(tmp_path: Path) -> None:
    """A mistaken configuration ends the start with 2; `check` finds the same mistakes and ends with 1."""
    (tmp_path / "config.yaml").write_text("user_pools: []\nnonsense: 1\n")
    started, checked, live = run(tmp_path), run(tmp_path, "check"), run(tmp_path, "check", "--live")
    shown = run(tmp_path, "events", "--user-pool=customers", "--username=alice")
    assert [each.returncode for each in (started, checked, live, shown)] == [2, 1, 1, 2]
    assert {each.stderr for each in (started, checked, live, shown)} == {started.stderr}
    assert started.stderr.splitlines() == [
        "config.yaml:1:13: user_pools: has to have at least one item",
        "config.yaml:2:1: nonsense: unknown key; known here: user_pools, polling, counting, state, metrics, event_log",
    ]


def test_mistakes_are_harmless(tmp_path: Path) -> None:
    """What is quoted of others in an error reaches the terminal without anything that it obeys; its lines stay apart."""
    (tmp_path / "config.yaml").write_text(GOOD.replace("[alice]}", '[alice], all: "\\e[2J"}') + "nonsense: 1\n")
    done = run(tmp_path, "check")
    assert "\\x1b[2J" in done.stderr
    assert [line.isprintable() for line in done.stderr.splitlines()] == [True, True]


def test_check_of_a_good_file(tmp_path: Path) -> None:
    """A good file ends with 0, names the pools, and nothing is made."""
    (tmp_path / "other.yaml").write_text(GOOD)
    for arguments in (["--config.file=other.yaml"], ["--config.file", "other.yaml"]):
        done = run(tmp_path, "check", *arguments)
        assert (done.returncode, "eu-west-1_Ab1" in done.stdout) == (0, True)
    assert [each.name for each in tmp_path.iterdir()] == ["other.yaml"]


def test_events_of_an_unknown_pool(tmp_path: Path) -> None:
    """A pool that the configuration does not have ends with 2, and those that it has are told."""
    (tmp_path / "config.yaml").write_text(GOOD)
    done = run(tmp_path, "events", "--user-pool", "customers", "--username", "alice")
    said = '--user-pool: there is no "customers"; user pools: eu-west-1_Ab1\n'
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


def test_busy_port(tmp_path: Path) -> None:
    """A port that another process has ends the start with 1 and is named; the state is not made."""
    (tmp_path / "config.yaml").write_text(GOOD)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for arguments in ([], ["demo"]):
            done = run(tmp_path, *arguments, f"--web.listen-address={address}")
            assert done.returncode == 1
            assert f"cannot listen on {address}: Address already in use" in done.stderr
    assert not (tmp_path / "state.db").exists()


def test_state_that_cannot_be_made(tmp_path: Path) -> None:
    """A state in a place that is no folder ends the start with 1 and names the key."""
    (tmp_path / "file").touch()
    (tmp_path / "config.yaml").write_text(GOOD.replace("state.db", "file/state.db"))
    done = run(tmp_path, "--web.listen-address=127.0.0.1:0")
    assert (done.returncode, "state.path" in done.stderr) == (1, True)


def test_host_that_is_none(tmp_path: Path) -> None:
    """An address whose host cannot be a name ends the start with 1."""
    (tmp_path / "config.yaml").write_text(GOOD)
    done = run(tmp_path, "--web.listen-address=..:10999")
    assert (done.returncode, done.stderr) == (1, "cannot listen on ..:10999: not the name of a host\n")


LOST = "standard output: No space left on device; what was printed is not whole\n"


@pytest.mark.parametrize(
    ("output", "status", "says"),
    [(">&-", 0, ""), ("| true", 0, ""), (">/dev/full", 1, LOST), (">/dev/full 2>/dev/full", 1, "")],
)
def test_output_that_nobody_takes(output: str, status: int, says: str, tmp_path: Path) -> None:
    """A closed or broken standard output changes no exit status; output lost on a full disk ends with 1. No traceback."""
    (tmp_path / "config.yaml").write_text(GOOD)
    script = f"set -o pipefail; {sys.executable} -m exporter check {output}"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (status, says)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after", [0.2, 0.5, 1.0])
def test_signals_while_it_starts(number: signal.Signals, after: float, start: Start, tmp_path: Path) -> None:
    """SIGINT and SIGTERM end a start with 0 and without a traceback, SIGHUP does not end it: from our first line on."""
    (tmp_path / "config.yaml").write_text(GOOD.replace("usernames: [alice]", "all: true"))
    exporter = start(env={"AWS_ENDPOINT_URL": "http://127.0.0.1:9"})
    status = Path(f"/proc/{exporter.popen.pid}/status")
    eventually(
        lambda: re.search(r"^SigIgn:\s*[0-9a-f]*[13579bdf]$", status.read_text(), re.MULTILINE), "SIGHUP to be ignored"
    )
    time.sleep(after)
    exporter.popen.send_signal(signal.SIGHUP)
    assert exporter.end(number) == 0
    assert "Traceback" not in exporter.output
