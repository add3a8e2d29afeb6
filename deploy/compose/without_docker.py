#!/usr/bin/env python3
"""The services of compose.yaml as plain processes on loopback, from the same files, until Ctrl-C or SIGTERM.

Each service gets a folder that stands for its container's file system, with copies of what compose.yaml mounts. In these, and in
the service's arguments and environment, its paths lead there, and `service:port` leads to loopback: nothing else is changed.
A service whose program is not installed is left out. The data ends with the run.
"""

import asyncio
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LOOPBACK = "127.0.0.1"
GRACE = 30.0  # seconds until what does not end is killed
_DEFAULTED = re.compile(r"\$\{(\w+):-([^{}]*)\}")  # the one form of interpolation that compose.yaml uses
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def read_compose(variables: Mapping[str, str]) -> dict[str, Any]:
    """Return compose.yaml with these variables put in, as Compose does: an empty one counts as none."""

    def put_in(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: put_in(value) for key, value in node.items()}
        if isinstance(node, list):
            return [put_in(value) for value in node]
        if isinstance(node, str):
            return _DEFAULTED.sub(lambda found: variables.get(found[1]) or found[2], node)
        return node

    document: dict[str, Any] = put_in(yaml.safe_load((HERE / "compose.yaml").read_text()))
    return document


class Ports(dict[tuple[str, int], int]):
    """The port on this machine for each one of a service: the published one, or one that is free."""

    def __init__(self, services: Mapping[str, Any]) -> None:
        for name, service in services.items():
            for published in service.get("ports", ()):
                _, outside, inside = published.split(":")
                self[name, int(inside)] = int(outside)

    def __missing__(self, key: tuple[str, int]) -> int:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port: int = probe.getsockname()[1]
        self[key] = port
        return port

    def address(self, service: str, port: int) -> str:
        """Return where a port of a service is found on this machine."""
        return f"{LOOPBACK}:{self[service, port]}"

    def of(self, service: str) -> str:
        """Return where the known ports of a service are found on this machine."""
        return ", ".join(f"port {port} at {self.address(name, port)}" for name, port in sorted(self) if name == service)


@dataclass(frozen=True, slots=True)
class Program:
    """What stands for a service's image here: the command, and what it takes to listen on loopback alone."""

    command: Sequence[str]
    arguments: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str | None:
        """Return where it is installed, if it is."""
        return shutil.which(self.command[0])


def programs(ports: Ports) -> dict[str, Program]:
    """Return the program of each service, under the names that Debian and Grafana give them."""
    address = ports.address
    web = "--web.listen-address="
    return {
        "exporter": Program([sys.executable, "-m", "exporter"], [web + address("exporter", 10078)]),
        "simulator": Program(
            [sys.executable, "-m", "exporter.simulator"],
            [f"--host={LOOPBACK}", f"--port={ports['simulator', 10079]}"],
        ),
        "prometheus": Program(["prometheus"], [web + address("prometheus", 9090)]),
        "alertmanager": Program(["prometheus-alertmanager"], [web + address("alertmanager", 9093)]),
        "mailpit": Program(
            ["mailpit"],
            environment={
                "MP_UI_BIND_ADDR": address("mailpit", 8025),
                "MP_SMTP_BIND_ADDR": address("mailpit", 1025),
            },
        ),
        "grafana": Program(
            ["grafana", "server", "--homepath=/usr/share/grafana"],
            environment={
                "GF_SERVER_HTTP_ADDR": LOOPBACK,
                "GF_SERVER_HTTP_PORT": str(ports["grafana", 3000]),
                # These the image sets.
                "GF_PATHS_DATA": "/var/lib/grafana",
                "GF_PATHS_LOGS": "/var/lib/grafana/log",
                "GF_PATHS_PLUGINS": "/var/lib/grafana/plugins",
                "GF_PATHS_PROVISIONING": "/etc/grafana/provisioning",
            },
        ),
    }


class Place:
    """A folder for a service's mounts, and the words for what is elsewhere than in its container."""

    def __init__(self, folder: Path, service: Mapping[str, Any], ports: Ports, names: Sequence[str]) -> None:
        """Lay out the mounts. Raises OSError where one does not exist."""
        self.folder = folder
        self._ports = ports
        mounts = dict(_mounts(service))
        self._path = re.compile(rf"(?<![\w./-])(?:{'|'.join(_folders(mounts)) or '(?!)'})(?![\w.-])")
        self._address = re.compile(rf"\b({'|'.join(names)}):(\d+)\b")
        for target, source in mounts.items():
            self._lay(target, source)

    def here(self, text: str) -> str:
        """Return the text with the paths and addresses of this machine."""
        text = self._address.sub(lambda found: self._ports.address(found[1], int(found[2])), text)
        return self._path.sub(lambda found: f"{self.folder}{found[0]}", text)

    def _lay(self, target: str, source: Path | None) -> None:
        at = self.folder / target.removeprefix("/")
        at.parent.mkdir(parents=True, exist_ok=True)
        if source is None:
            at.mkdir()
        elif source.is_dir():
            shutil.copytree(source, at, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(source, at)
        for file in (at, *at.rglob("*")):
            if file.suffix in {".yml", ".yaml"}:
                file.write_text(self.here(file.read_text()))


def _mounts(service: Mapping[str, Any]) -> Iterator[tuple[str, Path | None]]:
    """Give what is mounted where in a service; a volume of Docker's is an empty folder here."""
    for volume in service.get("volumes", ()):
        if isinstance(volume, str):
            yield volume.partition(":")[2], None
        else:
            yield volume["target"], HERE / volume["source"]


def _folders(mounts: Iterable[str]) -> list[str]:
    """Return patterns of what is mounted and of the folders that hold it, but for those at the root, the longest first."""
    paths = {path for mount in map(PurePosixPath, mounts) for path in (mount, *mount.parents[:-2])}
    return sorted((re.escape(str(path)) for path in paths), key=len, reverse=True)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A service that can be started."""

    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path


def prepare(compose: Mapping[str, Any], folder: Path, ports: Ports) -> dict[str, Prepared | None]:
    """Lay out all services below a folder; None for those whose program is not installed. Raises OSError as `Place`."""
    services, known = compose["services"], programs(ports)
    return {
        name: _prepared(service, Place(folder / name, service, ports, list(services)), known[name])
        for name, service in services.items()
    }


def _prepared(service: Mapping[str, Any], place: Place, program: Program) -> Prepared | None:
    if program.path is None:
        return None
    arguments = [*service.get("command", ()), *program.arguments]
    named = {**service.get("environment", {}), **program.environment}
    taken_over = {name: os.environ[name] for name, value in named.items() if value is None and name in os.environ}
    given = {name: place.here(value) for name, value in named.items() if value is not None}
    around = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return Prepared(
        [program.path, *program.command[1:], *map(place.here, arguments)],
        {**around, **taken_over, **given},
        place.folder.with_suffix(".log"),
    )


async def run(services: Mapping[str, Prepared]) -> int:
    """Run services until a signal comes, which is 0, or until one of them ends, which is 1; none is left over."""
    stopping = asyncio.Event()
    for number in _STOPPING:
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    running: dict[str, asyncio.subprocess.Process] = {}
    try:
        for name, service in services.items():
            running[name] = await _start(service)
        ends = {asyncio.create_task(process.wait()): name for name, process in running.items()}
        await asyncio.wait([*ends, asyncio.create_task(stopping.wait())], return_when=asyncio.FIRST_COMPLETED)
        ended = [name for end, name in ends.items() if end.done()]
    finally:
        await _end(list(running.values()))
    if stopping.is_set():
        return 0
    for name in ended:
        last = services[name].log.read_text(errors="replace").splitlines()[-10:]
        print(f"{name} has ended with status {running[name].returncode}:", *last, sep="\n", file=sys.stderr)
    return 1


async def _start(service: Prepared) -> asyncio.subprocess.Process:
    with service.log.open("wb") as log:
        return await asyncio.create_subprocess_exec(
            *service.command,
            env=service.environment,
            cwd=ROOT,  # where `-m exporter` finds this checkout
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # a Ctrl-C is for this script, which then ends them
        )


async def _end(processes: Sequence[asyncio.subprocess.Process]) -> None:
    ends = {asyncio.create_task(process.wait()): process for process in processes}
    for process in processes:
        if process.returncode is None:
            process.terminate()
    if ends:
        _, late = await asyncio.wait(ends, timeout=GRACE)
        for end in late:
            ends[end].kill()
        await asyncio.gather(*late)


def main() -> int:
    """Run what is installed, and say where it is."""
    compose = read_compose(os.environ)
    ports = Ports(compose["services"])
    with tempfile.TemporaryDirectory(prefix="cognito-auth-") as folder:
        try:
            prepared = prepare(compose, Path(folder), ports)
        except OSError as error:
            print(error, file=sys.stderr)
            return 1
        for name, service in prepared.items():
            missing = " (left out: its program is not installed)" if service is None else ""
            print(f"{name}: {ports.of(name)}{missing}")
        print(f"logs and data: {folder}; end with Ctrl-C", flush=True)
        return asyncio.run(run({name: service for name, service in prepared.items() if service is not None}))


if __name__ == "__main__":
    sys.exit(main())
