"""The guard before every path: headers, a broken file, the limit of requests, passwords."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import httpx
import pytest
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from exporter.web.guard import Guard
from exporter.web.passwords import Passwords
from exporter.web.web_files import WebConfigFiles
from tests.conftest import WAIT

HASH = bcrypt.hashpw(b"wonderland", b"$2b$04$" + b"abcdefghijklmnopqrstuu").decode()
HEADERS = (
    "http_server_config: {headers: {X-Frame-Options: deny, Content-Security-Policy: \"default-src 'self' 'é'\"}}\n"
)
USERS = f"basic_auth_users: {{alice: {HASH}}}\n"
ALICE = httpx.BasicAuth("alice", "wonderland")


class Guarded:
    """A guard with a small application behind it, and what it reads."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "web.yml"
        self.file.write_text("")
        self.now = 0.0
        self.files = WebConfigFiles(self.file, structlog.get_logger(), patience=WAIT)
        self.passwords = Passwords()
        self.guard = Guard(Starlette(routes=[Route("/", _hello)]), self.files, self.passwords, clock=lambda: self.now)

    def ask(self, path: str = "/", method: str = "GET", auth: httpx.Auth | None = None) -> httpx.Response:
        async def asks() -> httpx.Response:
            transport = httpx.ASGITransport(self.guard, raise_app_exceptions=True)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, auth=auth)

        return asyncio.run(asks())


async def _hello(_: Request) -> Response:
    return PlainTextResponse("hello", headers={"X-Frame-Options": "sameorigin", "X-Own": "1"})


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    made = Guarded(tmp_path)
    yield made
    made.files.close()
    made.passwords.close()


def test_an_empty_file_changes_nothing(guarded: Guarded) -> None:
    """Without users, headers or a limit every request comes through as it is."""
    answer = guarded.ask()
    assert (answer.status_code, answer.text, answer.headers["X-Frame-Options"]) == (200, "hello", "sameorigin")


def test_headers_are_on_every_answer(guarded: Guarded) -> None:
    """Configured headers are on all answers, and take the place of the application's own."""
    guarded.file.write_text(HEADERS + USERS + "rate_limit: {interval: 1h, burst: 3}")
    answers = [guarded.ask(auth=ALICE), guarded.ask("/nowhere", auth=ALICE), guarded.ask(), guarded.ask()]
    guarded.file.write_text("broken")
    answers.append(guarded.ask())
    assert [answer.status_code for answer in answers] == [200, 404, 401, 429, 500]
    for answer in answers:
        assert answer.headers.get_list("X-Frame-Options") == ["deny"]
        assert answer.headers.raw.count((b"content-security-policy", "default-src 'self' 'é'".encode())) == 1
    assert answers[0].headers["X-Own"] == "1"


def test_a_broken_file_answers_500(guarded: Guarded) -> None:
    """While the file is broken every request is answered with 500, password or not, and nothing of it is told."""
    guarded.file.write_text(USERS + "secret: 1")
    for auth in (None, ALICE):
        answer = guarded.ask(auth=auth)
        assert (answer.status_code, answer.text) == (500, "Internal Server Error\n")
    guarded.file.write_text(USERS)
    assert guarded.ask(auth=ALICE).status_code == 200


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/nowhere"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "BREW"])
def test_every_path_needs_the_password(path: str, method: str, guarded: Guarded) -> None:
    """With users no path and no method comes through without a password."""
    guarded.file.write_text(USERS)
    for auth in (None, httpx.BasicAuth("alice", "x"), httpx.BasicAuth("bob", "wonderland")):
        answer = guarded.ask(path, method, auth)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="cognito-auth-exporter"'
        assert answer.headers["Content-Length"] == "13"
        assert answer.text == ("" if method == "HEAD" else "Unauthorized\n")
    assert guarded.ask(path, method, ALICE).status_code != 401


def test_users_change_while_it_runs(guarded: Guarded) -> None:
    """A user that is put in or taken out counts for the next request."""
    assert guarded.ask().status_code == 200
    guarded.file.write_text(USERS)
    assert guarded.ask().status_code == 401
    assert guarded.ask(auth=ALICE).status_code == 200
    guarded.file.write_text(USERS.replace("alice", "bob"))
    assert guarded.ask(auth=ALICE).status_code == 401


def test_the_limit_of_requests(guarded: Guarded) -> None:
    """A burst is answered, then one request in each interval; a new limit begins anew; an interval of 0 or less is none."""
    guarded.file.write_text("rate_limit: {interval: 10s, burst: 2}")
    answered = []
    for now in (0, 0, 0, 9, 10, 11, 100, 100, 100):
        guarded.now = now
        answered.append(guarded.ask().status_code == 200)
    assert answered == [True, True, False, False, True, False, True, True, False]
    for text, status in (("interval: 10s, burst: 0", 429), ("interval: 0", 200), ("interval: -1s", 200)):
        guarded.file.write_text(f"rate_limit: {{{text}}}")
        assert guarded.ask().status_code == status


def test_too_many_passwords_at_once(guarded: Guarded) -> None:
    """Where too many passwords are being checked the next is told so at once, and when to come again."""
    guarded.file.write_text(USERS)

    async def crowd() -> list[httpx.Response]:
        transport = httpx.ASGITransport(guarded.guard)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await asyncio.gather(*(client.get("/", auth=("alice", str(number))) for number in range(50)))

    answers = asyncio.run(crowd())
    busy = [answer for answer in answers if answer.status_code == 503]
    assert {answer.status_code for answer in answers} == {401, 503}
    assert {answer.text for answer in busy} == {"Too many passwords are being checked: try again.\n"}
    assert {answer.headers["Retry-After"] for answer in busy} == {"1"}


def test_other_scopes_come_through(guarded: Guarded) -> None:
    """What is no request of HTTP is the application's own business."""
    seen = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    async def nothing() -> Message:
        return {}

    async def nowhere(_: Message) -> None:
        return

    asyncio.run(Guard(app, guarded.files, guarded.passwords)({"type": "lifespan"}, nothing, nowhere))
    assert seen == ["lifespan"]
