"""Pools in several accounts: a real process, the STS of moto, and a simulator for Cognito."""

import re
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from exporter.simulator.server import Simulator
from exporter.simulator.world import ScriptedWorld, auth_event
from tests.conftest import ExporterProcess, Start, eventually

EVENTS = "cognito_auth_events_total"
BUDGET = "cognito_auth_exporter_request_budget_per_second"
OWN = "123456789012/eu-west-1"  # moto's own account, whose keys are all that it has not given away itself
ONE, TWO = "111122223333", "222233334444"
KEYS = "aws_access_key_id = {name}\naws_secret_access_key = secret\n"


class Realm:
    """Pools `a`, `b` and so on at one simulator, each with a user of its name, and the AWS configuration to ask for them."""

    def __init__(self, folder: Path, sts: str) -> None:
        self.world = ScriptedWorld()
        self.simulator = Simulator(self.world)
        self.config = folder / "config.yaml"
        self.aws = folder / "aws-config"
        self.env = {"AWS_CONFIG_FILE": str(self.aws), "AWS_ENDPOINT_URL_STS": sts}

    def configure(self, pools: Mapping[str, str], budget: int = 100) -> None:
        """Write the configuration of these pools, given their credentials."""
        lines = [
            f"  - {{id: eu-west-1_{name}, name: {name}, endpoint_url: '{self.simulator.url}', "
            f"credentials: {{{credentials}}}, users: {{usernames: [{name}]}}}}"
            for name, credentials in pools.items()
        ]
        polling = f"{{requests_per_second: {budget}, min_interval: 1s, max_staleness: 1m, request_timeout: 2s}}"
        rest = ["counting: {start: beginning}", "metrics: {series_hold: 0s}", f"polling: {polling}"]
        self.config.write_text("\n".join(["user_pools:", *lines, *rest, ""]))
        for name in pools:
            self.world.add_pool(f"eu-west-1_{name}")
            self.world.add_user(f"eu-west-1_{name}", name)
            self.happen(name)

    def happen(self, name: str) -> None:
        """Let a pool's user sign in."""
        self.world.add_event(f"eu-west-1_{name}", name, auth_event(time.time()))

    def write_profiles(self, *names: str, more: str = "") -> None:
        """Write the AWS configuration with the keys of these profiles."""
        self.aws.write_text("".join(f"[profile {name}]\n{KEYS.format(name=name)}" for name in names) + more)


@pytest.fixture
def realm(tmp_path: Path, moto_url: str) -> Iterator[Realm]:
    """Return a realm whose simulator ends with the test."""
    made = Realm(tmp_path, moto_url)
    yield made
    made.simulator.close()


def accounts(exporter: ExporterProcess) -> Sequence[str]:
    """Return the accounts of which budgets are spent."""
    return sorted(dict(labels)["account"] for labels in exporter.samples(BUDGET))


def asked(exporter: ExporterProcess, operation: str) -> float:
    """Return how often an operation was asked for, by all pools together."""
    text = exporter.get("/metrics").text
    found = re.findall(rf'api_requests_total{{operation="{operation}",.*}} (\S+)', text)
    return sum(map(float, found))


def total(exporter: ExporterProcess) -> float:
    """Return how many events are counted in all pools."""
    return sum(map(float, re.findall(rf"^{EVENTS}{{.*}} (\S+)", exporter.get("/metrics").text, re.MULTILINE)))


def counted(exporter: ExporterProcess) -> frozenset[str]:
    """Return the pools of which events are counted."""
    text = exporter.get("/metrics").text
    return frozenset(re.findall(rf'{EVENTS}{{.*user_pool="(\w+)"}} [1-9]', text))


def test_roles_in_two_accounts(realm: Realm, start: Start) -> None:
    """Pools behind roles of two accounts are counted, by a budget an account; pools that share a role assume it once."""
    roles = {
        name: f"role_arn: 'arn:aws:iam::{account}:role/reader'"
        for name, account in (("a", ONE), ("b", ONE), ("c", TWO))
    }
    realm.configure({**roles, "d": f"{roles['a']}, external_id: x-7"})
    exporter = start(env=realm.env)
    eventually(lambda: counted(exporter) == {"a", "b", "c", "d"}, "all pools")
    assert accounts(exporter) == [f"{ONE}/eu-west-1", f"{TWO}/eu-west-1"]
    assert asked(exporter, "AssumeRole") == 3
    assert asked(exporter, "GetCallerIdentity") == 0


def test_profiles_of_one_account_spend_one_budget(realm: Realm, start: Start) -> None:
    """Two profiles that turn out to be one account spend its budget together; a reload asks STS no second time."""
    realm.write_profiles("p", "q")
    realm.configure({"a": "profile: p", "b": "profile: q"}, budget=4)
    for name in "ab":
        realm.world.add_user(f"eu-west-1_{name}", "more")
    realm.config.write_text(realm.config.read_text().replace("usernames: [a]", "all: true").replace("[b]", "[b, more]"))
    exporter = start(env=realm.env)
    eventually(lambda: counted(exporter) == {"a", "b"}, "both pools")
    assert accounts(exporter) == [OWN]
    exporter.popen.send_signal(signal.SIGHUP)
    eventually(lambda: "the configuration was reloaded" in exporter.output, "the reload")
    before = sum(realm.simulator.requests.counts.values())
    eventually(lambda: sum(realm.simulator.requests.counts.values()) > before + 12, "some requests")
    assert asked(exporter, "GetCallerIdentity") == 2
    assert accounts(exporter) == [OWN]
    exporter.end()
    for seconds in (1.0, 3.0, 5.0):
        assert realm.simulator.requests.most_within(seconds) <= 4 * (seconds + 1)


class Sts(BaseHTTPRequestHandler):
    """Refuses, or hangs until its server ends."""

    server: "StsServer"

    def do_POST(self) -> None:
        if self.server.hangs:
            self.server.ended.wait()
            return
        body = b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"
        self.send_response(403)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class StsServer(ThreadingHTTPServer):
    """An STS that tells nobody's account."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Sts)
        self.hangs = False
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that hang up."""


@pytest.fixture
def sts() -> Iterator[StsServer]:
    with StsServer() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        yield server
        server.ended.set()
        server.shutdown()


def test_accounts_are_told_apart_where_sts_refuses(realm: Realm, sts: StsServer, start: Start) -> None:
    """Where STS does not tell, each profile has a budget of its own, and its pools are counted all the same."""
    realm.write_profiles("p", "q")
    realm.configure({"a": "profile: p", "b": "profile: q"})
    exporter = start(env={**realm.env, "AWS_ENDPOINT_URL_STS": sts.url})
    eventually(lambda: counted(exporter) == {"a", "b"}, "both pools")
    assert accounts(exporter) == ["p/eu-west-1", "q/eu-west-1"]
    lines = [line for line in exporter.output.splitlines() if "STS does not tell the account" in line]
    assert len(lines) == 2
    assert all("level=info" in line for line in lines)
    assert exporter.get("/-/ready").status_code == 200


@pytest.mark.parametrize("users", ["usernames: [b]", "all: true"])
def test_a_missing_profile_is_alone_and_heals(users: str, realm: Realm, start: Start) -> None:
    """A pool without its profile is `credentials`, names the key, and delays nobody; once written, the profile is taken up."""
    realm.write_profiles("p")
    realm.configure({"a": "profile: p", "b": "profile: q"})
    realm.config.write_text(
        realm.config.read_text()
        .replace("usernames: [b]", users)
        .replace("polling: {", "polling: {discovery_interval: 2s, ")
    )
    exporter = start(env=realm.env)
    eventually(lambda: counted(exporter) == {"a"}, "the good pool")
    shown = re.compile(r'_(?:polls|discoveries)_total{outcome="credentials",user_pool="b"} [1-9]')
    eventually(lambda: shown.search(exporter.get("/metrics").text), "the outcome")
    assert 'cognito_auth_up{user_pool="b"} 0' in exporter.get("/metrics").text
    (line,) = (line for line in exporter.output.splitlines() if "the pool does not answer" in line)
    assert "user_pool=b outcome=credentials path=user_pools[1].credentials.profile" in line
    assert accounts(exporter) == [OWN, "q/eu-west-1"]
    eventually(
        lambda: exporter.get("/-/ready").status_code == 200, "readiness, as one pool in trouble takes nobody along"
    )
    realm.write_profiles("p", "q")
    eventually(lambda: counted(exporter) == {"a", "b"}, "the pool that heals")
    eventually(lambda: accounts(exporter) == [OWN], "one budget for both")
    realm.happen("a")
    realm.happen("b")
    eventually(lambda: total(exporter) == 4, "what happened since")
    assert "Traceback" not in exporter.output


def test_a_role_that_may_not_be_assumed(realm: Realm, sts: StsServer, start: Start) -> None:
    """The log says which key holds the role that is refused."""
    realm.configure({"a": f"role_arn: 'arn:aws:iam::{ONE}:role/reader'"})
    exporter = start(env={**realm.env, "AWS_ENDPOINT_URL_STS": sts.url})
    eventually(lambda: "path=user_pools[0].credentials.role_arn" in exporter.output, "the line")
    assert accounts(exporter) == [f"{ONE}/eu-west-1"]


def test_sts_that_hangs_delays_its_own_pools_alone(realm: Realm, sts: StsServer, start: Start) -> None:
    """While STS hangs for one profile the others count at once, its pools a little later, and the end comes in time."""
    sts.hangs = True
    slow = f"[profile slow]\n{KEYS.format(name='slow')}services = slow\n[services slow]\nsts =\n  endpoint_url = {sts.url}\n"
    moto = realm.env.pop("AWS_ENDPOINT_URL_STS")
    quick = f"[profile quick]\n{KEYS.format(name='quick')}services = moto\n[services moto]\nsts =\n  endpoint_url = {moto}\n"
    realm.aws.write_text(slow + quick)
    realm.configure(
        {"a": "profile: slow", "b": "profile: quick", "c": f"profile: slow, role_arn: 'arn:aws:iam::{ONE}:role/r'"}
    )
    exporter = start(env=realm.env)
    eventually(lambda: counted(exporter) == {"b"}, "the pool whose STS answers")
    eventually(lambda: counted(exporter) == {"a", "b"}, "the pool whose account is not told")
    assert accounts(exporter) == [f"{ONE}/eu-west-1", OWN, "slow/eu-west-1"]
    assert exporter.get("/-/healthy").status_code == 200
    began = time.monotonic()
    assert exporter.end() == 0
    assert time.monotonic() - began < 2 + 2  # request_timeout + 2 s


def test_ends_in_time_while_an_account_is_looked_for(realm: Realm, sts: StsServer, start: Start) -> None:
    """A reload and an end that come while STS hangs do not wait for it."""
    sts.hangs = True
    realm.configure({"a": ""})
    realm.config.write_text(realm.config.read_text().replace("request_timeout: 2s", "request_timeout: 10s"))
    exporter = start(env={**realm.env, "AWS_ENDPOINT_URL_STS": sts.url})
    eventually(lambda: "msg=started" in exporter.output, "the start")
    exporter.popen.send_signal(signal.SIGHUP)
    eventually(lambda: "the configuration was reloaded" in exporter.output, "the reload", seconds=5)
    began = time.monotonic()
    assert exporter.end() == 0
    assert time.monotonic() - began < 5
