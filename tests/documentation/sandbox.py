"""A place where a page's commands are run: a copy of the project, a simulator of Cognito, ports and folders of its own."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import pytest

from exporter.event.event import Challenge, Context, Risk
from exporter.simulator.server import Simulator
from exporter.simulator.world import ScriptedWorld, auth_event
from tests.conftest import Process, eventually, free_port
from tests.documentation.commands import Command
from tests.documentation.pages import ROOT, blocks

POOL = "eu-west-1_Ab129faBb"
"""The pool of every example."""
_COPIED = ("Makefile", "pyproject.toml", "README.md", "config.example.yaml", "exporter", "mixin", "monitoring")
_LONGEST = 60.0  # seconds that a command may take, those that ask a server with their repetitions

SERVER = re.compile(r"make demo\b|(?:\.venv/bin/)?cognito-auth-exporter (?:demo\b|--)|prometheus ")
"""What runs until it is ended; the page goes on beside it."""
_PORTS = {"prometheus": "localhost:9090"}
_PORT = "localhost:10078"
_FOLDERS = ("/etc/cognito-auth-exporter/", "/var/log/cognito-auth-exporter/", "/tmp/")
_PLACES = re.compile("|".join(map(re.escape, (_PORT, *_PORTS.values(), *_FOLDERS))))
"""What pages name, and what stands for something of the sandbox's own."""

_FILES = {
    "config.yaml": """
user_pools: [{id: eu-west-1_Ab129faBb, name: customers, users: {usernames: [alice, bob], groups: [administrators]}}]
polling: {requests_per_second: 50, min_interval: 1s}
counting: {start: beginning, settle: 1s}
metrics: {series_hold: 0s}
event_log: {path: events.jsonl, personal_data: plain}
""",
    "web-config.yaml": "http_server_config: {headers: {X-Frame-Options: deny}}\n",
    "names.txt": "alice\nbob\n",
    "hash.key": "a key that nobody else has\n",
    "before.json": '{"RiskExceptionConfiguration": {"BlockedIPRangeList": []}}',  # what AWS has told
    ".curlrc": "fail\n",  # else curl is content with any answer
}
"""What pages take for granted; a page's own YAML that begins with a comment of a file's name goes before."""
_NAMED = re.compile(r"# ([\w.-]+\.ya?ml)\n")


def _world() -> ScriptedWorld:
    """Return two people, one of whom has had a day that each of the runbook's questions finds something in."""
    world = ScriptedWorld()
    world.add_pool(POOL)
    now = time.time()
    for name in ("alice", "bob"):
        world.add_user(POOL, name, groups=["administrators"])
    brazil = Context("192.0.2.7", "Firefox 130, Linux", "-03:00", "Recife", "Brazil")
    high = Risk("AccountTakeover", "High", compromised_credentials=True)
    failed = (Challenge("Password", "Success"), Challenge("Mfa", "Failure"))
    alices: list[dict[str, Any]] = [
        {"context": brazil, "risk": high},
        {"response": "Fail", "challenges": failed},
        {"response": "Fail", "risk": high},
        {"event_type": "ForgotPassword"},
        {},
    ]
    for age, fields in enumerate(alices):
        world.add_event(POOL, "alice", auth_event(now - 60 * age - 5, **fields))
    return world


class Sandbox:
    """Runs a page's commands one after the other, as somebody would who pastes them; what they start is ended with it."""

    def __init__(self, page: str, folder: Path) -> None:
        self._folder = folder
        self._simulator = Simulator(_world())
        self._servers: dict[str, Process] = {}
        addresses = {place: f"127.0.0.1:{free_port()}" for place in (_PORT, *_PORTS.values())}
        self._places: Mapping[str, str] = {**addresses, **dict.fromkeys(_FOLDERS, f"{folder}/")}
        self._definitions: list[str] = []
        self._env = {
            "HOME": str(folder),
            "PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}",
            "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER": self._simulator.url,
        }
        self._fill(page)

    def _fill(self, page: str) -> None:
        for name in _COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, self._folder / name)
        environment = self._folder / ".venv"
        environment.mkdir()
        for each in Path(sys.prefix).iterdir():
            if each.name in {"bin", "lib", "lib64", "pyvenv.cfg"}:
                (environment / each.name).symlink_to(each)
        for done in ("installed", "dev"):
            (environment / done).touch()  # newer than pyproject.toml: make need not install it again
        own = {found[1]: block.text for block in blocks(page, "yaml") if (found := _NAMED.match(block.text))}
        for name, text in {**_FILES, **own}.items():
            (self._folder / name).write_text(self._filled_in(text))

    def _filled_in(self, text: str) -> str:
        """Return a text with this place's folders and ports in the place of the page's."""
        return _PLACES.sub(lambda found: self._places[found[0]], text)

    def serve(self) -> None:
        """Start the exporter that a page takes for granted, and wait until it has counted."""
        self._start("cognito-auth-exporter --config.file=config.yaml --web.enable-lifecycle")
        eventually(lambda: (self._folder / "events.jsonl").stat().st_size, "a line of the event log")

    def run(self, command: Command) -> None:
        """Run a command; an AssertionError tells what it said if it fails."""
        text = self._filled_in(command.text)
        if command.defines:
            self._definitions.append(text)
        elif SERVER.match(command.text):
            self._start(text)
        else:
            self._paste(command, text)

    def _paste(self, command: Command, text: str) -> None:
        script = "\n".join([*self._definitions, text])
        deadline = time.monotonic() + _LONGEST
        while True:
            done = subprocess.run(
                ["bash", "-eu", "-o", "pipefail", "-c", script],
                cwd=self._folder,
                env={**os.environ, **self._env},
                input="a password\n",
                capture_output=True,
                text=True,
                timeout=_LONGEST,
                check=False,
                start_new_session=True,  # without a terminal to ask at
            )
            if done.returncode == 0 or "curl" not in command.programs or time.monotonic() > deadline:
                break
            time.sleep(0.5)  # what a server tells may have to come about first
        assert done.returncode == 0, f"{command}\nended with {done.returncode}\n{done.stdout}\n{done.stderr}"

    def _start(self, text: str) -> None:
        """Start what serves, in the place of what served at the same address before."""
        address = self._places[_PORTS.get(text.partition(" ")[0], _PORT)]
        if address in self._servers:
            self._end(self._servers.pop(address))
        served = ["setsid", "bash", "-c", f"exec {_listening(text, address)}"]
        self._servers[address] = process = Process(served, self._folder, self._env)

        def is_ready() -> bool:
            if process.popen.poll() is not None:
                pytest.fail(f"{text} has ended:\n{process.output}")
            return httpx.get(f"http://{address}/-/ready", timeout=5).is_success

        eventually(is_ready, f"the readiness of {text}")

    def _end(self, process: Process) -> None:
        """End a server and what it has started, as Ctrl-C at a terminal does: make passes no signal on."""
        for number in (signal.SIGINT, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.popen.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.popen.wait(15)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._servers.values():
            self._end(process)
        self._simulator.close()


def _listening(text: str, address: str) -> str:
    """Return a server's command with an address of its own."""
    flag = f"--web.listen-address={address}"
    if not text.startswith("make "):
        return f"{text} {flag}"
    return text.replace("ARGS='", f"ARGS='{flag} ") if "ARGS='" in text else f"{text} ARGS={flag}"
