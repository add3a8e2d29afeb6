"""`check --live`: a real process against the simulator, which tells what it was asked."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from exporter.simulator.faults import Kind
from tests.conftest import Process, eventually, free_port
from tests.e2e.conftest import POOL, Town

ROOT = Path(__file__).parents[2]
CONFIG = """
user_pools:
  - id: {pool}
    name: scripted
    endpoint_url: {url}
    {more}users: {{{users}}}
polling: {{requests_per_second: {rate}, {polling}}}
"""

GOOD_BUDGET = (
    "4 users at 20 requests/s: everybody can be polled every 15 s (min_interval); max_staleness (15 min) is held"
)


def configure(town: Town, users: str, *, more: str = "", rate: int = 200, polling: str = "request_timeout: 1s") -> None:
    """Write a configuration of one pool."""
    given = {"pool": POOL, "url": town.simulator.url, "users": users, "more": more, "rate": rate, "polling": polling}
    town.config.write_text(CONFIG.format(**given))


def check(town: Town, **env: str) -> tuple[int, list[str]]:
    """Run the check to its end, and return its exit status and what it says, white space aside; it never calls what bills."""
    call = [sys.executable, "-m", "exporter", "check", "--live"]
    done = subprocess.run(
        call, cwd=town.config.parent, env={**os.environ, **env}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    allowed = {"AdminListUserAuthEvents", "ListUsers", "ListUsersInGroup", "DescribeUserPool"}
    assert set(town.simulator.requests.counts) <= allowed
    return done.returncode, [" ".join(line.split()) for line in done.stdout.splitlines()]


def test_all_is_good(town: Town) -> None:
    """Where all is well each finding says so, the last line is `good`, the exit status 0."""
    town.settle("ada", "grace", "svc-a")
    town.world.add_user(POOL, "root", groups=["admins"])
    (town.config.parent / "names.txt").write_text("# people\n\ngrace\n")
    users = "groups: [admins], filters: ['username ^= \"svc-\"'], usernames: [ada], files: [names.txt], all: true"
    configure(town, users, rate=20)
    status, lines = check(town)
    assert lines == [
        f"user_pools[0]: scripted ({POOL})",
        "skipped credentials not asked: the pool's endpoint is not AWS's, and STS has none",
        "good DescribeUserPool allowed",
        "good user pool exists",
        "good threat protection ENFORCED",
        "good ListUsersInGroup allowed",
        "good users.groups[0] 1 user",
        "good ListUsers allowed",
        "good users.filters[0] 1 user",
        "good users.all 4 users",
        "good AdminListUserAuthEvents allowed",
        "good users.usernames 1 name: 1 found",
        "good users.files[0] 1 name: 1 found",
        "budgets",
        f"good default/eu-west-1 {GOOD_BUDGET}",
        "good",
    ]
    assert status == 0


def test_absent_users_and_groups(town: Town) -> None:
    """A user or group that does not exist is a mistake, told by its place; an empty group or filter is only a warning."""
    town.settle("ada")
    town.world.add_group(POOL, "empty")
    (town.config.parent / "names.txt").write_text("# people\nada\nghost-two\n")
    users = "groups: [empty, absent], filters: ['username = \"x\"'], usernames: [ada, ghost-one], files: [names.txt]"
    configure(town, users)
    status, lines = check(town)
    for line in (
        "warning users.groups[0] exists and has no members: it matches nobody",
        "mistake users.groups[1] no such group",
        "warning users.filters[0] matches nobody",
        "mistake users.usernames[1] no such user",
        "good users.usernames 2 names: 1 found, 1 not found",
        "mistake users.files[0] names.txt:3: no such user",
    ):
        assert line in lines
    assert (status, lines[-1]) == (1, "3 mistakes")
    assert "ghost" not in "\n".join(lines)


def test_disabled_users_are_left_out(town: Town) -> None:
    """Who is disabled is not polled, and not counted: a group of nobody else is a warning."""
    for name, enabled in (("ada", True), ("gone", False)):
        town.world.add_user(POOL, name, groups=["staff"], enabled=enabled)
    town.world.add_user(POOL, "left", groups=["former"], enabled=False)
    configure(town, "groups: [staff, former], filters: ['status = \"Disabled\"']")
    status, lines = check(town)
    assert "good users.groups[0] 1 user; 1 more are disabled, and left out" in lines
    assert "warning users.groups[1] matches nobody; 1 more are disabled, and left out" in lines
    assert "good users.filters[0] 2 users" in lines
    assert status == 0


def test_only_warnings(town: Town) -> None:
    """A selector that matches nobody, and a budget that is too small, leave the check good."""
    for number in range(120):
        town.settle(f"user-{number}")
    configure(town, "all: true, filters: ['username = \"x\"']", polling="max_staleness: 1m, min_interval: 1s", rate=1)
    status, lines = check(town)
    assert (
        "warning default/eu-west-1 about 120 users at 1 requests/s are polled every 2 min; for 1 min you need 2 requests/s"
        in lines
    )
    assert (status, lines[-1]) == (0, "good")


@pytest.mark.parametrize(
    ("operation", "users", "says", "status"),
    [
        ("AdminListUserAuthEvents", "usernames: [ada]", "skipped users.usernames 1 name: 1 not looked up", 1),
        ("AdminListUserAuthEvents", "all: true", "good users.all 1 user", 1),
        ("ListUsers", "all: true", "skipped users.all ListUsers is denied", 1),
        ("ListUsersInGroup", "groups: [a, b]", "skipped users.groups[1] ListUsersInGroup is denied", 1),
        ("DescribeUserPool", "usernames: [ada]", "good threat protection on: auth events can be read", 0),
    ],
)
def test_denied_action(operation: str, users: str, says: str, status: int, town: Town) -> None:
    """A denied action is told with the statement that allows it; DescribeUserPool is one to do without."""
    town.settle("ada")
    town.faults.inject("AccessDeniedException", operation=operation)
    configure(town, users)
    ended, lines = check(town)
    assert ended == status
    assert says in lines
    denied = [line for line in lines if line.startswith(f"{'mistake' if status else 'note'} {operation} denied")]
    assert len(denied) == 1
    made = json.loads(re.search(r"\{.*\}", " ".join(lines))[0])  # type: ignore[index]
    assert made["Action"] == [f"cognito-idp:{operation}"]
    assert made["Resource"] == f"arn:aws:cognito-idp:eu-west-1:111122223333:userpool/{POOL}"
    assert any("put the pool's account in the place of 111122223333" in line for line in lines)


class _Sts(BaseHTTPRequestHandler):
    """Tells everybody that they are one and the same role, or that their token has expired."""

    status, body = (
        200,
        (
            "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>444455556666</Account>"
            "<Arn>arn:aws:sts::444455556666:assumed-role/reader/cognito-auth-exporter</Arn><UserId>A</UserId>"
            "</GetCallerIdentityResult></GetCallerIdentityResponse>"
        ),
    )

    def do_POST(self) -> None:
        """Answer, whatever is asked."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body.encode())

    def log_message(self, *_: object) -> None:
        """Keep standard error clean."""


class _ExpiredSts(_Sts):
    status, body = (
        403,
        "<ErrorResponse><Error><Code>ExpiredToken</Code><Message>It is over.</Message></Error></ErrorResponse>",
    )


@pytest.fixture
def sts(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return the address of an STS."""
    with ThreadingHTTPServer(("127.0.0.1", 0), request.param) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("sts", [_Sts], indirect=True)
def test_caller_is_told(sts: str, town: Town) -> None:
    """Who asks is told; the statement is for that account, and pools that it pays for share a budget."""
    town.settle("ada", "grace")
    town.world.add_pool("eu-west-1_Other")
    town.world.add_user("eu-west-1_Other", "edsger")
    town.faults.inject("AccessDeniedException", operation="ListUsers", pool_id="eu-west-1_Other")
    configure(town, "all: true", rate=20)
    other = (
        f"  - {{id: eu-west-1_Other, endpoint_url: '{town.simulator.url}', users: {{usernames: [edsger], all: true}}}}"
    )
    town.config.write_text(town.config.read_text().replace("\npolling:", f"\n{other}\npolling:"))
    status, lines = check(town, AWS_ENDPOINT_URL_STS=sts)
    arn = "arn:aws:sts::444455556666:assumed-role/reader/cognito-auth-exporter"
    assert lines.count(f"good credentials {arn} of account 444455556666") == 2
    assert "note to be allowed add to the policy of arn:aws:iam::444455556666:role/reader:" in lines
    assert '"Resource": "arn:aws:cognito-idp:eu-west-1:444455556666:userpool/eu-west-1_Other"' in lines
    assert any(line.startswith("note 444455556666/eu-west-1 at least 3 users at 20 requests/s") for line in lines)
    assert status == 1


@pytest.mark.parametrize("sts", [_ExpiredSts], indirect=True)
def test_expired_credentials(sts: str, town: Town) -> None:
    """Credentials that STS refuses are one mistake, and Cognito is not asked."""
    configure(town, "usernames: [ada]")
    status, lines = check(town, AWS_ENDPOINT_URL_STS=sts)
    assert any(
        line.startswith("mistake credentials user_pools[0].credentials: GetCallerIdentity: Exp") for line in lines
    )
    assert (status, lines[-1]) == (1, "1 mistake")
    assert not town.simulator.requests.counts


def test_sts_out_of_reach(town: Town) -> None:
    """An STS that does not answer is a warning: with access keys the exporter does not need it."""
    town.settle("ada")
    configure(town, "usernames: [ada]")
    status, lines = check(town, AWS_ENDPOINT_URL_STS=f"http://127.0.0.1:{free_port()}")
    assert any(line.startswith("warning credentials STS does not say whose they are") for line in lines)
    assert (status, lines[-1]) == (0, "good")


@pytest.mark.parametrize("may_describe", [True, False])
@pytest.mark.parametrize("users", ["usernames: [ada]", "usernames: [nobody]", "all: true"])
def test_threat_protection_off(users: str, may_describe: bool, town: Town) -> None:
    """Threat protection that is off is one mistake, told by whatever may be asked; the actions are told nevertheless."""
    town.settle("ada")
    town.world.set_threat_protection(POOL, "OFF")
    if not may_describe:
        town.faults.inject("AccessDeniedException", operation="DescribeUserPool")
    configure(town, users)
    status, lines = check(town)
    assert len([line for line in lines if line.startswith("mistake threat protection OFF")]) == 1
    assert "good AdminListUserAuthEvents allowed" in lines
    assert (status, lines[-1]) == (1, "1 mistake")


@pytest.mark.parametrize("users", ["usernames: [ada]", "all: true"])
def test_events_that_are_refused_though_protection_is_on(users: str, town: Town) -> None:
    """A pool that calls itself protected and gives no events for want of protection is one mistake."""
    town.settle("ada")
    town.faults.inject("UserPoolAddOnNotEnabledException", operation="AdminListUserAuthEvents")
    configure(town, users)
    status, lines = check(town)
    assert "good threat protection ENFORCED" in lines
    start = "mistake threat protection not in effect, whatever the pool says of itself: AdminListUserAuthEvents: User"
    assert any(line.startswith(start) for line in lines)
    assert (status, lines[-1]) == (1, "1 mistake")


def test_absent_and_faulty_names_are_told_apart(town: Town) -> None:
    """Who does not exist is none of the users to be polled; who cannot be looked up may well be one."""
    town.settle("ada")
    town.faults.inject(Kind.SERVER_ERROR, username="ada")
    configure(town, "usernames: [ada, ghost]")
    _, lines = check(town)
    assert "note users.usernames 2 names: 1 not found, 1 could not be looked up" in lines
    assert any("eu-west-1 1 user at" in line for line in lines)


def test_a_look_up_that_hangs_names_the_credentials(town: Town, tmp_path: Path) -> None:
    """STS that gives no keys for a web identity is a mistake of the credentials, not of the pool's endpoint."""
    (tmp_path / "token").write_text("a-token-of-the-cluster")
    configure(town, "usernames: [ada]")
    identity = {"AWS_ROLE_ARN": "arn:aws:iam::1:role/r", "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token")}
    sts = f"http://127.0.0.1:{free_port()}"
    keys = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    status, lines = check(town, AWS_ENDPOINT_URL_STS=sts, **identity, **keys)
    start = "mistake credentials user_pools[0].credentials: AssumeRoleWithWebIdentity: no connection"
    assert any(line.startswith(start) for line in lines)
    assert (status, lines[-1]) == (1, "1 mistake")


def test_nobody_to_ask_for(town: Town) -> None:
    """Where nobody is named or listed, whether auth events may be read is told all the same."""
    configure(town, "all: true")
    status, lines = check(town)
    assert "good AdminListUserAuthEvents allowed" in lines
    assert "warning default/eu-west-1 nobody is selected" in lines
    assert status == 0


def test_a_pool_in_trouble_stays_alone(town: Town) -> None:
    """A pool that is missing, hangs or cannot be reached is one mistake each; the next pool is checked as ever."""
    town.settle("ada")
    town.faults.inject(Kind.HANG, pool_id="eu-west-1_Hangs")
    pools = [
        f"{{id: eu-west-1_Missing, endpoint_url: '{town.simulator.url}', users: {{all: true}}}}",
        f"{{id: eu-west-1_Hangs, endpoint_url: '{town.simulator.url}', users: {{all: true}}}}",
        f"{{id: eu-west-1_Nowhere, endpoint_url: 'http://127.0.0.1:{free_port()}', users: {{all: true}}}}",
        f"{{id: {POOL}, endpoint_url: '{town.simulator.url}', users: {{usernames: [ada]}}}}",
    ]
    polling = "polling: {requests_per_second: 200, request_timeout: 1s}"
    town.config.write_text(f"user_pools: [{', '.join(pools)}]\n{polling}\n")
    status, lines = check(town)
    starts = [
        "mistake user pool user_pools[0].id: eu-west-1_Missing does not exist in eu-west-1",
        "mistake connection user_pools[1].endpoint_url: DescribeUserPool: no whole answer within the request timeout",
        "mistake connection user_pools[2].endpoint_url: DescribeUserPool: no connection",
    ]
    for start in starts:
        assert any(line.startswith(start) for line in lines)
    assert "good users.usernames 1 name: 1 found" in lines
    assert (status, lines[-1]) == (1, "3 mistakes")


@pytest.mark.parametrize(
    ("credentials", "env", "key"),
    [
        ("credentials: {profile: absent}", {}, "credentials.profile"),
        ("", {"AWS_PROFILE": "absent"}, "credentials"),
        ("", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "credentials"),
    ],
)
def test_no_credentials(credentials: str, env: Mapping[str, str], key: str, town: Town) -> None:
    """Credentials that are not there are a mistake of the key that names them, and no request is made."""
    configure(town, "usernames: [ada]", more=f"{credentials}\n    " if credentials else "")
    status, lines = check(town, **env)
    assert any(line.startswith(f"mistake credentials user_pools[0].{key}: ") for line in lines)
    assert (status, lines[-1]) == (1, "1 mistake")
    assert not town.simulator.requests.counts


def test_budget_is_held(town: Town) -> None:
    """All requests of the check stay within the budget: in any second no more than twice that, in three no more than four."""
    names = [f"user-{number}" for number in range(60)]
    town.settle(*names)
    configure(town, f"usernames: [{', '.join(names)}]", rate=15)
    status, lines = check(town)
    assert "good users.usernames 60 names: 60 found" in lines
    assert status == 0
    assert town.simulator.requests.most_within(1.0) <= 15 * 2
    assert town.simulator.requests.most_within(3.0) <= 15 * 4


def test_throttling_is_waited_out(town: Town) -> None:
    """Throttled requests are made again, more slowly, and are no mistake."""
    town.settle("ada")
    throttle = town.faults.inject(Kind.THROTTLE, requests=3, operation="AdminListUserAuthEvents")
    configure(town, "usernames: [ada]")
    status, lines = check(town)
    assert (status, throttle.struck) == (0, 3)
    assert "good users.usernames 1 name: 1 found" in lines


def test_throttling_without_end(town: Town) -> None:
    """Throttling that does not end is a mistake, told after a few tries, once."""
    town.settle("ada", "grace")
    throttle = town.faults.inject(Kind.THROTTLE, operation="AdminListUserAuthEvents")
    configure(town, "usernames: [ada, grace]")
    status, lines = check(town)
    assert (status, throttle.struck, lines[-1]) == (1, 5, "1 mistake")


@pytest.mark.parametrize("town", [{"page_size": 1}], indirect=True)
def test_long_selectors_are_followed_so_far(town: Town) -> None:
    """A listing is followed for 100 pages, 100 names are looked up; what was left out is said."""
    names = [f"user-{number}" for number in range(130)]
    town.settle(*names)
    town.faults.inject("AccessDeniedException", operation="DescribeUserPool")
    configure(town, f"all: true, usernames: [{', '.join(names)}]")
    _, lines = check(town)
    assert "good users.all at least 100 users; the listing was not followed further" in lines
    assert "good users.usernames 130 names: 100 found, 30 not looked up" in lines


def test_interrupt_ends_it_at_once(town: Town) -> None:
    """Ctrl-C ends a check that waits for AWS at once, and quietly."""
    hang = town.faults.inject(Kind.HANG)
    configure(town, "usernames: [ada]", polling="request_timeout: 1m")
    process = Process([sys.executable, "-m", "exporter", "check", "--live"], town.config.parent)
    eventually(lambda: hang.struck > 0, "a hanging request")
    began = time.monotonic()
    assert process.end(signal.SIGINT) == -signal.SIGINT
    assert time.monotonic() - began < 2
    assert process.output.splitlines()[0] == f"user_pools[0]: scripted ({POOL})"  # what was found so far was said
    assert "Traceback" not in process.output


def blocks(language: str) -> list[str]:
    """Return the code blocks of docs/checking.md in a language."""
    page = (ROOT / "docs" / "checking.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def test_output_of_the_page(town: Town) -> None:
    """The output that docs/checking.md shows is what its configuration gives."""
    world, customers, staff = town.world, "eu-west-1_Ab129faBb", "eu-west-1_Cd340gcCc"
    for pool in (customers, staff):
        world.add_pool(pool)
    for number in range(12_000):
        world.add_user(customers, f"user-{number}", groups=["administrators"] if number < 3 else [])
    world.add_group(customers, "auditors")
    world.add_user(staff, "alice")
    town.faults.inject("AccessDeniedException", operation="ListUsersInGroup", pool_id=staff)
    config = blocks("yaml")[0].replace("http://127.0.0.1:4566", town.simulator.url)
    town.config.write_text(config)
    (town.config.parent / "break-glass.txt").write_text("# one a line\nalice\nbob\n")
    call = [sys.executable, "-m", "exporter", "check", "--live"]
    done = subprocess.run(call, cwd=town.config.parent, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == blocks("text")[0]
    assert done.returncode == 1
