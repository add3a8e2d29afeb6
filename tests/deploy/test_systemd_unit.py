"""The units of systemd: systemd itself judges them, and a traced run stays within what they leave of the system."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import httpx
import pytest
import trustme

from exporter.cli import WRONG_CALL
from exporter.configuration.load import load
from exporter.configuration.models import Polling
from exporter.flags import DEFAULT_LISTEN, exporter_parser
from tests.conftest import Process, eventually, free_port, need
from tests.e2e.conftest import Town

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "deploy" / "systemd"
SERVICE = UNITS / "cognito-auth-exporter.service"
SOCKET = UNITS / "cognito-auth-exporter.socket"
DROP_IN = UNITS / "cognito-auth-exporter.service.d" / "10-socket.conf"
PAGE = (ROOT / "docs" / "systemd.md").read_text()
PROGRAM = "/opt/cognito-auth-exporter/bin/cognito-auth-exporter"
EXPOSURE = 1.1
"""What `systemd-analyze security` of systemd 252 says, of 0 to 10."""


def values(unit: Path, name: str) -> list[str]:
    """Return all values that a unit gives a setting, in order."""
    return re.findall(rf"^{name}=(.*)$", unit.read_text(), re.MULTILINE)


def analyze(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run `systemd-analyze` to its end."""
    program = need("systemd-analyze", "apt-get install systemd")
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **env}
    )


# -- what systemd says of them -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_socket", [False, True])
def test_systemd_understands_the_units(with_socket: bool, tmp_path: Path) -> None:
    """The manager has nothing to say against the service, alone and with socket and drop-in: no unknown setting, no bad value."""
    shutil.copytree(UNITS, tmp_path / "units")
    if not with_socket:
        shutil.rmtree(tmp_path / "units" / DROP_IN.parent.name)
    for unit in (tmp_path / "units").rglob("*.*"):
        if unit.is_file():
            unit.write_text(unit.read_text().replace(PROGRAM, "/bin/true"))  # the program is not installed here
    names = [str(tmp_path / "units" / unit.name) for unit in ([SERVICE, SOCKET] if with_socket else [SERVICE])]
    verified = analyze("verify", "--man=no", *names, SYSTEMD_UNIT_PATH=f"{tmp_path / 'units'}:")
    assert (verified.returncode, verified.stderr) == (0, "")


def test_the_service_is_little_exposed() -> None:
    """The manager's own judgement of the service is the one that the documentation tells, and no worse."""
    judged = analyze("security", "--offline=true", f"--threshold={EXPOSURE * 10:.0f}", "--no-pager", str(SERVICE))
    assert judged.returncode == 0, judged.stdout
    assert f"judges the unit at {EXPOSURE}" in PAGE


# -- what they say of each other ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [SERVICE, DROP_IN])
def test_the_exporter_takes_the_flags(unit: Path) -> None:
    """What the units call is the exporter with flags that it has, and with the configuration where the page puts it."""
    program, *flags = shlex.split(values(unit, "ExecStart")[-1])
    options = exporter_parser().parse_args(flags)
    assert program == PROGRAM
    assert str(options.config_file) == "/etc/cognito-auth-exporter/config.yaml"
    assert options.systemd_socket is (unit is DROP_IN)
    assert program in PAGE
    assert str(options.config_file) in PAGE


def test_the_pages_state_is_in_the_services_folder(tmp_path: Path) -> None:
    """The configuration on the page is good, and its state is in the folder that the service can write."""
    (tmp_path / "config.yaml").write_text(re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0])
    (folder,) = values(SERVICE, "StateDirectory")
    assert Path(load(tmp_path / "config.yaml").state.path).parent == Path("/var/lib", folder)


def test_times_and_statuses_are_the_exporters() -> None:
    """Restart, stop and port go by what the exporter does: its status for a bad configuration, its patience, its port."""
    assert values(SERVICE, "RestartPreventExitStatus") == [str(WRONG_CALL)]
    assert int(values(SERVICE, "TimeoutStopSec")[0].removesuffix("s")) > Polling().request_timeout + 2
    assert values(SOCKET, "ListenStream") == [DEFAULT_LISTEN.removeprefix(":")]


# -- what a run does ---------------------------------------------------------------------------------------------------


def allowed_calls() -> set[str]:
    """Return the system calls that the unit's filter lets through, as systemd itself spells out its groups."""
    allowed: set[str] = set()
    for line in values(SERVICE, "SystemCallFilter"):
        named = {call for group in line.removeprefix("~").split() for call in calls_of(group)}
        allowed = allowed - named if line.startswith("~") else allowed | named
    return allowed


def calls_of(group: str) -> set[str]:
    """Return the system calls of a group, those of the groups in it included."""
    words = analyze("syscall-filter", group).stdout.splitlines()[1:]
    members = [word.strip() for word in words if word.strip() and not word.strip().startswith("#")]
    return {call for member in members for call in (calls_of(member) if member.startswith("@") else {member})}


SOMEBODY = ["unshare", "--user", "--map-user=65532", "--map-group=65532"] if os.geteuid() == 0 else []
"""What makes somebody of root: SQLite gives root's files to the owner of their folder, and the service is not root."""

SECURED = """
tls_server_config: {cert_file: cert.pem, key_file: key.pem}
basic_auth_users: {prometheus: %s}
"""


PASSING = """
import os, socket
listening = socket.create_server(("127.0.0.1", {port}))
os.dup2(os.dup(listening.detach()), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv({exporter[0]!r}, {exporter!r})
"""


class Traced(Process):
    """The exporter under strace as the units run it, over TLS and on a socket that it is given; `calls` is what it did."""

    def __init__(self, config: Path, folder: Path) -> None:
        self.port = free_port()
        self._trace = folder / "trace"
        strace = need("strace", "apt-get install strace")
        exporter = [sys.executable, "-m", "exporter", f"--config.file={config}", "--web.systemd-socket"]
        exporter.append(f"--web.config.file={folder / 'web-config.yaml'}")
        run = PASSING.format(port=self.port, exporter=exporter)
        follow = [strace, "-f", "-qq", f"--output={self._trace}"]
        super().__init__([*follow, *SOMEBODY, sys.executable, "-c", run], folder)

    @property
    def calls(self) -> list[str]:
        """Return the system calls with their arguments, from the exporter's own start on."""
        lines = self._trace.read_text(errors="replace").splitlines()
        began = max(at for at, line in enumerate(lines) if " execve(" in line and line.endswith(" = 0"))
        return [re.sub(r"^\d+ +", "", line) for line in lines[began + 1 :] if re.match(r"\d+ +\w+\(", line)]

    @property
    def exporter_id(self) -> int:
        """Return the id of the exporter's process."""
        children = Path(f"/proc/{self.popen.pid}/task/{self.popen.pid}/children").read_text().split()
        return int(children[0])


@pytest.fixture
def traced(tmp_path: Path) -> Iterator[tuple[Town, Traced]]:
    """Return an exporter under strace, and the town that it polls."""
    town = Town(tmp_path)
    town.settle("ada", "grace")
    town.configure()
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    (tmp_path / "web-config.yaml").write_text(SECURED % bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode())
    process = Traced(town.config, tmp_path)
    yield town, process
    process.close()
    town.simulator.close()


def scrape(port: int) -> httpx.Response:
    """Scrape over TLS, with the password."""
    return httpx.get(f"https://127.0.0.1:{port}/metrics", auth=("prometheus", "secret"), verify=False, timeout=30)


def test_a_run_stays_within_the_filters(traced: tuple[Town, Traced]) -> None:
    """From start to end, with polls, commits, TLS, a password and a reload, no call is made that the units forbid."""
    town, exporter = traced
    town.happen("ada", 3)
    eventually(lambda: 'response="Pass"' in scrape(exporter.port).text, "the events")
    town.configure(more="event_log: {path: events.jsonl}")
    os.kill(exporter.exporter_id, signal.SIGHUP)
    eventually(lambda: "config_last_reload_successful 1" in scrape(exporter.port).text, "the reload")
    town.happen("grace")
    eventually((town.config.parent / "events.jsonl").read_text, "the event log")
    os.kill(exporter.exporter_id, signal.SIGTERM)
    assert exporter.popen.wait(30) == 0, exporter.output
    calls = exporter.calls
    assert {"fdatasync", "accept4", "sendto"} <= {name_of(call) for call in calls}  # it has been at work
    assert sorted({name_of(call) for call in calls} - allowed_calls()) == []
    # MemoryDenyWriteExecute=, RestrictAddressFamilies=
    assert [call for call in calls if name_of(call) == "mmap" and {"PROT_WRITE", "PROT_EXEC"} <= words_of(call)] == []
    assert [call for call in calls if name_of(call) == "mprotect" and "PROT_EXEC" in words_of(call)] == []
    families = {match[1] for call in calls if (match := re.match(r"socket\((\w+)", call))}
    assert families <= set(values(SERVICE, "RestrictAddressFamilies")[0].split())


def name_of(call: str) -> str:
    """Return a system call's name."""
    return call.partition("(")[0]


def words_of(call: str) -> set[str]:
    """Return the words in a call's arguments."""
    return set(re.findall(r"\w+", call))


def test_the_page_has_the_files() -> None:
    """The page copies the units that there are, and drop-ins on it are whole: a new ExecStart comes after an empty one."""
    for name in re.findall(r"deploy/systemd/([\w./-]+)", PAGE):
        assert (UNITS / name).exists(), name
    for block in re.findall(r"```ini\n(.*?)```", PAGE, re.DOTALL):
        if "ExecStart=" in block:
            assert "ExecStart=\nExecStart=/" in block
