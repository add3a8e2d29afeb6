"""Requests by libcurl: whom they trust, one attempt each, when a connection is used again, and what ends it."""

import base64
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exporter.fetch.curl import MOST_BYTES, Curl, NoAnswer
from exporter.fetch.outcome import Outcome
from tests.conftest import need

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;x=y\r\n}\r\n0\r\nT: x\r\n\r\n"


class Script:
    """A server on loopback that gives the same bytes for every request, over TLS where it has a certificate.

    `most` is how many requests it answers on a connection; it reads one more, and closes the connection. A request is over
    where it `ends` so. Answers wait for `waits`.
    """

    def __init__(
        self,
        answer: bytes,
        *,
        then_closes: bool = False,
        tls: ssl.SSLContext | None = None,
        most: int = 1000,
        ends: bytes = b"body",
        waits: threading.Event | None = None,
    ) -> None:
        self.answer = answer
        self.then_closes = then_closes
        self.most = most
        self.ends = ends
        self.waits = waits
        self.asked = threading.Semaphore(0)
        self.connections = 0
        self.requests: list[bytes] = []
        self.closed = threading.Semaphore(0)
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._accepted: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        self.port: int = self._listener.getsockname()[1]

    def close(self) -> None:
        """End, with all connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        talks = []
        try:
            while True:
                talks.append(threading.Thread(target=self._talk, args=(self._listener.accept()[0],)))
                self.connections += 1
                talks[-1].start()
        except OSError:
            for talk in talks:
                talk.join()

    def _talk(self, plain: socket.socket) -> None:
        with plain:
            try:
                with plain if self._tls is None else self._tls.wrap_socket(plain, server_side=True) as client:
                    self._converse(client)
            except OSError:
                return
        self.closed.release()

    def _converse(self, client: socket.socket) -> None:
        received, answered = b"", 0
        while piece := client.recv(65_536):
            received += piece
            if received.endswith(self.ends):
                self.requests.append(received)
                self.asked.release()
                if answered == self.most:
                    return
                if self.waits is not None:
                    self.waits.wait(30)
                received, answered = b"", answered + 1
                client.sendall(self.answer)
                if self.then_closes:
                    return


NewScript = Callable[..., Script]


@pytest.fixture
def new_script() -> Iterator[NewScript]:
    """Make servers that end with the test."""
    made: list[Script] = []

    def new(*arguments: object, **more: object) -> Script:
        made.append(Script(*arguments, **more))  # type: ignore[arg-type]
        return made[-1]

    yield new
    for script in made:
        script.close()


NewCurl = Callable[..., Curl]


@pytest.fixture
def new_curl(monkeypatch: pytest.MonkeyPatch) -> Iterator[NewCurl]:
    """Make what posts, in an environment whose proxies lead nowhere; it is closed before the servers end."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    made: list[Curl] = []

    def new(*, timeout: float = 5.0, ca_file: str = "", proxy: str | None = None) -> Curl:
        made.append(Curl(timeout=timeout, ca_file=ca_file, proxy=proxy))
        return made[-1]

    yield new
    for curl in made:
        curl.close()


def post(curl: Curl, server: "Script | str") -> bytes:
    """Post once; return the answer's body."""
    base = server if isinstance(server, str) else f"http://127.0.0.1:{server.port}"
    return curl.post(f"{base}/path", b"body", {"X-Name": b"value"}).body


def refusal(curl: Curl, server: "Script | str") -> NoAnswer:
    """Return the error of a post."""
    with pytest.raises(NoAnswer) as caught:
        post(curl, server)
    return caught.value


USED_AGAIN: dict[str, tuple[bytes, bool]] = {
    "length": (OK, True),
    "chunks": (CHUNKED, True),
    "nothing": (b"HTTP/1.1 204 No Content\r\n\r\n", True),
    "an error": (OK.replace(b"200 OK", b"503 No"), True),
    "a continuation": (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, True),
    "who are you": (OK.replace(b"200 OK", b"401 Who\r\nWWW-Authenticate: Basic realm=x, Negotiate"), True),
    "elsewhere": (OK.replace(b"200 OK", b"307 Elsewhere\r\nLocation: /elsewhere"), True),
    "expectation failed": (OK.replace(b"200 OK", b"417 No"), True),
    "an upgrade": (OK.replace(b"200 OK", b"200 OK\r\nUpgrade: h2c"), True),
    "going to close": (OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), False),
    "HTTP/1.0": (OK.replace(b"1.1", b"1.0"), False),
}


@pytest.mark.parametrize("case", USED_AGAIN)
def test_a_connection_is_used_again(case: str, new_script: NewScript, new_curl: NewCurl) -> None:
    """A connection whose answer was read whole serves the next call, unless the server says otherwise; nothing is asked twice."""
    answer, again = USED_AGAIN[case]
    script, curl = new_script(answer), new_curl()
    for _ in range(3):
        post(curl, script)
    curl.close()
    assert script.connections == (1 if again else 3)
    assert len(script.requests) == 3


def test_what_is_sent(new_script: NewScript, new_curl: NewCurl) -> None:
    """A request is what was given, and nothing that asks for an encoding, a cookie or leave to send the body."""
    script = new_script(OK)
    post(new_curl(), script)
    head, _, body = script.requests[0].decode().partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    assert (first, body) == ("POST /path HTTP/1.1", "body")
    assert {line.split(":")[0] for line in lines} == {
        "Host",
        "Accept",
        "X-Name",
        "User-Agent",
        "Content-Length",
        "Content-Type",
    }
    assert "X-Name: value" in lines


def test_a_big_body_is_sent_at_once(new_script: NewScript, new_curl: NewCurl) -> None:
    """A request of more than a MiB waits for no leave of the server."""
    script, body = new_script(OK), b" " * 2**21 + b"body"
    new_curl().post(f"http://127.0.0.1:{script.port}/", body, {})
    assert b"expect" not in script.requests[0].lower()
    assert script.requests[0].endswith(b"\r\n\r\n" + body)


def test_a_connection_that_the_server_closed_is_not_used(new_script: NewScript, new_curl: NewCurl) -> None:
    """A server that closes idle connections costs a new connection, no failed request."""
    script, curl = new_script(OK, then_closes=True), new_curl()
    for _ in range(3):
        assert post(curl, script) == b"{}"
        assert script.closed.acquire(timeout=30)
    assert (script.connections, len(script.requests)) == (3, 3)


@pytest.mark.parametrize("answered", [0, 1, 2])
def test_a_request_is_sent_once(answered: int, new_script: NewScript, new_curl: NewCurl) -> None:
    """A server that reads a request and closes the connection, new or kept, has been asked once: no other attempt is made."""
    script, curl = new_script(OK, most=answered), new_curl()
    for _ in range(answered):
        post(curl, script)
    assert refusal(curl, script).outcome is Outcome.CONNECTION
    assert (len(script.requests), script.connections) == (answered + 1, 1)
    script.most = 1
    assert post(curl, script) == b"{}"
    assert (len(script.requests), script.connections) == (answered + 2, 2)


HEAD = b"HTTP/1.1 200 OK\r\n"
NONE: dict[str, tuple[bytes, Outcome]] = {
    "cut short": (OK.replace(b"2\r\n", b"9\r\n"), Outcome.CONNECTION),
    "chunk cut short": (CHUNKED[:-12], Outcome.CONNECTION),
    "chunk of no size": (CHUNKED.replace(b"1;x=y", b"z"), Outcome.CONNECTION),
    "no HTTP": (b"220 mail.example.com ESMTP\r\n\r\n", Outcome.CONNECTION),
    "a length that is none": (OK.replace(b"2\r\n", b"-2\r\n"), Outcome.CONNECTION),
    "a long header": (HEAD + b"X: " + b"x" * 2**20 + b"\r\n\r\n", Outcome.CONNECTION),
    "many headers": (HEAD + b"X: x\r\n" * 2**18 + b"\r\n", Outcome.CONNECTION),
    "a long body": (HEAD + b"\r\n" + b" " * (MOST_BYTES + 1), Outcome.MALFORMED),
    "a long body foretold": (OK.replace(b"2\r\n", b"999999999\r\n"), Outcome.MALFORMED),
    "a long body in chunks": (
        CHUNKED.replace(b"1\r\n{", b"%x\r\n%s" % (2**25, b" " * 2**25)),
        Outcome.MALFORMED,
    ),
}


@pytest.mark.parametrize("case", NONE)
def test_what_is_no_answer(case: str, new_script: NewScript, new_curl: NewCurl) -> None:
    """What is no whole answer, or one beyond the bounds, is an error after one request; the next call is good again."""
    answer, outcome = NONE[case]
    script, curl = new_script(answer, then_closes=True), new_curl()
    error = refusal(curl, script)
    assert error.outcome is outcome, str(error)
    assert "127.0.0.1" not in str(error)
    assert (len(script.requests), script.connections) == (1, 1)
    script.answer = OK
    assert post(curl, script) == b"{}"


@pytest.mark.parametrize(("answer", "body"), [(HEAD + b"\r\n{}", b"{}"), (HEAD + b"Content-Le", b"")])
def test_an_answer_without_a_length(answer: bytes, body: bytes, new_script: NewScript, new_curl: NewCurl) -> None:
    """An answer that tells no length ends where its connection does, if that is in its head."""
    assert post(new_curl(), new_script(answer, then_closes=True)) == body


@pytest.mark.parametrize("answer", [b"", HEAD, HEAD + b"Content-Length: 3\r\n\r\n{}"])
def test_nobody_waits_for_ever(answer: bytes, new_script: NewScript, new_curl: NewCurl) -> None:
    """A server that says nothing, or no more, is a timeout in the time that was given."""
    script, begun = new_script(answer), time.monotonic()
    error = refusal(new_curl(timeout=0.2), script)
    assert (error.outcome, str(error)) == (Outcome.TIMEOUT, "Timeout was reached")
    assert 0.2 <= time.monotonic() - begun < 5


@pytest.mark.parametrize("url", ["ftp://127.0.0.1:9", "file:///etc/hostname"])
def test_other_protocols_are_refused(url: str, new_curl: NewCurl) -> None:
    """Nothing but HTTP is spoken."""
    assert str(refusal(new_curl(), url)) == "Unsupported protocol"


# -- many at once ----------------------------------------------------------------------------------------------------------


def test_close_leaves_what_is_in_use(new_script: NewScript, new_curl: NewCurl) -> None:
    """A close during requests lets them end; then their connections are closed, too."""
    go = threading.Event()
    script, curl = new_script(OK, waits=go), new_curl()
    bodies: list[bytes] = []
    calls = [threading.Thread(target=lambda: bodies.append(post(curl, script))) for _ in range(4)]
    for call in calls:
        call.start()
    for _ in calls:
        assert script.asked.acquire(timeout=30)
    curl.close()
    go.set()
    for call in calls:
        call.join()
    for _ in calls:
        assert script.closed.acquire(timeout=30)
    assert bodies == [b"{}"] * 4
    assert script.connections == 4


def test_who_is_given_up_is_closed(new_script: NewScript) -> None:
    """Connections end with their owner, closed or not: clients whose credentials were refused are just let go."""
    script = new_script(OK)
    curl = Curl(timeout=5.0, ca_file="", proxy=None)
    post(curl, script)
    del curl
    assert script.closed.acquire(timeout=30)


# -- proxies ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", ["", "alice:p%40ss@"])
def test_a_proxy(user: str, new_script: NewScript, new_curl: NewCurl, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request goes by the proxy it was given, with user and password, whatever the environment exempts."""
    monkeypatch.setenv("NO_PROXY", "*")
    script = new_script(OK)
    curl = new_curl(proxy=f"http://{user}127.0.0.1:{script.port}")
    assert [post(curl, "http://cognito.example.com") for _ in range(2)] == [b"{}"] * 2
    assert script.connections == 1
    for request in script.requests:
        assert request.startswith(b"POST http://cognito.example.com/path HTTP/1.1\r\nHost: cognito.example.com\r\n")
        basic = b"Basic " + base64.b64encode(b"alice:p@ss")
        assert (b"\r\nProxy-Authorization: " + basic + b"\r\n" in request) == bool(user)


def test_a_proxy_that_refuses(new_script: NewScript, new_curl: NewCurl) -> None:
    """A proxy that lets nobody through to TLS is `connection`, and asked once."""
    script = new_script(b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n", ends=b"\r\n\r\n")
    curl = new_curl(proxy=f"http://alice:wrong@127.0.0.1:{script.port}")
    assert refusal(curl, "https://cognito.example.com").outcome is Outcome.CONNECTION
    assert len(script.requests) == 1
    assert script.requests[0].startswith(b"CONNECT cognito.example.com:443 HTTP/1.1\r\n")


# -- TLS -------------------------------------------------------------------------------------------------------------------


def certificate(folder: Path, name: str, *more: str | Path) -> Path:
    """Make a certificate for a host and its key, in one file."""
    path, key = folder / f"{name}.pem", folder / f"{name}.key"
    openssl = need("openssl", "apt-get install openssl")
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", key, "-out", path, *more],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    path.write_bytes(path.read_bytes() + key.read_bytes())
    return path


@pytest.mark.parametrize(
    ("held", "trusted", "good"),
    [
        ("localhost", "localhost", True),
        ("localhost", "other.example", False),
        ("other.example", "other.example", False),
    ],
)
def test_who_is_trusted(
    held: str, trusted: str, good: bool, tmp_path: Path, new_script: NewScript, new_curl: NewCurl
) -> None:
    """Only a certificate that a trusted authority gave to this very host is accepted."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate(tmp_path, held))
    authority = tmp_path / f"{trusted}.pem"
    if not authority.exists():
        certificate(tmp_path, trusted)
    script, curl, url = new_script(OK, tls=tls), new_curl(ca_file=str(authority)), "https://localhost"
    if good:
        assert [post(curl, f"{url}:{script.port}") for _ in range(2)] == [b"{}", b"{}"]
        assert script.connections == 1
    else:
        assert str(refusal(curl, f"{url}:{script.port}")) == "SSL peer certificate or SSH remote key was not OK"
        assert script.requests == []


@pytest.mark.parametrize("held", ["localhost", "other.example"])
def test_a_proxy_behind_tls(held: str, tmp_path: Path, new_script: NewScript, new_curl: NewCurl) -> None:
    """A proxy that is asked over TLS is held to the same authorities, and has to be the one that was named."""
    tls, path = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate(tmp_path, held)
    tls.load_cert_chain(path)
    script = new_script(OK, tls=tls)
    curl = new_curl(ca_file=str(path), proxy=f"https://localhost:{script.port}")
    if held == "localhost":
        assert post(curl, "http://cognito.example.com") == b"{}"
    else:
        assert refusal(curl, "http://cognito.example.com").outcome is Outcome.CONNECTION
    assert len(script.requests) == (1 if held == "localhost" else 0)


def test_a_plain_authority_is_trusted(tmp_path: Path, new_script: NewScript, new_curl: NewCurl) -> None:
    """As with botocore, the authorities of companies may lack the key usage that Python 3.13 asks for by itself."""
    authority = certificate(tmp_path, "authority.example")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate(tmp_path, "localhost", "-CA", authority, "-CAkey", authority))
    script = new_script(OK, tls=tls)
    assert post(new_curl(ca_file=str(authority)), f"https://localhost:{script.port}") == b"{}"
