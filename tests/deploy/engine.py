"""buildah and podman with a store of their own, which is kept from one run to the next; and what stands in for the base image."""

import fcntl
import json
import os
import re
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import do_without, eventually, need

ROOT = Path(__file__).parents[2]
BASE = "docker.io/library/python:3.13-slim"
_SUITE = "trixie"  # Debian's, whose Python is that of the base

_PACKAGES = ["ca-certificates", "netbase", "python-is-python3", "python3-pip", "python3-venv", "tzdata"]
_LIKE_THE_BASE = """
find "$1/usr" -name "*.pyc" -delete
rm "$1"/usr/lib/python3*/EXTERNALLY-MANAGED
"""
"""The base has no byte code of Python (docker-library/python#615), and lets pip install into it."""

_CONTAINERS_CONF = """
[containers]
netns = "none"
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"""
"""What works in a machine without systemd and without the right to raise limits; each container has a loopback of its own."""

_STORAGE_CONF = """
[storage]
driver = "overlay"
graphroot = "{folder}/store"
runroot = "{folder}/run"
"""

_GET = "import sys, urllib.request as request; print(request.urlopen(sys.argv[1], timeout=5).read().decode())"

_ON_THE_WAY_TO_PACKAGES = ("default-timeout", "index-url", "proxy", "timeout", "trusted-host")
_TOOLS = {
    "apt-get": "the base's stand-in is made from Debian's packages",
    "buildah": "apt-get install buildah",
    "podman": "apt-get install podman",
    "runc": "apt-get install runc",
    "mmdebstrap": "apt-get install mmdebstrap",
    "git": "apt-get install git",
    "make": "apt-get install make",
}


class Engine:
    """Builds the image by the Makefile, and runs it; everything in one folder."""

    def __init__(self, folder: Path) -> None:
        for tool, how in _TOOLS.items():
            need(tool, how)
        if os.geteuid() != 0:
            do_without("root: the store and the containers are root's")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._env = {
            "CONTAINERS_CONF": self._write("containers.conf", _CONTAINERS_CONF),
            "CONTAINERS_STORAGE_CONF": self._write("storage.conf", _STORAGE_CONF.format(folder=folder)),
            "DISABLE_HC_SYSTEMD": "true",  # podman would have systemd ask for the health; the tests ask
        }

    def _write(self, name: str, text: str) -> str:
        path = self._folder / name
        path.write_text(text)
        return str(path)

    def run(self, *arguments: str, seconds: float = 60, ok: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program to its end; one that fails is the test's failure, unless `ok` is False."""
        done = subprocess.run(
            arguments,
            cwd=ROOT,
            env={**os.environ, **self._env},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0 or not ok, f"{shlex.join(arguments)}: {done.stdout}{done.stderr}"
        return done

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep the other processes of the test run away from the store meanwhile."""
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def image_of(self, test_run: str) -> str:
        """Return the id of the image, which the first process of a test run that asks builds for all."""
        latest = self._folder / "latest.json"
        with self.alone():
            if latest.exists() and (known := json.loads(latest.read_text()))["test_run"] == test_run:
                return str(known["image"])
            self._have_base()
            image = self.build()
            latest.write_text(json.dumps({"test_run": test_run, "image": image}))
            self.run("podman", "image", "prune", "--force")  # the one before, and what was left of a build that failed
            return image

    def build(self, name: str = "exporter") -> str:
        """Build the image as docs/image.md says, from the base of this store, and return its id."""
        told = self._folder / "id"
        here = [f"--iidfile={told}", "--pull-never", "--isolation=chroot", "--network=host", *self._mounts()]
        arguments = f"ARGS=--format=docker --timestamp=$(COMMITTED) {shlex.join(here)}"
        self.run("make", "image", "ENGINE=buildah", f"IMAGE=localhost/{name}", arguments, seconds=600)
        return told.read_text().strip()

    def unpack(self, image: str, folder: Path) -> tuple[dict[str, Any], list[tarfile.TarInfo]]:
        """Return the image's configuration, and what lies in its uppermost layer."""
        self.run("buildah", "push", "--disable-compression", "--format=docker", image, f"dir:{folder}")
        manifest = json.loads((folder / "manifest.json").read_text())
        blob, layer = (
            folder / each["digest"].removeprefix("sha256:") for each in (manifest["config"], manifest["layers"][-1])
        )
        with tarfile.open(layer) as archive:
            return json.loads(blob.read_text()), archive.getmembers()

    def _mounts(self) -> list[str]:
        """Return options that show the build, and no layer, this machine's way to packages: its pip.conf and certificates."""
        listed = subprocess.check_output([sys.executable, "-m", "pip", "config", "list"], text=True)
        settings = dict(re.findall(r"^(?:global|:env:)\.([\w-]+)='(.*)'$", listed, re.MULTILINE))
        lines = [f"{key} = {settings[key]}" for key in _ON_THE_WAY_TO_PACKAGES if key in settings]
        mounts = {}
        if "cert" in settings:
            mounts[settings["cert"]] = "/etc/ssl/certs/ca-certificates.crt"
            lines.append("cert = /etc/ssl/certs/ca-certificates.crt")
        mounts[self._write("pip.conf", "\n".join(["[global]", *lines, ""]))] = "/etc/pip.conf"
        return [f"--volume={source}:{target}:ro" for source, target in mounts.items()]

    def _have_base(self) -> None:
        """Make what stands in for the base, under its name, unless the store has it from the same recipe."""
        recipe, made = self._folder / "recipe", self._folder / "base.tar"
        command = _recipe(made)
        if not (recipe.exists() and recipe.read_text() == shlex.join(command)):
            self.run(*command, seconds=600)
            self.run("podman", "import", "--change=CMD python3", str(made), BASE, seconds=120)
            made.unlink()
            recipe.write_text(shlex.join(command))

    @contextmanager
    def container(self, image: str, *arguments: str, options: Sequence[str] = ()) -> Iterator["Container"]:
        """Give a container that runs until the context ends, with these options of `podman run`."""
        started = self.run("podman", "run", "--detach", *options, image, *arguments)
        container = Container(self, started.stdout.strip())
        try:
            yield container
        finally:
            self.run("podman", "rm", "--force", "--volumes", "--time=0", container.name)

    def to_the_end(self, image: str, *arguments: str, options: Sequence[str] = ()) -> tuple[int, str]:
        """Run a container that ends by itself, and return its exit status and what it has printed."""
        with self.container(image, *arguments, options=options) as container:
            return container.wait(60), container.log


class Container:
    """A container that runs."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self.name = name

    def ask(self, *command: str) -> str:
        """Return what a command in the container prints to standard output."""
        return self._engine.run("podman", "exec", self.name, *command).stdout

    def status_of(self, *command: str) -> int:
        """Return what a command in the container ends with."""
        return self._engine.run("podman", "exec", self.name, *command, ok=False).returncode

    def get(self, path: str) -> str:
        """Return the page that the exporter inside serves on its usual port."""
        return self.ask("python", "-c", _GET, f"http://127.0.0.1:10078{path}")

    @property
    def log(self) -> str:
        """What the container has printed."""
        done = self._engine.run("podman", "logs", self.name)
        return done.stdout + done.stderr

    def check_health(self) -> tuple[int, str]:
        """Run the image's HEALTHCHECK, and return its exit status and what it printed."""
        done = self._engine.run("podman", "healthcheck", "run", self.name, ok=False)
        return done.returncode, self._state["Health"]["Log"][-1]["Output"]

    def signal(self, name: str) -> None:
        """Send a signal to process 1."""
        self._engine.run("podman", "kill", f"--signal={name}", self.name)

    def wait(self, seconds: float) -> int:
        """Return the exit status, which has to come within this time.

        Not by `podman wait` or an attached `podman run`, which wait 20 s for the monitor where process 1 leaves zombies.
        """
        eventually(lambda: not self._state["Running"], "the end", seconds)
        return int(self._state["ExitCode"])

    @property
    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(
            self._engine.run("podman", "inspect", "--format={{json .State}}", self.name).stdout
        )
        return state

    def end(self, seconds: float) -> int:
        """Send SIGTERM, and return the exit status, which has to come within this time."""
        self.signal("TERM")
        return self.wait(seconds)


def _recipe(target: Path) -> list[str]:
    """Return the command that makes the stand-in's root from the mirror that this machine's apt uses."""
    origins = subprocess.check_output(["apt-get", "indextargets", "--format=$(REPO_URI)"], text=True).splitlines()
    mirrors = [origin for origin in origins if origin.rstrip("/").endswith("/debian")]
    mirror = (
        mirrors[0] if mirrors else do_without("apt knows no mirror of Debian, from which the base's stand-in is made")
    )
    packages = f"--include={','.join(_PACKAGES)}"
    options = ["--variant=essential", packages, f"--customize-hook={_LIKE_THE_BASE}", "--quiet"]
    return ["mmdebstrap", *options, _SUITE, str(target), mirror]


def program_of_python(name: str) -> str:
    """Return the path of a program that came with a package of the tests' Python."""
    beside = Path(sys.executable).parent / name
    return need(beside if beside.exists() else name, "make test")


def cache() -> Path:
    """Return the folder for what is kept outside the tree."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cognito-auth-exporter"
