"""A service of systemd: sockets that are passed, readiness and signs of life on a real socket of a manager played here."""

import asyncio
import contextlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import structlog

from exporter.systemd import ServiceManager, passed_sockets
from exporter.web.server import ListenError
from tests.conftest import Start, eventually

DEMO = [sys.executable, "-m", "exporter", "demo", "--users=2", "--web.systemd-socket"]


class Manager:
    """What systemd is for a service: a socket that is told things."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._socket.settimeout(20)

    def heard(self) -> str:
        """Return what is told next."""
        return self._socket.recv(4096).decode().strip()

    def has_heard_nothing_for(self, seconds: float) -> bool:
        """Tell whether it stays silent so long, from when it has nothing to say any more."""
        self._socket.settimeout(seconds)
        try:
            self._socket.recv(4096)
        except TimeoutError:
            return True
        return False

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """Return a service manager."""
    with contextlib.closing(Manager(tmp_path)) as made:
        yield made


def test_the_service_is_ready_and_alive(manager: Manager, start: Start) -> None:
    """Once the start is done systemd is told so, with the address; then comes one sign of life after the other."""
    exporter = start("demo", "--users=2", env={"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "600000"})
    told = [manager.heard() for _ in range(5)]
    assert told == [f"STATUS=listening on 127.0.0.1:{exporter.port}", "READY=1", *["WATCHDOG=1"] * 3]
    assert exporter.end() == 0


def test_a_manager_that_has_gone_is_no_trouble(manager: Manager, start: Start) -> None:
    """Nobody at the socket's other end costs a word at debug level, and nothing else."""
    manager.close()
    exporter = start("demo", "--users=2", env={"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "300000"})
    eventually(lambda: "systemd was not told" in exporter.output, "the word")
    assert exporter.get("/-/healthy").status_code == 200
    assert exporter.end() == 0


def test_what_is_stuck_gives_no_sign_of_life(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the polling is stuck the watchdog hears nothing, so that systemd starts the service anew."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(manager.path))
    monkeypatch.setenv("WATCHDOG_USEC", "300000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    reasons: list[str | None] = [None, None, "a request does not end"]

    async def live() -> bool:
        with contextlib.closing(ServiceManager(structlog.get_logger())) as service:
            showing = asyncio.create_task(service.show_life(lambda: reasons.pop(0) if len(reasons) > 1 else reasons[0]))
            told = [await asyncio.to_thread(manager.heard) for _ in range(2)]
            assert told == ["WATCHDOG=1"] * 2
            silent = await asyncio.to_thread(manager.has_heard_nothing_for, 1.0)
            showing.cancel()
            return silent

    assert asyncio.run(live())


def test_a_passed_socket_is_listened_on(tmp_path: Path) -> None:
    """The exporter serves on the socket that it is given at descriptor 3, which the manager keeps."""
    with socket.create_server(("127.0.0.1", 0)) as listening, (tmp_path / "log").open("wb") as log:
        port, descriptor = listening.getsockname()[1], listening.fileno()
        exporter = subprocess.Popen(
            ["bash", "-c", f'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&{descriptor}', "bash", *DEMO],
            pass_fds=[descriptor], stdout=log, stderr=log,
        )  # fmt: skip
        try:
            assert httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=20).status_code == 200
            exporter.terminate()
            assert exporter.wait(15) == 0
        finally:
            exporter.kill()
        assert f"metrics:     http://127.0.0.1:{port}/metrics" in (tmp_path / "log").read_text()
        socket.create_connection(("127.0.0.1", port), timeout=5).close()


NOTHING_PASSED = (
    "systemd has passed no socket: start the service by its .socket unit, or leave --web.systemd-socket out"
)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_FDS": "1", "LISTEN_PID": "1"},
        {"LISTEN_FDS": "0", "LISTEN_PID": str(os.getpid())},
        {"LISTEN_FDS": "-1", "LISTEN_PID": str(os.getpid())},
        {"LISTEN_FDS": "many", "LISTEN_PID": str(os.getpid())},
    ],
)
def test_no_socket_is_passed(environment: dict[str, str]) -> None:
    """Variables that are not there, not for this process or not numbers are a plain error, and are taken away."""
    kept = {**environment, "HOME": "/"}
    with pytest.raises(ListenError, match=f"^{re.escape(NOTHING_PASSED)}$"):
        passed_sockets(kept)
    assert kept == {"HOME": "/"}


def test_a_descriptor_that_is_no_listening_socket() -> None:
    """What is passed and cannot be listened on ends the start with 1 and says how the unit has to look."""
    ended = subprocess.run(
        ["sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3</dev/null', "sh", *DEMO],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    wanted = (
        "systemd has passed descriptor 3, which listens for no TCP connections: "
        "the .socket unit needs a ListenStream= with a port, and Accept=no\n"
    )
    assert (ended.returncode, ended.stderr) == (1, wanted)
