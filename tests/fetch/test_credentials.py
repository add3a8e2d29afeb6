"""Whose credentials sign: shared by pools that have the same, found where boto3 finds them, and named when they fail."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from exporter.configuration.models import UserPool
from exporter.fetch.cognito import CognitoSource
from exporter.fetch.credentials import Identity, Sessions
from exporter.fetch.outcome import FetchError, Outcome, StandInError
from exporter.fetch.source import EventSource
from exporter.fetch.sources import cognito_sources
from tests.fetch.conftest import POOL, ROLE, USERNAME, NewSource, Observer, Server, Sts, fails, failure, hang, says

OTHER_ROLE = "arn:aws:iam::222233334444:role/auth-events-reader"
KEYS = "aws_access_key_id = AKIDFILE\naws_secret_access_key = secret\n"
AS_ROLE = Identity(role_arn=ROLE)


def key_used(server: Server, number: int = -1) -> str:
    """Return the id of the access key that signed a request."""
    authorization = server.requests[number][0]["Authorization"]
    return authorization.split("Credential=")[1].split("/")[0]


def source_in(region: str, server: Server, sessions: Sessions, observer: Observer, **more: object) -> CognitoSource:
    """Return a source of a Region's pool that asks with a role."""
    identity = Identity(role_arn=ROLE, **more)  # type: ignore[arg-type]
    return CognitoSource(
        POOL, region=region, on_request=observer, request_timeout=2.0, endpoint_url=server.url, identity=identity,
        sessions=sessions,
    )  # fmt: skip


# -- shared ----------------------------------------------------------------------------------------------------------------


def test_pools_with_the_same_credentials_share_a_role(sts: Sts, server: Server) -> None:
    """Pools of one Region assume a role once, told of by the pool whose call it was; another Region assumes it for itself."""
    sessions, observers = Sessions(), [Observer() for _ in range(3)]
    regions = ("eu-west-1", "eu-west-1", "us-east-1")
    sources = [
        source_in(region, server, sessions, observer) for region, observer in zip(regions, observers, strict=True)
    ]
    for source in sources:
        source.auth_events(USERNAME, None)
    assert len(sts.asked) == 2
    assert [key_used(server, number) for number in range(3)] == ["ASIAROLE1", "ASIAROLE1", "ASIAROLE2"]
    assert [[operation for operation, _ in observer.heard] for observer in observers] == [
        ["AssumeRole", "AdminListUserAuthEvents"],
        ["AdminListUserAuthEvents"],
        ["AssumeRole", "AdminListUserAuthEvents"],
    ]
    for source in sources:
        source.close()


@pytest.mark.parametrize("other", [{"external_id": "x1"}, {"role_session_name": "other"}, {"profile": "default"}])
def test_other_credentials_are_not_shared(
    other: dict[str, str], sts: Sts, server: Server, observer: Observer, no_credentials: Path
) -> None:
    """An external id, a session's name or a profile of its own makes it another session."""
    no_credentials.write_text(f"[default]\n{KEYS}".replace("AKIDFILE", "testing"))
    sessions = Sessions()
    for more in ({}, other):
        source_in("eu-west-1", server, sessions, observer, **more).auth_events(USERNAME, None)
    assert len(sts.asked) == 2


def test_the_session_has_the_name_given(sts: Sts, server: Server, observer: Observer) -> None:
    """CloudTrail shows the name that the configuration gives."""
    source_in("eu-west-1", server, Sessions(), observer, role_session_name="night.shift").auth_events(USERNAME, None)
    assert "RoleSessionName=night.shift" in sts.asked[0]


def test_a_session_outlives_a_reload_and_no_more(sts: Sts, server: Server) -> None:
    """Sources made at a reload go on with the credentials of those before; what nobody uses any more is forgotten."""
    factory = cognito_sources(lambda *_: None)
    pool = UserPool.model_validate(
        {
            "id": POOL,
            "endpoint_url": server.url,
            "credentials": {"role_arn": ROLE},
            "users": {"all": True},
        }
    )
    sources: list[EventSource] = []
    for _ in range(3):
        sources.append(factory(pool, 2.0))
        for former in sources[:-1]:
            former.close()
        sources[-1].auth_events(USERNAME, None)
    assert len(sts.asked) == 1
    sources[-1].close()
    factory(pool, 2.0).auth_events(USERNAME, None)
    assert len(sts.asked) == 2


def test_nothing_is_kept_of_sessions_given_back() -> None:
    """However often sources come and go, no session is left."""
    sessions = Sessions()
    for _ in range(3):
        source = CognitoSource(POOL, region="eu-west-1", on_request=Observer(), request_timeout=1.0, sessions=sessions)
        source.close()
        source.close()
    assert sessions._shared == {}


@pytest.mark.usefixtures("sts")
def test_a_role_keeps_the_settings_of_its_profile(server: Server, new_source: NewSource, no_credentials: Path) -> None:
    """What the profile says of endpoints holds for the requests that the role signs."""
    keys = KEYS.replace("AKIDFILE", "testing")
    no_credentials.write_text(f"[profile audit]\n{keys}endpoint_url = {server.url}\n")
    source = new_source(Identity(profile="audit", role_arn=ROLE), endpoint_url=None)
    assert source.auth_events(USERNAME, None).events
    assert key_used(server) == "ASIAROLE1"


# -- where boto3 finds credentials -----------------------------------------------------------------------------------------


def test_web_identity(
    moto_url: str, server: Server, new_source: NewSource, observer: Observer, no_credentials: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A projected token becomes a role's credentials, as on EKS, and the role of the configuration is assumed with these."""
    token = no_credentials.with_name("token")
    token.write_text("a-token-of-the-cluster")
    for name, value in {
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
        "AWS_ROLE_ARN": ROLE,
        "AWS_ENDPOINT_URL_STS": moto_url,
    }.items():
        monkeypatch.setenv(name, value)
    assert new_source(Identity()).caller().account == "111122223333"
    assert observer.heard == [("AssumeRoleWithWebIdentity", Outcome.OK), ("GetCallerIdentity", Outcome.OK)]
    source = new_source(Identity(role_arn=OTHER_ROLE))
    source.auth_events(USERNAME, None)
    assert key_used(server).startswith("ASIA")
    assert source.caller().account == "222233334444"


class Container(BaseHTTPRequestHandler):
    """The agent of a container: hands out keys that its server says for how long."""

    server: "ContainerServer"

    def do_GET(self) -> None:
        self.server.asked += 1
        expiration = (datetime.now(UTC) + self.server.lifetime).strftime("%Y-%m-%dT%H:%M:%SZ")
        keys = {"AccessKeyId": f"ASIACONTAINER{self.server.asked}", "SecretAccessKey": "s", "Token": "t"}
        body = json.dumps({**keys, "Expiration": expiration}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class ContainerServer(ThreadingHTTPServer):
    """Keys that last for `lifetime`."""

    asked = 0
    lifetime = timedelta(minutes=5)


@pytest.fixture
def container(monkeypatch: pytest.MonkeyPatch) -> Iterator[ContainerServer]:
    with ContainerServer(("127.0.0.1", 0), Container) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{server.server_port}/keys")
        yield server
        server.shutdown()


@pytest.mark.usefixtures("no_credentials")
def test_container_credentials(container: ContainerServer, server: Server, new_source: NewSource) -> None:
    """Keys from a container's agent sign, are fetched again before they expire, and not more often than that."""
    source = new_source(Identity())
    source.auth_events(USERNAME, None)
    container.lifetime = timedelta(hours=1)
    for _ in range(3):
        source.auth_events(USERNAME, None)
    used = [key_used(server, number) for number in range(4)]
    assert used[1:] == [used[1]] * 3
    assert used[1] == f"ASIACONTAINER{container.asked}"
    assert container.asked <= 3


# -- endpoints -------------------------------------------------------------------------------------------------------------

US_FIPS = "https://cognito-idp-fips.us-east-1.amazonaws.com"
US = "https://cognito-idp.us-east-1.amazonaws.com"
ENDPOINTS: dict[str, tuple[bool | None, str, str | None, str, str]] = {
    "nothing said": (None, "", None, US, "https://sts.us-east-1.amazonaws.com"),
    "the pool wants it": (True, "", None, US_FIPS, "https://sts-fips.us-east-1.amazonaws.com"),
    "the environment": (None, "true", None, US_FIPS, "https://sts-fips.us-east-1.amazonaws.com"),
    "the pool does not": (False, "true", None, US, "https://sts.us-east-1.amazonaws.com"),
    "an endpoint": (None, "true", "http://127.0.0.1:9", "http://127.0.0.1:9", "https://sts-fips.us-east-1.amazonaws.com"),
}  # fmt: skip


@pytest.mark.parametrize("case", ENDPOINTS)
def test_fips(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool's key decides whether FIPS endpoints are asked, then the environment; an endpoint given is asked as it is."""
    use_fips, environment, endpoint_url, cognito, sts = ENDPOINTS[case]
    if environment:
        monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", environment)
    source = CognitoSource(
        POOL, region="us-east-1", on_request=Observer(), request_timeout=1.0, endpoint_url=endpoint_url,
        identity=Identity(use_fips=use_fips),
    )  # fmt: skip
    connection = source._connected()
    assert connection.client.meta.endpoint_url == cognito
    assert connection.session.client("sts", "us-east-1", use_fips).meta.endpoint_url == sts
    source.close()


def test_an_endpoint_is_asked_whatever_the_environment_says_of_fips(
    new_source: NewSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool at an endpoint of its own is polled where AWS_USE_FIPS_ENDPOINT is set for all the others."""
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    assert new_source(Identity()).auth_events(USERNAME, None).events


@pytest.mark.parametrize("identity", [Identity(), Identity(static=("demo", "demo"))])
def test_sts_is_not_asked_about_a_stand_in(identity: Identity, new_source: NewSource, observer: Observer) -> None:
    """Whoever polls a stand-in on loopback does not call AWS's STS."""
    assert isinstance(failure(new_source(identity).caller), StandInError)
    assert observer.heard == []


# -- failures --------------------------------------------------------------------------------------------------------------

AUDIT = Identity(profile="audit")
AUDIT_AS_ROLE = Identity(profile="audit", role_arn=ROLE)
FAILURES: dict[str, tuple[Identity, str, tuple[int, str] | None, str]] = {
    "nothing": (Identity(), "", None, "credentials"),
    "no profile": (AUDIT, "", None, "credentials.profile"),
    "no keys in the profile": (AUDIT, "[profile audit]\nregion = eu-west-1\n", None, "credentials.profile"),
    "no profile for the role": (AUDIT_AS_ROLE, "", None, "credentials.profile"),
    "no keys for the role": (AS_ROLE, "", None, "credentials"),
    "half of the keys": (AUDIT_AS_ROLE, "[profile audit]\naws_access_key_id = A\n", None, "credentials.profile"),
    "the role is refused": (AUDIT_AS_ROLE, f"[profile audit]\n{KEYS}", (403, "AccessDenied"), "credentials.role_arn"),
    "the role's keys are": (AUDIT_AS_ROLE, f"[profile audit]\n{KEYS}", (403, "ExpiredToken"), "credentials.profile"),
    "the chain's keys are": (AS_ROLE, f"[default]\n{KEYS}", (403, "InvalidClientTokenId"), "credentials"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_names_the_key(case: str, sts: Sts, no_credentials: Path, new_source: NewSource) -> None:
    """Whoever reads of missing credentials reads which key of the configuration is meant, and no secret."""
    identity, config, sts.refusal, key = FAILURES[case]
    sts.signer = "AKIDFILE"
    no_credentials.write_text(config)
    error = failure(lambda: new_source(identity).auth_events(USERNAME, None))
    assert (error.outcome, error.key) == (Outcome.CREDENTIALS, key), str(error)
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    ("identity", "key"),
    [(Identity(), "credentials"), (AUDIT, "credentials.profile"), (AS_ROLE, "credentials.role_arn")],
)
def test_refused_keys_name_the_key(
    identity: Identity, key: str, sts: Sts, no_credentials: Path, new_source: NewSource
) -> None:
    """Keys that Cognito refuses are those of the role, else of the profile, else of boto3's chain."""
    no_credentials.write_text(f"[default]\n{KEYS}[profile audit]\n{KEYS}")
    sts.signer = "AKIDFILE"
    sts.cognito = fails("UnrecognizedClientException")
    assert failure(lambda: new_source(identity).auth_events(USERNAME, None)).key == key


def test_what_sts_says_of_a_caller_is_an_outcome(
    server: Server, new_source: NewSource, observer: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STS that refuses, or answers nonsense, is an outcome of its own attempt, and heals."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
    source = new_source(Identity())
    server.answer = refuses("AccessDenied")
    assert failure(source.caller).outcome is Outcome.NOT_AUTHORIZED
    server.answer = refuses("InvalidClientTokenId")
    assert failure(source.caller).key == "credentials"
    server.answer = says({})
    assert failure(source.caller).outcome in {Outcome.MALFORMED, Outcome.OTHER}
    assert [operation for operation, _ in observer.heard] == ["GetCallerIdentity"] * 3


def refuses(code: str) -> Callable[..., None]:
    """Return STS's answer that is an error."""
    text = f"<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"
    return lambda handler: handler.give(403, text.encode(), "text/xml")


def test_a_fixed_role_heals_all_its_pools(sts: Sts, server: Server, observer: Observer) -> None:
    """Once the role may be assumed, each pool that shares it is polled with its next call."""
    sessions = Sessions()
    sources = [source_in("eu-west-1", server, sessions, observer) for _ in range(2)]
    sts.refusal = 403, "AccessDenied"
    for source in sources:
        assert failure(lambda source=source: source.auth_events(USERNAME, None)).outcome is Outcome.CREDENTIALS  # type: ignore[misc]
    sts.refusal = None
    for source in sources:
        assert source.auth_events(USERNAME, None).events
    assert len(sts.asked) == 3


def test_a_hanging_look_up_is_bounded(
    sts: Sts, new_source: NewSource, observer: Observer, no_credentials: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STS that hangs while boto3 looks for a web identity costs one request's time, without hidden retries."""
    token = no_credentials.with_name("token")
    token.write_text("a-token-of-the-cluster")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    sts.hangs, sts.signer = True, None
    error = failure(lambda: new_source(Identity(), request_timeout=0.5).auth_events(USERNAME, None))
    assert error.outcome is Outcome.TIMEOUT
    assert observer.heard == [("AssumeRoleWithWebIdentity", Outcome.TIMEOUT)]
    assert observer.seconds[0] < 3.0


def test_sts_is_asked_through_the_proxy(
    server: Server, new_source: NewSource, observer: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests to STS go by the environment's proxy, as those to Cognito do."""
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://sts.example.com")
    server.answer = refuses("AccessDenied")
    failure(new_source(Identity(), endpoint_url="http://cognito.example.com").caller)
    assert [headers["Host"] for headers, _ in server.requests] == ["sts.example.com"]
    assert observer.heard == [("GetCallerIdentity", Outcome.NOT_AUTHORIZED)]


def slow_process(no_credentials: Path, seconds: float) -> Path:
    """Have credentials come from a process that fails after some seconds; return the file in which it notes each run."""
    runs, script = no_credentials.with_name("runs"), no_credentials.with_name("process.sh")
    runs.touch()
    script.write_text(f"echo >> {runs}; sleep {seconds}; exit 1")
    no_credentials.write_text(f"[default]\ncredential_process = sh {script}\n")
    return runs


def test_those_who_waited_share_a_look_up_that_failed(no_credentials: Path, server: Server) -> None:
    """Calls of several pools that wait for one look-up of credentials fail with it, not after one each."""
    runs, sessions = slow_process(no_credentials, 1.0), Sessions()
    sources = [
        CognitoSource(POOL, region="eu-west-1", on_request=Observer(), request_timeout=5.0, sessions=sessions,
                      endpoint_url=server.url)
        for _ in range(2)
    ]  # fmt: skip
    outcomes: list[Outcome] = []

    def call(source: CognitoSource) -> None:
        outcomes.append(failure(lambda: source.auth_events(USERNAME, None)).outcome)

    calls = [threading.Thread(target=call, args=(source,)) for source in sources * 3]
    for each in calls:
        each.start()
    for each in calls:
        each.join()
    assert outcomes == [Outcome.CREDENTIALS] * 6
    assert len(runs.read_text().splitlines()) == 1


def at_once(source: EventSource, calls: int) -> list[FetchError]:
    """Return the failures of so many calls that are made at the same time."""
    failures: list[FetchError] = []

    def call() -> None:
        failures.append(failure(lambda: source.auth_events(USERNAME, None)))

    threads = [threading.Thread(target=call) for _ in range(calls)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return failures


BY_PROFILE = f"[profile audit]\nrole_arn = {ROLE}\nsource_profile = keys\n[profile keys]\n{KEYS}"
LOOK_UPS: dict[str, tuple[Identity, str, dict[str, str], str]] = {
    "a web identity": (Identity(), "", {"AWS_ROLE_ARN": ROLE}, "credentials"),
    "a profile's role": (AUDIT, BY_PROFILE, {}, "credentials.profile"),
    "a role": (AS_ROLE, f"[default]\n{KEYS}", {}, "credentials.role_arn"),
    "a web identity that assumes a role": (AS_ROLE, "", {"AWS_ROLE_ARN": OTHER_ROLE}, "credentials"),
}


@pytest.mark.parametrize("case", LOOK_UPS)
def test_sts_that_hangs_is_waited_for_once(
    case: str, sts: Sts, no_credentials: Path, new_source: NewSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However credentials are refreshed, calls that wait for STS fail with the first, and each names the key."""
    identity, config, env, key = LOOK_UPS[case]
    token = no_credentials.with_name("token")
    token.write_text("a-token-of-the-cluster")
    for name, value in {**env, **({"AWS_WEB_IDENTITY_TOKEN_FILE": str(token)} if env else {})}.items():
        monkeypatch.setenv(name, value)
    no_credentials.write_text(config)
    sts.hangs, sts.signer = True, None
    source = new_source(identity, request_timeout=0.5)
    began = time.monotonic()
    failures = at_once(source, 8)
    assert time.monotonic() - began < 2.0
    assert {(error.outcome, error.key) for error in failures} == {(Outcome.TIMEOUT, key)}
    assert len(sts.asked) == 1
    assert source.sent_at() is None


@pytest.mark.parametrize("identity", [AUDIT, AS_ROLE])
def test_a_role_that_cannot_be_assumed_anew_is_not_asked_for_at_each_request(
    identity: Identity, sts: Sts, new_source: NewSource, no_credentials: Path
) -> None:
    """While keys still work but are soon to expire, STS that refuses others is asked now and then, and polls go on."""
    no_credentials.write_text(f"[default]\n{KEYS}{BY_PROFILE}")
    sts.lifetime, sts.signer = timedelta(minutes=12), None
    source = new_source(identity)
    assert source.auth_events(USERNAME, None).events
    sts.refusal = 403, "AccessDenied"
    for _ in range(5):
        assert source.auth_events(USERNAME, None).events
    assert len(sts.asked) == 2


def test_a_request_under_way_tells_when_it_was_sent(server: Server, new_source: NewSource) -> None:
    """A request that Cognito does not answer can be told from a call that waits for credentials."""
    server.answer = hang
    source, began = new_source(request_timeout=0.7), time.monotonic()
    assert source.sent_at() is None
    call = threading.Thread(target=at_once, args=(source, 1))
    call.start()
    while (sent := source.sent_at()) is None:
        time.sleep(0.02)
    assert began <= sent <= time.monotonic()
    call.join()
    assert source.sent_at() is None


def test_close_does_not_wait_for_a_look_up(no_credentials: Path, new_source: NewSource) -> None:
    """A source is closed at once while its credentials are being looked for."""
    runs, source = slow_process(no_credentials, 2.0), new_source(Identity())
    call = threading.Thread(target=lambda: failure(lambda: source.auth_events(USERNAME, None)))
    call.start()
    while not runs.read_text():
        time.sleep(0.02)
    began = time.monotonic()
    source.close()
    assert time.monotonic() - began < 1.0
    call.join()
