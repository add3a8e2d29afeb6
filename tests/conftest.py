"""What all tests share: real processes on free ports, ended by their ids, and tools that may be missing."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import httpx
import pytest
from hypothesis import settings
from moto.server import ThreadedMotoServer
from prometheus_client.openmetrics.parser import text_string_to_metric_families

settings.register_profile("long", deadline=None, max_examples=8000)
settings.register_profile("exporter", deadline=None)  # how fast an example is says nothing
settings.load_profile("exporter")

WAIT = 60.0  # seconds until a test gives up on something that is to come

ISOLATED = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""No test reads the credentials of whoever runs it."""

ABSENT = [
    *(
        "AWS_PROFILE",
        "AWS_SESSION_TOKEN",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_STS",
    ),
    *("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_USE_FIPS_ENDPOINT", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
]


@pytest.fixture(autouse=True)
def _isolated_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ISOLATED.items():
        monkeypatch.setenv(name, value)
    for name in ABSENT:
        monkeypatch.delenv(name, raising=False)


def need(path: str | Path, how: str) -> str:
    """Return the path of a tool; where it is missing, skip with the reason on a laptop and fail in CI."""
    found = shutil.which(str(path))
    return found if found is not None else do_without(f"{path} is missing: {how}")


def do_without(reason: str) -> NoReturn:
    """Skip with the reason on a laptop, and fail in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_PORTS = iter(range(20_000 + 1000 * (_WORKER % 10), 21_000 + 1000 * (_WORKER % 10)))
"""Each worker's own, below those that the system hands out (32768 to 60999 on Linux): nobody else takes one meanwhile."""


def free_port() -> int:
    """Return a port that is free."""
    while True:
        port = next(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def eventually(look: Callable[[], object], what: str, seconds: float = WAIT) -> None:
    """Wait until `look` is true; an assertion or a failed request counts as not yet."""
    deadline, last = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        try:
            if look():
                return
        except (AssertionError, httpx.HTTPError, OSError) as error:
            last = error
        time.sleep(0.1)
    pytest.fail(f"{what} did not come within {seconds:g} s; last: {last!r}")


class Process:
    """A real process, its output in a file, ended by its id; `stdout` is where its standard output goes instead."""

    def __init__(
        self, arguments: Sequence[str], folder: Path, env: Mapping[str, str] | None = None, stdout: int | None = None
    ) -> None:
        self.log = folder / f"{Path(arguments[0]).name}-{time.monotonic_ns()}.log"
        with self.log.open("wb") as output:
            self.popen = subprocess.Popen(
                list(arguments),
                stdout=output if stdout is None else stdout,
                stderr=output,
                cwd=folder,
                env={**os.environ, **(env or {})},
            )

    @property
    def output(self) -> str:
        """What the process has printed so far."""
        return self.log.read_text(errors="replace")

    def end(self, number: signal.Signals = signal.SIGTERM, seconds: float = 15.0) -> int:
        """Send a signal and return the exit status."""
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        return self.popen.wait(seconds)

    def close(self) -> None:
        """End the process, whatever it does."""
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait(15)


class ExporterProcess(Process):
    """`cognito-auth-exporter` in a process of its own."""

    def __init__(
        self, arguments: Sequence[str], folder: Path, env: Mapping[str, str] | None = None, stdout: int | None = None
    ) -> None:
        self.port = free_port()
        flags = [f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=debug"]
        super().__init__([sys.executable, "-m", "exporter", *arguments, *flags], folder, env, stdout)

    @property
    def url(self) -> str:
        """The address of the web side."""
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Ask for a page."""
        if self.popen.poll() is not None:
            pytest.fail(f"the exporter has ended:\n{self.output}")
        return httpx.get(self.url + path, headers=headers, timeout=10)

    def samples(self, name: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Return the samples of a name by labels, as OpenMetrics has them; `user_pool` left out."""
        answer = self.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
        assert answer.status_code == 200
        return {
            tuple(sorted((key, value) for key, value in sample.labels.items() if key != "user_pool")): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
            if sample.name == name
        }

    def total(self, name: str) -> float:
        """Return the sum over a name's samples."""
        return sum(self.samples(name).values())


Start = Callable[..., ExporterProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts an exporter with these arguments; it is ended with the test."""
    running: list[ExporterProcess] = []

    def begin(*arguments: str, env: Mapping[str, str] | None = None, stdout: int | None = None) -> ExporterProcess:
        running.append(ExporterProcess(arguments, tmp_path, env, stdout))
        return running[-1]

    yield begin
    for process in running:
        process.close()


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """Return the address of moto, whose STS knows the accounts of the roles that it has let be assumed."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
