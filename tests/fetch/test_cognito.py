"""The API of Cognito behind boto3, against a real HTTP server: outcomes, credentials, and one request a call."""

import gzip
import json
import logging
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from datetime import UTC, timedelta
from pathlib import Path

import pytest

from exporter.fetch.credentials import Identity
from exporter.fetch.outcome import FetchError, Outcome
from exporter.fetch.source import EventSource, PoolDescription, UserPage
from tests.fetch.conftest import (
    DEMO,
    EVENT,
    GOOD,
    NOW,
    POOL,
    ROLE,
    USERNAME,
    Answer,
    Handler,
    NewSource,
    Observer,
    Server,
    Sts,
    fails,
    failure,
    hang,
    says,
)
from tests.fetch.test_curl import certificate

# -- what is asked and answered --------------------------------------------------------------------------------------------


def test_a_page_is_asked_for_and_read(server: Server, new_source: NewSource, observer: Observer) -> None:
    """A call asks for 60 events of one user at the token, and yields typed events with dates in UTC."""
    page = new_source().auth_events(USERNAME, "token-1")
    (headers, body), *rest = server.requests
    assert headers["X-Amz-Target"] == "AWSCognitoIdentityProviderService.AdminListUserAuthEvents"
    assert "cognito-auth-exporter/" in headers["User-Agent"]
    assert json.loads(body) == {"UserPoolId": POOL, "Username": USERNAME, "MaxResults": 60, "NextToken": "token-1"}
    assert not rest
    assert (page.next_token, page.damaged) == ("e-1#later", ())
    assert page.events[0].created == NOW - timedelta(seconds=60)
    assert page.events[0].created.tzinfo is UTC
    assert observer.heard == [("AdminListUserAuthEvents", Outcome.OK)]


def test_a_page_of_fewer_events_is_asked_for(server: Server, new_source: NewSource) -> None:
    """How many events to ask for is the caller's to say."""
    new_source().auth_events(USERNAME, None, 7)
    assert json.loads(server.requests[0][1]) == {"UserPoolId": POOL, "Username": USERNAME, "MaxResults": 7}


LISTINGS: dict[str, tuple[Callable[[EventSource], UserPage], str, dict[str, object]]] = {
    "all": (lambda source: source.users(None, None), "ListUsers", {"Limit": 60}),
    "filter": (
        lambda source: source.users('status = "Enabled"', "t"),
        "ListUsers",
        {"Limit": 60, "Filter": 'status = "Enabled"', "PaginationToken": "t"},
    ),
    "group": (
        lambda source: source.users_in_group("administrators", "t"),
        "ListUsersInGroup",
        {"Limit": 60, "GroupName": "administrators", "NextToken": "t"},
    ),
}


@pytest.mark.parametrize("case", LISTINGS)
def test_users_are_listed(case: str, server: Server, new_source: NewSource, observer: Observer) -> None:
    """Each selector that lists asks its operation, and yields names with the accounts' creation in UTC."""
    ask, operation, parameters = LISTINGS[case]
    token = "PaginationToken" if operation == "ListUsers" else "NextToken"
    user = {"Username": "bob", "UserCreateDate": NOW.timestamp() - 3600, "Attributes": []}
    server.answer = says({"Users": [user], token: "next"})
    page = ask(new_source())
    assert [(user.username, user.created) for user in page.users] == [("bob", NOW - timedelta(hours=1))]
    assert page.next_token == "next"
    assert json.loads(server.requests[0][1]) == {"UserPoolId": POOL, **parameters}
    assert observer.heard == [(operation, Outcome.OK)]


@pytest.mark.parametrize("mode", ["OFF", "AUDIT", "ENFORCED"])
def test_the_mode_of_threat_protection_is_told(mode: str, server: Server, new_source: NewSource) -> None:
    """The pool's mode comes in the API's words."""
    server.answer = says({"UserPool": {"UserPoolAddOns": {"AdvancedSecurityMode": mode}, "EstimatedNumberOfUsers": 7}})
    assert new_source().describe() == PoolDescription(mode, 7)


def test_connections_are_used_again(server: Server, new_source: NewSource) -> None:
    """Requests one after the other go over one connection: a handshake each would cost more than the request."""
    source = new_source()
    for _ in range(5):
        source.auth_events(USERNAME, None)
    assert (len(server.requests), server.connections) == (5, 1)


def test_close_can_be_repeated(server: Server, new_source: NewSource) -> None:
    """A source that is closed before its first call, twice, or between calls raises nothing."""
    source = new_source()
    source.close()
    source.auth_events(USERNAME, None)
    source.close()
    source.close()
    assert len(server.requests) == 1


def test_one_damaged_event_does_not_cost_the_page(server: Server, new_source: NewSource) -> None:
    """An event that boto3 itself would refuse the whole page for is one damaged event."""
    dates: list[object] = [
        "yesterday",
        {"year": 2026},
        [],
        1e300,
        -1e300,
        True,
        "99999999999999999999",
        None,
        "2026-13-45T00:00:00Z",
    ]
    dates += [float("nan"), float("inf"), 10**400]
    damaged = ["event", None, *({**EVENT, "EventId": "x", "CreationDate": date} for date in dates)]
    damaged.append({**EVENT, "EventId": "x", "EventRisk": "High"})
    server.answer = says({"AuthEvents": [{**EVENT, "Unheard": [{}]}, *damaged]})
    page = new_source().auth_events(USERNAME, None)
    assert ([event.event_id for event in page.events], len(page.damaged)) == (["e-1"], len(damaged))


def test_a_date_in_text_is_read(server: Server, new_source: NewSource) -> None:
    """A date that comes as text, as JSON from other stand-ins has it, is read as well as a number."""
    server.answer = says({"AuthEvents": [{**EVENT, "CreationDate": "2026-04-30T22:00:00+01:00"}]})
    assert new_source().auth_events(USERNAME, None).events[0].created == NOW - timedelta(hours=3)


# -- errors of AWS ---------------------------------------------------------------------------------------------------------

ERRORS = {
    "TooManyRequestsException": (400, Outcome.THROTTLED),
    "ThrottlingException": (400, Outcome.THROTTLED),
    "Throttling": (400, Outcome.THROTTLED),
    "RequestLimitExceeded": (503, Outcome.THROTTLED),
    "LimitExceededException": (400, Outcome.THROTTLED),
    "UserNotFoundException": (400, Outcome.USER_NOT_FOUND),
    "ResourceNotFoundException": (400, Outcome.POOL_NOT_FOUND),
    "com.amazonaws.cognito#ResourceNotFoundException:http://internal/": (400, Outcome.POOL_NOT_FOUND),
    "NotAuthorizedException": (400, Outcome.NOT_AUTHORIZED),
    "AccessDeniedException": (400, Outcome.NOT_AUTHORIZED),
    "UserPoolAddOnNotEnabledException": (400, Outcome.THREAT_PROTECTION_OFF),
    "OperationNotEnabledException": (400, Outcome.THREAT_PROTECTION_OFF),
    "InvalidParameterException": (400, Outcome.INVALID_PARAMETER),
    "ValidationException": (400, Outcome.INVALID_PARAMETER),
    "SerializationException": (400, Outcome.INVALID_PARAMETER),
    "InternalErrorException": (500, Outcome.SERVER_ERROR),
    "InternalFailure": (400, Outcome.SERVER_ERROR),
    "ServiceUnavailableException": (503, Outcome.SERVER_ERROR),
    "BrandNewFailure": (502, Outcome.SERVER_ERROR),
    "ExpiredTokenException": (400, Outcome.CREDENTIALS),
    "UnrecognizedClientException": (400, Outcome.CREDENTIALS),
    "InvalidSignatureException": (403, Outcome.CREDENTIALS),
    "InvalidClientTokenId": (403, Outcome.CREDENTIALS),
    "MissingAuthenticationToken": (403, Outcome.CREDENTIALS),
    "RequestExpired": (400, Outcome.CREDENTIALS),
    "BrandNewException": (400, Outcome.OTHER),
    "": (400, Outcome.OTHER),
    "a code that is\nnone \ud800": (400, Outcome.OTHER),
}


@pytest.mark.parametrize("code", ERRORS)
def test_each_error_code_is_an_outcome(code: str, server: Server, new_source: NewSource, observer: Observer) -> None:
    """Each error of AWS is its outcome, after exactly one request of which the observer heard once."""
    status, outcome = ERRORS[code]
    server.answer = fails(code, status, f"User {USERNAME} of 192.0.2.1" if outcome.value not in PRINTED else "arn:aws")
    error = failure(lambda: new_source().auth_events(USERNAME, None))
    assert error.outcome is outcome
    assert len(server.requests) == 1
    assert observer.heard == [("AdminListUserAuthEvents", outcome)]
    assert USERNAME not in str(error)
    assert "192.0.2.1" not in str(error)
    assert str(error).isprintable()


PRINTED = {Outcome.NOT_AUTHORIZED.value, Outcome.CREDENTIALS.value}


def test_who_may_not_is_named(server: Server, new_source: NewSource) -> None:
    """The message of a refusal names the role and the action, in one line of bounded length that can be printed."""
    server.answer = fails(
        "AccessDeniedException", 400, f"User: {ROLE} is not authorized\nto perform \ud800" + "x" * 9999
    )
    text = str(failure(lambda: new_source().auth_events(USERNAME, None)))
    assert text.startswith(
        f"AdminListUserAuthEvents: AccessDeniedException: User: {ROLE} is not authorized to perform ?"
    )
    assert len(text) <= 300


def test_a_missing_group_is_told_from_a_missing_pool(server: Server, new_source: NewSource) -> None:
    """AWS has one code for a missing group and a missing pool: the text says that it may be either."""
    server.answer = fails("ResourceNotFoundException")
    error = failure(lambda: new_source().users_in_group("nobody", None))
    assert error.outcome is Outcome.POOL_NOT_FOUND
    assert "the group, or the pool" in str(error)


def test_a_parameter_that_cannot_be_sent(server: Server, new_source: NewSource, observer: Observer) -> None:
    """What AWS would refuse unseen is an outcome without the user's name, and no HTTP attempt."""
    source = new_source()
    error = failure(lambda: source.auth_events("", None))
    assert error.outcome is Outcome.INVALID_PARAMETER
    assert error.__suppress_context__
    assert (server.requests, observer.heard) == ([], [])


@pytest.mark.parametrize("name", ["x" * 129, "\ud800", "a\0b", "\r\nX-Injected: 1", "\u202e", '"}{'])
def test_any_name_can_be_sent(name: str, server: Server, new_source: NewSource) -> None:
    """Whatever a user is called, the request says exactly that: whether it is a name is for AWS to say."""
    new_source().auth_events(name, "t" * 131_072)
    (headers, body), *rest = server.requests
    assert (json.loads(body)["Username"], "X-Injected" in headers, rest) == (name, False, [])


# -- answers that are none ---------------------------------------------------------------------------------------------------


def reset(handler: Handler) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def silence(handler: Handler) -> None:
    handler.close_connection = True


def half_a_body(handler: Handler) -> None:
    body = json.dumps(GOOD).encode()
    handler.head(200, len(body))
    handler.wfile.write(body[: len(body) // 2])
    handler.close_connection = True


def half_a_head(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Le")
    handler.close_connection = True


def long_head(handler: Handler) -> None:
    handler.give(200, b"{}", X_Long="x" * 2**20)
    handler.close_connection = True


def half_a_chunk(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b'40\r\n{"AuthEvents": [')
    handler.close_connection = True


def no_http(handler: Handler) -> None:
    handler.wfile.write(b"220 mail.example.com ESMTP\r\n\r\n")
    handler.close_connection = True


def drip(handler: Handler) -> None:
    handler.head(200, 1_000_000)
    while not handler.server.ended.wait(0.1):
        handler.wfile.write(b" ")


def endless(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while not handler.server.ended.is_set():
        handler.wfile.write(b" " * 2**20)


def raw(body: bytes, status: int = 200, **headers: str) -> Answer:
    return lambda handler: handler.give(status, body, **headers)


HTML = b"<html><body>Sign in to this network</body></html>"
MUTILATIONS: dict[str, tuple[Answer, Outcome]] = {
    "reset": (reset, Outcome.CONNECTION),
    "silence": (silence, Outcome.CONNECTION),
    "half a body": (half_a_body, Outcome.CONNECTION),
    "half a head": (half_a_head, Outcome.MALFORMED),
    "long head": (long_head, Outcome.CONNECTION),
    "half a chunk": (half_a_chunk, Outcome.CONNECTION),
    "no HTTP": (no_http, Outcome.CONNECTION),
    "hang": (hang, Outcome.TIMEOUT),
    "drip": (drip, Outcome.TIMEOUT),
    "endless": (endless, Outcome.MALFORMED),
    "HTML": (raw(HTML, content_type="text/html"), Outcome.MALFORMED),
    "HTML, 403": (raw(HTML, 403, content_type="text/html"), Outcome.OTHER),
    "HTML, 429": (raw(HTML, 429, content_type="text/html"), Outcome.THROTTLED),
    "HTML, 502": (raw(HTML, 502, content_type="text/html"), Outcome.SERVER_ERROR),
    "gzip": (raw(gzip.compress(json.dumps(GOOD).encode())), Outcome.MALFORMED),
    "gzip that is none": (raw(b"\x1f\x8bnot gzip\xff", Content_Encoding="gzip"), Outcome.MALFORMED),
    "nothing": (raw(b""), Outcome.MALFORMED),
    "nothing, 500": (raw(b"", 500), Outcome.SERVER_ERROR),
    "JSON cut off": (raw(json.dumps(GOOD).encode()[:-2]), Outcome.MALFORMED),
    "no JSON": (raw(b"{'AuthEvents': []}"), Outcome.MALFORMED),
    "no UTF-8": (raw(b'{"AuthEvents": ["\xff"]}'), Outcome.MALFORMED),
    "nested too deep": (raw(b'{"AuthEvents": ' + b"[" * 500_000), Outcome.MALFORMED),
    "a number too long": (raw(b'{"AuthEvents": [{"CreationDate": ' + b"9" * 9999 + b"}]}"), Outcome.MALFORMED),
    "list": (says([]), Outcome.MALFORMED),
    "list, 500": (says([], 500), Outcome.SERVER_ERROR),
    "list, 400": (says([], 400), Outcome.MALFORMED),
    "null": (says(None), Outcome.MALFORMED),
    "text": (says("AuthEvents"), Outcome.MALFORMED),
    "empty structure": (says({}), Outcome.MALFORMED),
    "AuthEvents null": (says({"AuthEvents": None}), Outcome.MALFORMED),
    "AuthEvents text": (says({"AuthEvents": "none"}), Outcome.MALFORMED),
    "AuthEvents number": (says({"AuthEvents": 0}), Outcome.MALFORMED),
    "AuthEvents structure": (says({"AuthEvents": {"0": EVENT}}), Outcome.MALFORMED),
    "AuthEvents twice": (raw(b'{"AuthEvents": [], "AuthEvents": null}'), Outcome.MALFORMED),
    "an error, 200": (says({"__type": "TooManyRequestsException", "message": ""}), Outcome.MALFORMED),
    "no text": (raw(b"\xff\xfe\x00"), Outcome.MALFORMED),
    "number": (says(1e300), Outcome.MALFORMED),
    "token list": (says({"AuthEvents": [], "NextToken": ["t"]}), Outcome.MALFORMED),
    "token number": (says({"AuthEvents": [], "NextToken": 7}), Outcome.MALFORMED),
    "token empty": (says({"AuthEvents": [], "NextToken": ""}), Outcome.MALFORMED),
    "error code number": (says({"__type": 7}, 400), Outcome.MALFORMED),
    "error code number, 500": (says({"__type": 7}, 500), Outcome.SERVER_ERROR),
    "redirect": (raw(b"", 302, Location="https://example.com/"), Outcome.OTHER),
}


@pytest.mark.parametrize("case", MUTILATIONS)
def test_each_mutilation_is_an_outcome(case: str, server: Server, new_source: NewSource, observer: Observer) -> None:
    """Whatever comes instead of an answer is an outcome, after exactly one request of which the observer heard once."""
    server.answer, outcome = MUTILATIONS[case]
    source = new_source(request_timeout=0.5)
    error = failure(lambda: source.auth_events(USERNAME, None))
    assert error.outcome is outcome
    assert len(server.requests) == 1
    assert observer.heard == [("AdminListUserAuthEvents", outcome)]
    assert observer.seconds[0] < 3.0
    server.answer = says(GOOD)
    assert len(source.auth_events(USERNAME, None).events) == 1


def test_nobody_listens(new_source: NewSource, observer: Observer) -> None:
    """An address at which nobody listens is `connection`, and an HTTP attempt."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        error = failure(lambda: new_source(endpoint_url=url).auth_events(USERNAME, None))
    assert error.outcome is Outcome.CONNECTION
    assert observer.heard == [("AdminListUserAuthEvents", Outcome.CONNECTION)]


@pytest.fixture
def proxied(server: Server, new_source: NewSource, monkeypatch: pytest.MonkeyPatch) -> EventSource:
    """Make a source whose requests go through the server as their proxy."""
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("HTTP_PROXY", server.url)
    return new_source(Identity(), endpoint_url="http://cognito.example.com", request_timeout=0.5)


def test_a_proxy_is_used(server: Server, proxied: EventSource, observer: Observer) -> None:
    """Where the environment names a proxy, requests go through it, over one connection."""
    for _ in range(3):
        assert len(proxied.auth_events(USERNAME, None).events) == 1
    assert [headers["Host"] for headers, _ in server.requests] == ["cognito.example.com"] * 3
    assert server.connections == 1
    assert observer.heard == [("AdminListUserAuthEvents", Outcome.OK)] * 3


@pytest.mark.parametrize(
    "case", ["silence", "half a body", "half a chunk", "no HTTP", "hang", "drip", "endless", "no JSON"]
)
def test_what_a_proxy_mutilates_is_an_outcome(
    case: str, server: Server, proxied: EventSource, observer: Observer
) -> None:
    """Answers through a proxy are held to the same bounds, and are the same outcomes."""
    server.answer, outcome = MUTILATIONS[case]
    assert failure(lambda: proxied.auth_events(USERNAME, None)).outcome is outcome
    assert observer.heard == [("AdminListUserAuthEvents", outcome)]
    assert observer.seconds[0] < 3.0


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_a_bundle_that_is_missing(
    variable: str, server: Server, new_source: NewSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whom to trust is read from where boto3 has it; a file that is missing is `connection`, not a matter of credentials."""
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    monkeypatch.setenv(variable, "/nowhere/bundle.pem")
    source = new_source(endpoint_url=server.url.replace("http:", "https:"))
    error = failure(lambda: source.auth_events(USERNAME, None))
    assert (error.outcome, "SSL CA cert" in str(error)) == (Outcome.CONNECTION, True)


@pytest.mark.parametrize("held", ["localhost", "other.example"])
def test_the_bundle_is_trusted(
    held: str, server: Server, new_source: NewSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over TLS, the authorities of boto3's bundle are trusted, for the host that is asked and no other."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    path = certificate(tmp_path, held)
    tls.load_cert_chain(path)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(path))
    source = new_source(endpoint_url=f"https://localhost:{server.server_port}")
    if held == "localhost":
        assert len(source.auth_events(USERNAME, None).events) == 1
    else:
        assert failure(lambda: source.auth_events(USERNAME, None)).outcome is Outcome.CONNECTION
        assert server.requests == []


def test_no_tls(server: Server, new_source: NewSource) -> None:
    """A server without TLS behind an https address is `connection`."""
    source = new_source(endpoint_url=server.url.replace("http:", "https:"))
    assert failure(lambda: source.auth_events(USERNAME, None)).outcome is Outcome.CONNECTION


def test_an_address_that_is_none(new_source: NewSource, observer: Observer) -> None:
    """An endpoint that is no address is `other`, and no HTTP attempt."""
    error = failure(lambda: new_source(endpoint_url="not an address").auth_events(USERNAME, None))
    assert (error.outcome, observer.heard) == (Outcome.OTHER, [])


# -- credentials -------------------------------------------------------------------------------------------------------------


KEYS = "aws_access_key_id = AKIDFILE\naws_secret_access_key = secret\n"
SSO = """
[profile security]
sso_session = s
sso_account_id = 1
sso_role_name = r
[sso-session s]
sso_region = eu-west-1
sso_start_url = https://example.com/start
"""
SET_UPS = {
    "no credentials": (Identity(), None, f"[default]\n{KEYS}"),
    "no profile": (Identity(profile="security"), None, f"[profile security]\n{KEYS}"),
    "half of the keys": (Identity(), "[default]\naws_access_key_id = A\n", f"[default]\n{KEYS}"),
    "a file that is none": (Identity(), "credentials?", f"[default]\n{KEYS}"),
    "a process that is not there": (Identity(), "[default]\ncredential_process = /nowhere/x\n", f"[default]\n{KEYS}"),
    "a process that fails": (Identity(), "[default]\ncredential_process = false\n", f"[default]\n{KEYS}"),
    "no SSO login": (
        Identity(profile="security"),
        SSO,
        f"[profile security]\n{KEYS}",
    ),
}


@pytest.mark.parametrize("case", SET_UPS)
def test_missing_credentials_heal(
    case: str, no_credentials: Path, server: Server, new_source: NewSource, observer: Observer
) -> None:
    """Credentials that are missing are an outcome and no HTTP attempt; once they are there, the next call succeeds."""
    identity, before, after = SET_UPS[case]
    if before is not None:
        no_credentials.write_text(before)
    source = new_source(identity)
    for _ in range(2):
        error = failure(lambda: source.auth_events(USERNAME, None))
        assert error.outcome is Outcome.CREDENTIALS, str(error)
    assert (server.requests, observer.heard) == ([], [])
    no_credentials.write_text(after)
    source.auth_events(USERNAME, None)
    assert "Credential=AKIDFILE/" in server.requests[0][0]["Authorization"]


def test_expired_credentials_heal(no_credentials: Path, server: Server, new_source: NewSource) -> None:
    """Keys that AWS says have expired are read anew, without a restart."""
    no_credentials.write_text(f"[default]\n{KEYS}".replace("AKIDFILE", "AKIDOLD"))
    source = new_source(Identity())
    server.answer = fails("ExpiredTokenException")
    assert failure(lambda: source.auth_events(USERNAME, None)).outcome is Outcome.CREDENTIALS
    no_credentials.write_text(f"[default]\n{KEYS}")
    server.answer = says(GOOD)
    source.auth_events(USERNAME, None)
    used = [headers["Authorization"].split("Credential=")[1].split("/")[0] for headers, _ in server.requests]
    assert used == ["AKIDOLD", "AKIDFILE"]


@pytest.mark.parametrize("identity", [DEMO, Identity(profile="missing", role_arn=ROLE, static=DEMO.static)])
def test_static_keys_beat_all_others(
    identity: Identity, server: Server, new_source: NewSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keys given for the demo are those that sign, whatever the environment and the configuration hold."""
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_PROFILE", "missing")
    new_source(identity).auth_events(USERNAME, None)
    assert "Credential=AKIDSTATIC/" in server.requests[0][0]["Authorization"]
    assert "secret" not in repr(Identity(static=("id", "secret")))


# -- roles -------------------------------------------------------------------------------------------------------------------


AS_ROLE = Identity(role_arn=ROLE, external_id="external-7")


def test_a_role_signs_the_requests(sts: Sts, server: Server, new_source: NewSource, observer: Observer) -> None:
    """The role is assumed once, with the external id, and its keys sign; AssumeRole is an HTTP attempt as well."""
    source = new_source(AS_ROLE)
    for _ in range(3):
        source.auth_events(USERNAME, None)
    assert len(sts.asked) == 1
    assert "ExternalId=external-7" in sts.asked[0]
    assert "RoleSessionName=cognito-auth-exporter" in sts.asked[0]
    for headers, _ in server.requests:
        assert "Credential=ASIAROLE1/" in headers["Authorization"]
        assert headers["X-Amz-Security-Token"] == "role-token"
    assert observer.heard == [("AssumeRole", Outcome.OK), *[("AdminListUserAuthEvents", Outcome.OK)] * 3]


def test_a_role_is_assumed_again_before_its_keys_expire(sts: Sts, server: Server, new_source: NewSource) -> None:
    """Keys about to expire are fetched anew in time, without a failed request."""
    sts.lifetime = timedelta(minutes=5)
    source = new_source(AS_ROLE)
    source.auth_events(USERNAME, None)
    sts.lifetime = timedelta(hours=1)
    source.auth_events(USERNAME, None)
    source.auth_events(USERNAME, None)
    used = [headers["Authorization"].split("Credential=")[1].split("/")[0] for headers, _ in server.requests]
    assert used == ["ASIAROLE1", "ASIAROLE2", "ASIAROLE2"]


@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (400, "Throttling"), (500, "InternalFailure")])
def test_a_role_refused_is_a_matter_of_credentials(
    status: int, code: str, sts: Sts, server: Server, new_source: NewSource, observer: Observer
) -> None:
    """What AWS says to AssumeRole says nothing of Cognito's quota: it is `credentials`, and heals."""
    sts.refusal = status, code
    source = new_source(AS_ROLE)
    error = failure(lambda: source.auth_events(USERNAME, None))
    assert error.outcome is Outcome.CREDENTIALS
    assert str(error) == f"AssumeRole: {code}: {ROLE} may not"
    assert observer.heard == [("AssumeRole", Outcome.CREDENTIALS)]
    assert server.requests == []
    sts.refusal = None
    assert source.auth_events(USERNAME, None).events


def test_those_who_waited_share_a_failure(sts: Sts, new_source: NewSource, caplog: pytest.LogCaptureFixture) -> None:
    """Where AWS hangs at AssumeRole, many calls at once wait one timeout together, not one after the other."""
    caplog.set_level(logging.CRITICAL, "botocore")
    sts.hangs = True
    source = new_source(AS_ROLE, request_timeout=0.5)
    errors: list[FetchError] = []
    calls = [
        threading.Thread(target=lambda: errors.append(failure(lambda: source.auth_events(USERNAME, None))))
        for _ in range(8)
    ]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    assert {error.outcome for error in errors} == {Outcome.TIMEOUT}
    assert (len(errors), len(sts.asked)) == (8, 1)


def test_many_threads_share_one_client(server: Server, new_source: NewSource, observer: Observer) -> None:
    """Calls at the same time are each one request, heard of once, over no more connections than threads."""
    source = new_source()
    calls = [threading.Thread(target=source.auth_events, args=(USERNAME, None)) for _ in range(8)]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    assert len(server.requests) == 8
    assert server.connections <= 8
    assert observer.heard == [("AdminListUserAuthEvents", Outcome.OK)] * 8
