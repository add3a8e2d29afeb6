"""The HTTP server, its log, and the command."""

import signal
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from exporter.simulator.faults import Faults, Kind
from exporter.simulator.operations import Call
from exporter.simulator.request_log import RequestLog
from exporter.simulator.server import Simulator
from exporter.simulator.traffic import POOL_ID
from exporter.simulator.world import ScriptedWorld, auth_event
from tests.conftest import Process, eventually
from tests.simulator.conftest import NOON, POOL, Serve

TARGET = "AWSCognitoIdentityProviderService."
EVENTS = {"UserPoolId": POOL, "Username": "alice"}


def post(url: str, operation: str, parameters: object, **more: str) -> httpx.Response:
    """Call an operation without boto3."""
    return httpx.post(url, json=parameters, headers={"X-Amz-Target": TARGET + operation, **more}, timeout=10)


def test_errors_are_written_as_the_service_writes_them(world: ScriptedWorld, serve: Serve) -> None:
    """An error is a JSON object with `__type` and `message`, its code a header too, in JSON 1.1."""
    answer = post(serve(world).url, "AdminListUserAuthEvents", {"UserPoolId": POOL, "Username": "bob"})
    assert answer.status_code == 400
    assert answer.json() == {"__type": "UserNotFoundException", "message": "User does not exist."}
    assert answer.headers["x-amzn-ErrorType"] == "UserNotFoundException:"
    assert answer.headers["Content-Type"] == "application/x-amz-json-1.1"
    assert answer.headers["x-amzn-RequestId"]


@pytest.mark.parametrize(
    ("target", "body", "code"),
    [
        (TARGET + "ListUsers", b"{", "SerializationException"),
        (TARGET + "ListUsers", b"[]", "SerializationException"),
        (TARGET + "ListUsers", b"\xff", "SerializationException"),
        (TARGET + "ListUsers", b"{}", "InvalidParameterException"),
        (TARGET + "ListUsers", b'{"UserPoolId": 5}', "InvalidParameterException"),
        (TARGET + "ListGroups", b"{}", "UnknownOperationException"),
        ("Other.ListUsers", b"{}", "UnknownOperationException"),
    ],
)
def test_odd_requests_get_errors(world: ScriptedWorld, serve: Serve, target: str, body: bytes, code: str) -> None:
    """A request that cannot be read is refused with the service's own kind of error."""
    answer = httpx.post(serve(world).url, content=body, headers={"X-Amz-Target": target})
    assert (answer.status_code, answer.json()["__type"]) == (400, code)


def test_a_body_has_a_bound(world: ScriptedWorld, serve: Serve) -> None:
    """A body longer than a mebibyte is refused before it is read."""
    url = httpx.URL(serve(world).url)
    with socket.create_connection((url.host, url.port or 0), timeout=10) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_connections_are_kept(world: ScriptedWorld, serve: Serve) -> None:
    """Many requests go over one connection."""
    simulator = serve(world)
    with httpx.Client() as client:
        for _ in range(20):
            client.post(simulator.url, json=EVENTS, headers={"X-Amz-Target": TARGET + "AdminListUserAuthEvents"})
        assert len(simulator._server._connections) == 1


def test_many_at_once(world: ScriptedWorld, serve: Serve) -> None:
    """Requests that come together are all answered and all counted."""
    world.add_event(POOL, "alice", auth_event(NOON))
    simulator = serve(world)
    headers = {"X-Amz-Target": TARGET + "AdminListUserAuthEvents"}
    with ThreadPoolExecutor(32) as pool, httpx.Client(base_url=simulator.url, headers=headers) as client:
        answers = list(pool.map(lambda _: client.post("/", json=EVENTS), range(200)))
    assert {len(answer.json()["AuthEvents"]) for answer in answers} == {1}
    assert simulator.requests.counts == {"AdminListUserAuthEvents": 200}


def test_requests_are_logged(world: ScriptedWorld, serve: Serve) -> None:
    """The log tells operation, pool and user of each request, struck ones included, in the order in which they came."""
    simulator = serve(world)
    simulator.faults.inject(Kind.THROTTLE, requests=1)
    post(simulator.url, "AdminListUserAuthEvents", EVENTS)
    post(simulator.url, "DescribeUserPool", {"UserPoolId": POOL})
    newest = simulator.requests.newest
    assert [(one.operation, one.pool_id, one.username) for one in newest] == [
        ("AdminListUserAuthEvents", POOL, "alice"),
        ("DescribeUserPool", POOL, None),
    ]
    assert newest[0].instant < newest[1].instant


def test_the_log_finds_the_busiest_window() -> None:
    """The greatest number within any window counts both its ends; the log is bounded, the counts are not."""
    log = RequestLog(kept=5)
    for instant in (0.0, 10.0, 10.5, 11.0, 12.0, 12.1):
        log.note(Call("ListUsers", {}), instant)
    assert [log.most_within(seconds) for seconds in (0.0, 1.0, 2.0, 100.0)] == [1, 3, 4, 5]
    assert log.counts["ListUsers"] == 6
    assert RequestLog().most_within(1.0) == 0


def test_the_clock_is_the_callers(world: ScriptedWorld, serve: Serve) -> None:
    """What is visible goes by the clock that the simulator was given."""
    now = [NOON]
    world.add_event(POOL, "alice", auth_event(NOON), visible_at=NOON + 30)
    simulator = serve(world, clock=lambda: now[0])
    seen = []
    for now[0] in (NOON, NOON + 30):
        seen.append(len(post(simulator.url, "AdminListUserAuthEvents", EVENTS).json()["AuthEvents"]))
    assert seen == [0, 1]


def test_closing_ends_everything(world: ScriptedWorld) -> None:
    """After `close`, hanging, slow and idle connections are over, no thread is left, and the port is free again."""
    before = set(threading.enumerate())
    faults = Faults()
    simulator = Simulator(world, faults=faults)
    port = httpx.URL(simulator.url).port or 0
    faults.inject(Kind.HANG, requests=1)
    with ThreadPoolExecutor(1) as pool, socket.create_connection(("127.0.0.1", port)):
        hanging = pool.submit(post, simulator.url, "AdminListUserAuthEvents", EVENTS)
        eventually(lambda: simulator.requests.counts.total() == 1, "the hanging request")
        simulator.close()
        simulator.close()
        with pytest.raises(httpx.TransportError):
            hanging.result()
    assert set(threading.enumerate()) == before
    with Simulator(world, port=port) as again:
        assert again.url.endswith(f":{port}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_it_is_ended(tmp_path: Path, number: signal.Signals) -> None:
    """`python -m exporter.simulator` says where it listens, answers, and ends with 0 on a signal."""
    process = Process([sys.executable, "-m", "exporter.simulator", "--port", "0", "--users", "3"], tmp_path)
    try:
        eventually(lambda: process.output.endswith("\n"), "the address")
        said, _, url = process.output.strip().rpartition(" ")
        assert said == "listening on"
        answer = post(url, "ListUsers", {"UserPoolId": POOL_ID})
        assert [user["Username"] for user in answer.json()["Users"]] == ["alice", "bob", "carol"]
        assert process.end(number) == 0
        assert process.output.count("\n") == 1
    finally:
        process.close()


def test_the_command_takes_faults_and_pools(tmp_path: Path) -> None:
    """Every fault is a flag, and pools can be named."""
    flags = ["--throttle", "1", "--user-pool-id", "eu-west-1_A", "--user-pool-id", "eu-west-1_B"]
    process = Process([sys.executable, "-m", "exporter.simulator", *flags], tmp_path)
    try:
        eventually(lambda: process.output.endswith("\n"), "the address")
        answer = post(process.output.split()[-1], "DescribeUserPool", {"UserPoolId": "eu-west-1_B"})
        assert answer.json()["__type"] == "TooManyRequestsException"
    finally:
        process.close()


def test_the_command_tells_of_a_busy_port(tmp_path: Path, world: ScriptedWorld, serve: Serve) -> None:
    """A port that is taken ends the command with 1 and one line."""
    port = httpx.URL(serve(world).url).port
    process = Process([sys.executable, "-m", "exporter.simulator", "--port", str(port)], tmp_path)
    assert process.popen.wait(15) == 1
    assert process.output == f"cannot listen on 127.0.0.1:{port}: Address already in use\n"


def test_a_reset_is_a_reset(world: ScriptedWorld, serve: Serve) -> None:
    """The connection ends with RST, not with the FIN of an orderly close."""
    simulator = serve(world)
    simulator.faults.inject(Kind.RESET)
    url = httpx.URL(simulator.url)
    head = f"POST / HTTP/1.1\r\nX-Amz-Target: {TARGET}ListUsers\r\nContent-Length: 2\r\n\r\n"
    with socket.create_connection((url.host, url.port or 0), timeout=10) as connection:
        connection.sendall(head.encode() + b"{}")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
