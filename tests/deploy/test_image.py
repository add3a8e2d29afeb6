"""The image: built as docs/image.md says, and run as it says, with Debian's Python standing in for the base image."""

import json
import re
import subprocess
import tarfile
import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
import yaml
from packaging.requirements import Requirement

from exporter import __version__
from tests.conftest import ISOLATED, eventually, free_port
from tests.deploy.engine import BASE, ROOT, Container, Engine, cache, program_of_python
from tests.e2e.conftest import Town

pytestmark = pytest.mark.timeout(1500)  # the first test that asks has base and image made

PAGE = (ROOT / "docs" / "image.md").read_text()
LOCKED_DOWN = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
NO_FOLDERS_IN_MEMORY = "--read-only-tmpfs=false"  # podman's own default, which Docker has not
USER = 65532
COUNTED = re.compile(r"^cognito_auth_events_total\{.*\} ([1-9].*)$", re.MULTILINE)

STAND_IN = """
import http.server, sys

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(sys.argv[1]))
        self.end_headers()
        self.wfile.write(self.path.encode())

http.server.HTTPServer(("127.0.0.1", 10078), Answer).serve_forever()
"""
"""Answers as the exporter would that is healthy, stuck, or wants a password."""


def blocks(language: str) -> list[str]:
    """Return the page's code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="session")
def engine() -> Engine:
    """Return what builds and runs the image."""
    return Engine(cache() / "image")


@pytest.fixture(scope="session")
def image(engine: Engine, testrun_uid: str) -> str:
    """Return the id of the image of this tree."""
    return engine.image_of(testrun_uid)


@pytest.fixture(scope="session")
def layer(engine: Engine, image: str, tmp_path_factory: pytest.TempPathFactory) -> list[tarfile.TarInfo]:
    """Return what lies in the layer that the Dockerfile lays on its base."""
    return engine.unpack(image, tmp_path_factory.mktemp("image"))[1]


@pytest.fixture(scope="session")
def config(engine: Engine, image: str) -> Mapping[str, Any]:
    """Return the image's configuration, with labels and health check."""
    found: Mapping[str, Any] = json.loads(engine.run("podman", "image", "inspect", image).stdout)[0]
    return found


@pytest.fixture
def demo(engine: Engine, image: str) -> Iterator[Container]:
    """Return the demonstration, locked down, on the default port of a network of its own."""
    with engine.container(image, "demo", options=[*LOCKED_DOWN, NO_FOLDERS_IN_MEMORY]) as container:
        eventually(lambda: COUNTED.search(container.get("/metrics")), "counted events")
        yield container


def test_hadolint_has_nothing_to_say() -> None:
    """The Dockerfile follows every rule of hadolint's, with none ignored."""
    hadolint = program_of_python("hadolint")
    done = subprocess.run(
        [hadolint, "--disable-ignore-pragma", ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_what_builds_it_is_pinned() -> None:
    """The build backend is locked in the range that pyproject.toml asks for, with hashes and without addresses."""
    lock = (ROOT / "requirements-build.lock").read_text()
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+) \\\n    --hash=sha256:[0-9a-f]{64}", lock, re.MULTILINE))
    assert len(pinned) == len(re.findall(r"^\w", lock, re.MULTILINE))
    assert "://" not in lock
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert all(each.specifier.contains(pinned[each.name]) for each in map(Requirement, wanted))


def test_only_what_is_needed_is_sent(engine: Engine, tmp_path: Path) -> None:
    """The context has the package's sources and what its installation takes, and no test, no state, no history."""
    everything = tmp_path / "Dockerfile"
    everything.write_text("FROM scratch\nCOPY . /\n")
    with engine.alone():
        built = engine.run("buildah", "build", "--quiet", f"--file={everything}", str(ROOT)).stdout.strip()
        sent = {member.name for member in engine.unpack(built, tmp_path / "context")[1] if member.isfile()}
        engine.run("podman", "rmi", built)
    tracked = engine.run("git", "ls-files", "exporter").stdout.split()
    beside = ["LICENSE", "README.md", "pyproject.toml", "requirements.lock", "requirements-build.lock"]
    assert {name for name in sent if not name.startswith("exporter/")} == set(beside)
    assert sent >= set(tracked)
    assert {Path(name).suffix for name in sent if name.startswith("exporter/")} == {
        Path(name).suffix for name in tracked
    }


def told(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration without what buildah's Docker format tells of the container that it built in."""
    outer = {key: value for key, value in config.items() if key not in {"container", "container_config"}}
    return {**outer, "config": {**config["config"], "Hostname": ""}}


def test_two_builds_are_the_same(engine: Engine, image: str, tmp_path: Path) -> None:
    """Who builds a commit again gets the same layers to the bit, and the same configuration."""
    with engine.alone():
        again = engine.build("again")
        configs = [told(engine.unpack(each, tmp_path / each)[0]) for each in (image, again)]
        engine.run("podman", "rmi", again)
    assert configs[0]["rootfs"]["diff_ids"] == configs[1]["rootfs"]["diff_ids"]
    assert configs[0] == configs[1]


def test_every_time_is_the_commits(layer: list[tarfile.TarInfo]) -> None:
    """No file in the layer tells when it was built."""
    committed = int(subprocess.check_output(["git", "log", "-1", "--format=%ct"], cwd=ROOT, text=True))
    assert {member.mtime for member in layer} == {committed}


def test_layer_is_the_exporter_and_the_place_of_its_state(layer: list[tarfile.TarInfo]) -> None:
    """Nothing of the base is changed, and neither pip nor what it has fetched, a compiler or a test of the project is left."""
    names = {member.name.rstrip("/") for member in layer}
    assert {name for name in names if not name.startswith("opt/exporter/")} == {"data", "opt", "opt/exporter"}
    inside = {tuple(Path(name).relative_to("opt/exporter").parts) for name in names if name.startswith("opt/exporter/")}
    assert {parts[0] for parts in inside} == {"bin", "bytecode", "include", "lib", "lib64", "pyvenv.cfg", ".gitignore"}
    packages = {parts[3] for parts in inside if parts[:1] == ("lib",) and len(parts) > 3}
    assert packages.isdisjoint({"hatchling", "pip", "setuptools", "tests", "wheel"})
    assert "exporter" in packages


def test_nobody_but_root_may_change_the_exporter(layer: list[tarfile.TarInfo]) -> None:
    """The exporter's user can read every file and write none but the state, and no file gives rights to who runs it."""
    for member in layer:
        owner = USER if member.name.rstrip("/") == "data" else 0
        assert (member.uid, member.gid) == (owner, owner), member.name
        if not member.issym():
            assert member.mode & 0o7022 == 0, member.name
            assert member.mode & 0o004, member.name


def test_image_says_how_to_run_it(config: Mapping[str, Any]) -> None:
    """User, port, volume and entry point are those of docs/image.md; the user is a number, as Kubernetes asks for."""
    inner = config["Config"]
    assert inner["User"] == f"{USER}:{USER}"
    assert inner["Entrypoint"] == ["/opt/exporter/bin/cognito-auth-exporter"]
    assert inner["Cmd"] == ["--config.file=/etc/cognito-auth-exporter/config.yaml"]
    assert (list(inner["ExposedPorts"]), list(inner["Volumes"]), inner["WorkingDir"]) == (
        ["10078/tcp"],
        ["/data"],
        "/data",
    )


def test_labels(config: Mapping[str, Any], engine: Engine, image: str) -> None:
    """The labels tell of the project, the version and the commit what is true, and so does the exporter inside."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    show = ["git", "log", "-1", "--format=%ct %H"]
    committed, revision = subprocess.check_output(show, cwd=ROOT, text=True).split()
    labels = {name.rpartition(".")[2]: value for name, value in config["Labels"].items() if "opencontainers" in name}
    assert labels["title"] == project["name"]
    assert labels["description"] == project["description"]
    assert labels["licenses"] == project["license"]
    assert labels["version"] == __version__
    assert labels["revision"].removesuffix("-dirty") == revision
    assert datetime.fromisoformat(labels["created"]) == datetime.fromtimestamp(int(committed), UTC)
    assert labels["documentation"] == f"{labels['source']}/blob/main/docs/image.md"
    bases = set(re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    assert {f"docker.io/library/{base}" for base in bases} == {config["Labels"]["org.opencontainers.image.base.name"]}
    assert config["Labels"]["org.opencontainers.image.base.name"] == BASE
    status, printed = engine.to_the_end(image, "--version")
    assert status == 0
    assert f"version {__version__} (revision: {labels['revision']}, " in printed


def test_documented_run_is_the_one_tried_here() -> None:
    """Each way to run it in docs/image.md is as locked down as the containers of these tests."""
    runs = [block for block in blocks("sh") if re.search(r"^(docker|podman) run", block, re.MULTILINE)]
    assert runs
    for block in runs:
        assert set(LOCKED_DOWN) <= set(block.split()), block


def test_demo_runs_with_nothing_allowed(demo: Container) -> None:
    """With a read-only root, no capability and no way to more privileges, it counts, is ready and says so."""
    status = dict(re.findall(r"^(\w+):\s*(.*)$", demo.ask("cat", "/proc/1/status"), re.MULTILINE))
    assert {status[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    assert set(status["Uid"].split()) == {str(USER)}
    options = {
        fields[1]: fields[3].split(",") for fields in map(str.split, demo.ask("cat", "/proc/1/mounts").splitlines())
    }
    assert "ro" in options["/"]
    assert "/tmp" not in options
    assert demo.get("/-/ready").strip()
    result, shown = demo.check_health()
    assert (result, shown[:4]) == (0, "200 ")


def test_sigterm_ends_it(demo: Container) -> None:
    """As process 1 it takes SIGTERM, finishes what is under way, and ends with 0 within 5 s."""
    assert demo.ask("cat", "/proc/1/cmdline").split("\0")[-2] == "demo"
    assert demo.end(5) == 0
    assert "stopped" in demo.log


def test_nothing_is_compiled_at_the_start(engine: Engine, image: str) -> None:
    """Every module that a start loads, Python's own too, has its byte code in the image."""
    options = [*LOCKED_DOWN, "--entrypoint=/opt/exporter/bin/python"]
    status, loaded = engine.to_the_end(image, "-v", "-m", "exporter.cli", options=options)
    assert status == 0
    assert len(re.findall(r"^# \S+/bytecode/\S+\.pyc matches ", loaded, re.MULTILINE)) > 500
    assert re.findall(r"^# code object from (?!'/opt/exporter/bytecode/).*", loaded, re.MULTILINE) == []


@pytest.mark.parametrize(("status", "health"), [("200", 0), ("401", 0), ("503", 1)])
def test_health_is_what_the_exporter_says(engine: Engine, image: str, status: str, health: int) -> None:
    """The health check takes every answer but 503 for life, and shows what was answered."""
    options = ["--entrypoint=/opt/exporter/bin/python"]
    with engine.container(image, "-c", STAND_IN, status, options=options) as container:
        eventually(lambda: status in container.check_health()[1], "an answer")
        result, shown = container.check_health()
        assert (result, "/-/healthy" in shown) == (health, True)


def test_silence_is_ill_health(engine: Engine, image: str) -> None:
    """The health check fails where nobody answers."""
    options = ["--entrypoint=/bin/sleep"]
    with engine.container(image, "60", options=options) as container:
        result, shown = container.check_health()
        assert (result, "Connection refused" in shown) == (1, True)


def test_documented_health_check_for_tls(engine: Engine, image: str, tmp_path: Path) -> None:
    """Behind TLS the image's own check fails, and the one of docs/image.md finds life, as long as there is any."""
    pages = [yaml.safe_load(block) for block in blocks("yaml")]
    kind, *check = next(page for page in pages if "healthcheck" in page)["healthcheck"]["test"]
    assert kind == "CMD"
    web = tmp_path / "web.yaml"
    key_and_chain = trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.bytes().decode()
    web.write_text(yaml.safe_dump({"tls_server_config": {"cert": key_and_chain, "key": key_and_chain}}))
    options = [*LOCKED_DOWN, f"--volume={web}:/etc/cognito-auth-exporter/web.yaml:ro"]
    arguments = ["demo", "--web.config.file=/etc/cognito-auth-exporter/web.yaml"]
    with engine.container(image, *arguments, options=options) as container:
        eventually(lambda: "scheme=https" in container.log, "the start")
        assert container.check_health()[0] == 1
        assert container.status_of(*check) == 0
        container.signal("STOP")
        assert container.status_of(*check) != 0


def test_missing_configuration(engine: Engine, image: str) -> None:
    """Started without a configuration it ends with 2, and says in one line which file it looked for."""
    status, printed = engine.to_the_end(image, options=LOCKED_DOWN)
    assert (status, printed.count("\n")) == (2, 1)
    assert printed.startswith("/etc/cognito-auth-exporter/config.yaml: ")


@pytest.fixture
def volume(engine: Engine, image: str) -> Iterator[str]:
    """Return the name of a volume that is new, and gone after the test."""
    del image  # its store is there by then
    name = engine.run("podman", "volume", "create").stdout.strip()
    yield name
    engine.run("podman", "volume", "rm", "--force", name)


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    """Return a user pool on this machine's loopback."""
    made = Town(tmp_path)
    yield made
    made.simulator.close()


def test_state_outlives_the_container(engine: Engine, image: str, volume: str, town: Town) -> None:
    """What one container has counted, the next one on the same volume shows, though Cognito no longer answers."""
    town.settle("alice")
    town.happen("alice", 3)
    town.configure(more="state: {path: /data/cognito-auth-exporter.db}\n")
    address = f"127.0.0.1:{free_port()}"
    options = [
        *(*LOCKED_DOWN, NO_FOLDERS_IN_MEMORY, "--network=host", f"--volume={volume}:/data"),
        f"--volume={town.config}:/etc/cognito-auth-exporter/config.yaml:ro",
        *(f"--env={name}={value}" for name, value in ISOLATED.items()),
    ]
    arguments = ["--config.file=/etc/cognito-auth-exporter/config.yaml", f"--web.listen-address={address}"]

    def counted() -> list[str]:
        return COUNTED.findall(httpx.get(f"http://{address}/metrics", timeout=5).text)

    with engine.container(image, *arguments, options=options) as first:
        eventually(lambda: counted() == ["3.0"], "three sign-ins")
        assert first.end(5) == 0
    town.simulator.close()
    with engine.container(image, *arguments, options=options):
        eventually(lambda: counted() == ["3.0"], "the sign-ins of the first container")
