"""A server on loopback that answers as a test wants, and sources of a pool on it."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from exporter.fetch.cognito import CognitoSource
from exporter.fetch.credentials import Identity
from exporter.fetch.outcome import FetchError, Outcome
from exporter.fetch.source import EventSource

NOW = datetime(2026, 5, 1, tzinfo=UTC)
POOL = "eu-west-1_Ab129faBb"
USERNAME = "alice@example.com"
ROLE = "arn:aws:iam::111122223333:role/auth-events-reader"
EVENT = {"EventId": "e-1", "EventType": "SignIn", "CreationDate": NOW.timestamp() - 60}
GOOD = {"AuthEvents": [EVENT], "NextToken": "e-1#later"}

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers as its server's script says, and notes what it was asked."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((dict(self.headers), body))
        self.server.answer(self)

    def handle(self) -> None:
        self.server.connections += 1
        super().handle()

    def log_message(self, *_: object) -> None:
        pass

    def give(self, status: int, body: bytes, content_type: str = "application/x-amz-json-1.1", **more: str) -> None:
        """Send a whole answer."""
        self.head(status, len(body), content_type, **more)
        self.wfile.write(body)

    def head(self, status: int, length: int, content_type: str = "application/x-amz-json-1.1", **more: str) -> None:
        """Send the head of an answer that says to be so long."""
        self.send_response(status)
        for name, value in {"Content-Type": content_type, "Content-Length": str(length), **more}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()


class Server(ThreadingHTTPServer):
    """A server on loopback. `ended` is set when the test is over, so that no handler outlives it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.connections = 0
        self.ended = threading.Event()
        self.answer: Answer = says(GOOD)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that hang up: these tests are about that."""


def says(body: object, status: int = 200) -> Answer:
    """Return an answer with a JSON body."""
    return lambda handler: handler.give(status, json.dumps(body).encode())


def fails(code: str, status: int = 400, message: str = "") -> Answer:
    """Return an answer with one of AWS's errors."""
    return says({"__type": code, "message": message}, status)


class Observer:
    """Keeps what a source tells of its requests."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Outcome]] = []
        self.seconds: list[float] = []

    def __call__(self, operation: str, outcome: Outcome, seconds: float) -> None:
        self.heard.append((operation, outcome))
        self.seconds.append(seconds)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "*")
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.ended.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def observer() -> Observer:
    return Observer()


NewSource = Callable[..., EventSource]
DEMO = Identity(static=("AKIDSTATIC", "secret"))


@pytest.fixture
def new_source(server: Server, observer: Observer) -> Iterator[NewSource]:
    """Make sources of the pool on the server; they are closed when the test is over."""
    made: list[EventSource] = []

    def new(identity: Identity = DEMO, **more: Any) -> EventSource:
        settings: dict[str, Any] = {"endpoint_url": server.url, "request_timeout": 5.0, **more}
        made.append(
            CognitoSource(
                POOL,
                region="eu-west-1",
                identity=identity,
                on_request=observer,
                clock=NOW.timestamp,
                **settings,
            )
        )
        return made[-1]

    yield new
    for source in made:
        source.close()


def failure(call: Callable[[], object]) -> FetchError:
    """Return the FetchError that a call raises."""
    with pytest.raises(FetchError) as caught:
        call()
    return caught.value


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Take all credentials away; return the path of the configuration file, which does not exist yet."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "config"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return path


def hang(handler: Handler) -> None:
    handler.server.ended.wait()
    handler.close_connection = True


class Sts:
    """Answers AssumeRole, and passes everything else on."""

    def __init__(self, server: Server) -> None:
        self.asked: list[str] = []
        self.lifetime = timedelta(hours=1)
        self.refusal: tuple[int, str] | None = None
        self.hangs = False
        self.signer: str | None = "testing"
        self.cognito = server.answer
        self._server = server

    def __call__(self, handler: Handler) -> None:
        headers, body = self._server.requests[-1]
        if b"Action=AssumeRole" not in body:
            self.cognito(handler)
            return
        self._server.requests.pop()
        self.asked.append(body.decode())
        assert self.signer is None or f"Credential={self.signer}/" in headers["Authorization"]
        if self.hangs:
            hang(handler)
        elif self.refusal is not None:
            status, code = self.refusal
            error = f"<Error><Code>{code}</Code><Message>{ROLE} may not</Message></Error>"
            handler.give(status, f"<ErrorResponse>{error}</ErrorResponse>".encode(), "text/xml")
        else:
            handler.give(200, self._keys().encode(), "text/xml")

    def _keys(self) -> str:
        expiration = (datetime.now(UTC) + self.lifetime).strftime("%Y-%m-%dT%H:%M:%SZ")
        return (
            "<AssumeRoleResponse><AssumeRoleResult><Credentials>"
            f"<AccessKeyId>ASIAROLE{len(self.asked)}</AccessKeyId><SecretAccessKey>role-secret</SecretAccessKey>"
            f"<SessionToken>role-token</SessionToken><Expiration>{expiration}</Expiration>"
            "</Credentials></AssumeRoleResult></AssumeRoleResponse>"
        )


@pytest.fixture
def sts(server: Server, monkeypatch: pytest.MonkeyPatch) -> Sts:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
    server.answer = sts = Sts(server)
    return sts
