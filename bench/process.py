"""Processes under measurement: started, watched through /proc, ended by their ids."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Self

HOST = "127.0.0.1"
_ROOT = Path(__file__).parents[1]
_TICKS = os.sysconf("SC_CLK_TCK")
_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": HOST,
}
_LONGEST_START = 30.0
_LONGEST_END = 60.0


class Child:
    """`python -m ...` in a process of its own, from construction to the end of the context."""

    def __init__(self, *arguments: str) -> None:
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115 - it lives as long as the process
        self.started = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=_ROOT,
            env=os.environ | _ENVIRONMENT,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._output.close()

    def end(self) -> float:
        """End the process; return the seconds from SIGTERM to its exit."""
        begun = time.monotonic()
        if self._process.poll() is None:
            self._process.terminate()
            self.resume()
        try:
            self._process.wait(_LONGEST_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        return time.monotonic() - begun

    def pause(self) -> None:
        """Stop it where it stands, so that it takes nothing from the others."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    @property
    def output(self) -> str:
        """What it has printed so far."""
        self._output.seek(0)
        return self._output.read()

    @property
    def has_ended(self) -> bool:
        """Tell whether it runs no more."""
        return self._process.poll() is not None

    @property
    def cpu_seconds(self) -> float:
        """User and system time it has taken so far."""
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS  # utime and stime of proc(5), behind pid and name

    @property
    def resident_bytes(self) -> float:
        """Memory it holds now."""
        return 1024.0 * self._proc_field("status", "VmRSS")

    @property
    def peak_bytes(self) -> float:
        """The most memory it has held."""
        return 1024.0 * self._proc_field("status", "VmHWM")

    @property
    def written_bytes(self) -> int:
        """Bytes it has caused to be written to disk."""
        return self._proc_field("io", "write_bytes")

    def _proc_field(self, name: str, key: str) -> int:
        return next(int(line.split()[1]) for line in self._proc(name).splitlines() if line.startswith(f"{key}:"))

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self._process.pid}/{name}").read_text()


class Server(Child):
    """A process that answers HTTP on a port of its own once the context is entered."""

    def __init__(self, *arguments: str, port: int) -> None:
        self.port = port
        super().__init__(*arguments)

    def __enter__(self) -> Self:
        try:
            wait_until(self._answers, f"an answer of port {self.port}", _LONGEST_START)
        except BaseException:
            self.__exit__()
            raise
        return self

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{HOST}:{self.port}"

    def get(self, path: str = "/") -> str:
        """Return a page. Raises OSError where nobody answers."""
        connection = HTTPConnection(HOST, self.port, timeout=_LONGEST_START)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def _answers(self) -> bool:
        if self.has_ended:
            raise RuntimeError(f"the process has ended:\n{self.output}")
        try:
            self.get()
        except OSError:
            return False
        return True


def wait_until(look: Callable[[], bool], what: str, seconds: float, every: float = 0.05) -> None:
    """Wait until `look` is true. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not look():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come within {seconds:g} s")
        time.sleep(every)


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
