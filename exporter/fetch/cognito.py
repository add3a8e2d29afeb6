"""The API of Cognito behind boto3: clients, credentials, one HTTP attempt a call, and errors turned into outcomes.

No other module knows boto3, botocore or urllib3.
"""

import io
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from http import HTTPStatus
from typing import Any, TypeVar

import boto3
import botocore.session
from botocore import xform_name
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.client import BaseClient
from botocore.config import Config
from botocore.credentials import CredentialProvider, CredentialResolver, DeferredRefreshableCredentials
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    HTTPClientError,
    ParamValidationError,
    ReadTimeoutError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.httpsession import URLLib3Session
from botocore.loaders import Loader, create_loader
from botocore.utils import parse_timestamp
from urllib3.exceptions import HTTPError, ProtocolError
from urllib3.exceptions import TimeoutError as Urllib3TimeoutError
from urllib3.response import BaseHTTPResponse, HTTPResponse

from exporter import __version__
from exporter.fetch.answer import event_page, protection_mode, user_page
from exporter.fetch.outcome import FetchError, Outcome
from exporter.fetch.source import EventPage, UserPage

_T = TypeVar("_T")

OnRequest = Callable[[str, Outcome, float], None]
"""(operation, outcome, seconds): hears of each HTTP attempt once it has ended, in the thread that made it."""

_PAGE = 60  # the most that AdminListUserAuthEvents, ListUsers and ListUsersInGroup give at once
_MOST_BYTES = 16 * 2**20  # a page of 60 events has some 30 kB
_CHUNK = 64 * 1024
_SERVER_FAULT = HTTPStatus.INTERNAL_SERVER_ERROR
_ASSUME_ROLE = "AssumeRole"
_ROLE_SESSION_NAME = "cognito-auth-exporter"
_FAILURE_SHARED = 5.0  # seconds
_LONGEST_MESSAGE = 300

# The codes are those of botocore's service model and of AWS's "Common errors".
_CODES: Mapping[str, Outcome] = {
    code: outcome
    for outcome, codes in {
        Outcome.THROTTLED: (
            *("TooManyRequestsException", "ThrottlingException", "Throttling", "ThrottledException"),
            *("RequestThrottled", "RequestThrottledException", "RequestLimitExceeded", "LimitExceededException"),
            *("BandwidthLimitExceeded", "PriorRequestNotComplete", "SlowDown", "429"),
        ),
        Outcome.USER_NOT_FOUND: ("UserNotFoundException",),
        Outcome.POOL_NOT_FOUND: ("ResourceNotFoundException",),
        Outcome.NOT_AUTHORIZED: ("NotAuthorizedException", "AccessDeniedException", "AccessDenied", "NotAuthorized"),
        Outcome.THREAT_PROTECTION_OFF: ("UserPoolAddOnNotEnabledException", "OperationNotEnabledException"),
        Outcome.INVALID_PARAMETER: (
            *("InvalidParameterException", "ValidationException", "ValidationError", "SerializationException"),
            *("InvalidParameterValue", "InvalidParameterCombination", "MissingParameter"),
        ),
        Outcome.SERVER_ERROR: (
            *("InternalErrorException", "InternalFailure", "InternalServerError", "InternalServerException"),
            *("ServiceUnavailable", "ServiceUnavailableException", "InternalError"),
        ),
        Outcome.CREDENTIALS: (
            *(
                "ExpiredTokenException",
                "ExpiredToken",
                "RequestExpired",
                "RequestTimeTooSkewed",
                "TokenRefreshRequired",
            ),
            *("UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId", "AuthFailure"),
            *("InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature", "OptInRequired"),
            *("MissingAuthenticationToken", "MissingAuthenticationTokenException", "IncompleteSignatureException"),
        ),
    }.items()
    for code in codes
}

# The first class that fits tells; botocore's and urllib3's timeouts are connection errors too.
_CLASSES: tuple[tuple[tuple[type[Exception], ...], Outcome], ...] = (
    ((ParamValidationError,), Outcome.INVALID_PARAMETER),
    ((ConnectTimeoutError, ReadTimeoutError, Urllib3TimeoutError), Outcome.TIMEOUT),
    ((BotoConnectionError, HTTPClientError, HTTPError), Outcome.CONNECTION),
)

# What stops a request before it is sent, and is none of the above, is this machine's set-up: a profile that is missing,
# no keys, a credential process that cannot be run (OSError), refreshed keys that have expired already (RuntimeError).
_SET_UP = (BotoCoreError, OSError, RuntimeError)

_SENTENCES: Mapping[Outcome, str] = {
    Outcome.INVALID_PARAMETER: "the request was not sent, a parameter is not valid",
    Outcome.TIMEOUT: "no whole answer within the request timeout",
    Outcome.CONNECTION: "no connection, or it broke off",
    Outcome.CREDENTIALS: "no usable credentials",
    Outcome.SERVER_ERROR: "the server failed and its answer could not be read",
    Outcome.MALFORMED: "the answer could not be read",
    Outcome.OTHER: "an error that the exporter does not know",
}
_WITH_MESSAGE = frozenset({Outcome.NOT_AUTHORIZED, Outcome.CREDENTIALS})
_CODE = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: boto3's own chain or a profile, and the role it assumes.

    `static`, an access key's id and secret, is for the simulator: it takes the place of all that, of `AWS_PROFILE` and of
    proxies too.
    """

    profile: str | None = None
    role_arn: str | None = None
    external_id: str | None = None
    static: tuple[str, str] | None = field(default=None, repr=False)


@dataclass(slots=True)
class _Exchange:
    """How far one HTTP attempt got: when (monotonic) it was sent, the status once all of the answer was read."""

    sent: float | None = None
    status: int | None = None
    client: BaseClient | None = None


class _Thread(threading.local):
    """The exchange that the calling thread is in."""

    def __init__(self) -> None:
        self.exchange = _Exchange()


class CognitoSource:
    """`exporter.fetch.source.EventSource` over the API of Cognito, for one user pool.

    Nothing is looked up before the first call: credentials that are missing are an outcome of the calls, and are looked
    for again with the next one.
    """

    def __init__(
        self,
        pool_id: str,
        *,
        region: str,
        on_request: OnRequest,
        request_timeout: float,
        connections: int,
        endpoint_url: str | None = None,
        identity: Identity | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take what the configuration says; `request_timeout` in seconds, `connections` how many are kept open.

        `clock` gives epoch seconds, `monotonic` never goes back.
        """
        self._pool_id = pool_id
        self._region = region
        self._endpoint_url = endpoint_url
        self._identity = identity or Identity()
        self._config = _client_config(request_timeout, connections, direct=self._identity.static is not None)
        self._timeout = request_timeout
        self._on_request = on_request
        self._clock = clock
        self._monotonic = monotonic
        self._thread = _Thread()
        self._lock = threading.RLock()
        self._client: BaseClient | None = None

    # -- the protocol --------------------------------------------------------------------------------------------------

    def auth_events(self, username: str, token: str | None) -> EventPage:
        """Return the page at `token` (the first, newest one for None) of the user's history, 60 events at most."""
        parameters = {"Username": username, "MaxResults": _PAGE, "NextToken": token}
        return self._call("AdminListUserAuthEvents", parameters, lambda answer: event_page(answer, self._now()))

    def users(self, filter_expression: str | None, token: str | None) -> UserPage:
        """Return a page of all users of the pool, or of those that the ListUsers filter expression matches."""
        parameters = {"Filter": filter_expression, "Limit": _PAGE, "PaginationToken": token}
        return self._call("ListUsers", parameters, lambda answer: user_page(answer, "PaginationToken", self._now()))

    def users_in_group(self, group: str, token: str | None) -> UserPage:
        """Return a page of the members of a group."""
        parameters = {"GroupName": group, "Limit": _PAGE, "NextToken": token}
        return self._call("ListUsersInGroup", parameters, lambda answer: user_page(answer, "NextToken", self._now()))

    def threat_protection(self) -> str | None:
        """Return the pool's mode in the API's words (`OFF`, `AUDIT`, `ENFORCED`), None where the answer has none."""
        return self._call("DescribeUserPool", {}, protection_mode)

    def close(self) -> None:
        """Give connections back; one that is in use is closed when its request ends."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    # -- one attempt ---------------------------------------------------------------------------------------------------

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _call(self, operation: str, parameters: Mapping[str, object], parse: Callable[[object], _T]) -> _T:
        given = {name: value for name, value in parameters.items() if value is not None}

        def call() -> _T:
            client = self._thread.exchange.client = self._connected()
            return parse(getattr(client, xform_name(operation))(UserPoolId=self._pool_id, **given))

        return self._attempt(operation, call)

    def _attempt(self, operation: str, call: Callable[[], _T]) -> _T:
        """Make a call that sends one request at most; tell the observer of it, and raise nothing but `FetchError`."""
        exchange, outer = _Exchange(), self._thread.exchange
        self._thread.exchange = exchange
        outcome = Outcome.OK
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - whatever an answer makes of a parser is an outcome
            failure = _failure(error, operation, exchange)
            outcome = failure.outcome
            raise failure from None  # the cause may hold a user name
        finally:
            self._thread.exchange = outer
            if outcome is Outcome.CREDENTIALS:
                self._retire(exchange.client)
            if exchange.sent is not None:
                self._on_request(operation, outcome, self._monotonic() - exchange.sent)

    # -- the client ----------------------------------------------------------------------------------------------------

    def _connected(self) -> BaseClient:
        with self._lock:
            if self._client is None:
                self._client = self._new_client()
            return self._client

    def _retire(self, client: BaseClient | None) -> None:
        """Let the next call look for credentials anew; calls under way keep the client they have."""
        with self._lock:
            if self._client is client:
                self._client = None

    def _new_client(self) -> BaseClient:
        session = self._session()
        # Numbers that are dates come as such here, and one bad date is one damaged event: botocore's own parser gives
        # dates in the machine's zone, and refuses the whole page.
        session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_utc)
        client: BaseClient = boto3.Session(botocore_session=session).client(
            "cognito-idp", region_name=self._region, endpoint_url=self._endpoint_url, config=self._config
        )
        return self._guarded(client)

    def _session(self) -> botocore.session.Session:
        """Return a new session that has the credentials of the identity, or finds them when they are first needed."""
        identity = self._identity
        if identity.static is not None:
            session = _new_session(None, session_vars={"profile": (None, None, None, None)})
            session.set_credentials(*identity.static)
            return session
        session = _new_session(identity.profile)
        return session if identity.role_arn is None else self._role_session(identity.role_arn, session)

    def _guarded(self, client: BaseClient) -> BaseClient:
        """Put a client's requests under the bounds that botocore lacks: a size of the answer, a time for all of it."""
        http = client._endpoint.http_session  # type: ignore[attr-defined]  # noqa: SLF001 - no public way leads there
        client.meta.events.register("before-send", partial(self._send, http))  # type: ignore[arg-type]
        return client

    def _send(self, http: URLLib3Session, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        """Send a request in botocore's stead (its `before-send` event) and read the answer within bounds."""
        exchange = self._thread.exchange
        exchange.sent = self._monotonic()
        request.stream_output = True  # botocore leaves the body to us
        response = http.send(request)
        try:
            body = self._read(response.raw, exchange.sent + self._timeout)
        except BaseException:
            response.raw.close()
            raise
        exchange.status = response.status_code
        raw = HTTPResponse(io.BytesIO(body), preload_content=False)
        return AWSResponse(response.url, response.status_code, response.headers, raw)  # type: ignore[arg-type]

    def _read(self, raw: BaseHTTPResponse, deadline: float) -> bytes:
        body = bytearray()
        while chunk := raw.read1(_CHUNK):
            body += chunk
            if len(body) > _MOST_BYTES:
                raise FetchError(Outcome.MALFORMED, f"an answer of more than {_MOST_BYTES} bytes")
            if self._monotonic() > deadline:
                raise Urllib3TimeoutError
        if raw.length_remaining:
            raise ProtocolError
        return bytes(body)

    # -- the role ------------------------------------------------------------------------------------------------------

    def _role_session(self, role_arn: str, source: botocore.session.Session) -> botocore.session.Session:
        """Return a session whose credentials are those of the role, which the source's credentials assume."""
        role = {"RoleArn": role_arn, "RoleSessionName": _ROLE_SESSION_NAME, "ExternalId": self._identity.external_id}
        given = {name: value for name, value in role.items() if value is not None}
        refresh = _SharedFailure(partial(self._role_keys, source, given), self._monotonic)
        session = _new_session(None)
        session.register_component("credential_provider", CredentialResolver([_RoleProvider(refresh)]))
        return session

    def _role_keys(self, source: botocore.session.Session, role: Mapping[str, str]) -> dict[str, str]:
        def call() -> dict[str, str]:
            client = source.create_client("sts", region_name=self._region, config=self._config)
            keys = self._guarded(client).assume_role(**role)["Credentials"]  # type: ignore[attr-defined]
            client.close()
            return {
                "access_key": keys["AccessKeyId"],
                "secret_key": keys["SecretAccessKey"],
                "token": keys["SessionToken"],
                "expiry_time": keys["Expiration"].isoformat(),
            }

        return self._attempt(_ASSUME_ROLE, call)


class _RoleProvider(CredentialProvider):
    """Gives botocore the credentials of a role, fetched at the first signature and again before they expire."""

    METHOD = "assume-role"

    def __init__(self, refresh: Callable[[], dict[str, str]]) -> None:
        super().__init__()
        self._refresh = refresh

    def load(self) -> DeferredRefreshableCredentials:
        return DeferredRefreshableCredentials(refresh_using=self._refresh, method=self.METHOD)


class _SharedFailure:
    """Fetches credentials; threads that waited behind an attempt that failed share its failure, not a timeout each."""

    def __init__(self, fetch: Callable[[], dict[str, str]], monotonic: Callable[[], float]) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._failure: tuple[float, FetchError] | None = None

    def __call__(self) -> dict[str, str]:
        if self._failure is not None and self._monotonic() < self._failure[0] + _FAILURE_SHARED:
            raise FetchError(self._failure[1].outcome, str(self._failure[1]))
        try:
            return self._fetch()
        except FetchError as error:
            self._failure = self._monotonic(), error
            raise


# -- sessions ----------------------------------------------------------------------------------------------------------


@cache
def _models() -> Loader:
    """Return the loader of AWS's service models; a session with one of its own reads 12 MB anew at each rebuild."""
    return create_loader()


def _new_session(profile: str | None, **more: Any) -> botocore.session.Session:
    session = botocore.session.Session(profile=profile, **more)
    session.register_component("data_loader", _models())
    return session


def _client_config(request_timeout: float, connections: int, *, direct: bool) -> Config:
    return Config(
        connect_timeout=request_timeout,
        read_timeout=request_timeout,
        max_pool_connections=connections,
        retries={"total_max_attempts": 1, "mode": "standard"},  # a hidden retry would spend quota that no budget sees
        tcp_keepalive=True,
        proxies={} if direct else None,  # None takes those of the environment
        user_agent_extra=f"cognito-auth-exporter/{__version__}",
    )


def _utc(value: Any) -> datetime | None:
    """Return the date that a JSON value is, in UTC; None for what is none."""
    try:
        return datetime.fromtimestamp(value, UTC) if isinstance(value, int | float) else parse_timestamp(value)
    except (ValueError, TypeError, ArithmeticError, OSError, RuntimeError):
        return None


# -- errors to outcomes ------------------------------------------------------------------------------------------------


def _failure(error: Exception, operation: str, exchange: _Exchange) -> FetchError:
    """Return what an error means. Its text holds no user name or address: those of boto3 quote parameters."""
    if isinstance(error, FetchError):
        return error
    if isinstance(error, ClientError):
        return _refusal(error, operation)
    outcome = next((outcome for classes, outcome in _CLASSES if isinstance(error, classes)), None)
    outcome = outcome or _unforeseen(error, exchange)
    return FetchError(outcome, f"{operation}: {_SENTENCES[outcome]} ({type(error).__name__})")


def _unforeseen(error: Exception, exchange: _Exchange) -> Outcome:
    """Return the outcome by how far the exchange got: after a whole answer, only its content can be wrong."""
    if exchange.status is not None:
        return Outcome.SERVER_ERROR if exchange.status >= _SERVER_FAULT else Outcome.MALFORMED
    if exchange.sent is None and isinstance(error, _SET_UP):
        return Outcome.CREDENTIALS
    return Outcome.OTHER


def _refusal(error: ClientError, operation: str) -> FetchError:
    """Return what AWS's own error means; one of another operation came while boto3 looked for credentials."""
    details: Mapping[str, Any] = error.response.get("Error", {})
    code = str(details.get("Code", ""))
    about_credentials = operation == _ASSUME_ROLE or error.operation_name != operation
    outcome = Outcome.CREDENTIALS if about_credentials else _outcome_of(code, error)
    text = f"{error.operation_name}: {code if _CODE.fullmatch(code) else 'an error without a code'}"
    if outcome in _WITH_MESSAGE:  # it names roles and actions, no user of the pool
        text += f": {details.get('Message', '')}".encode(errors="replace").decode()
    elif outcome is Outcome.POOL_NOT_FOUND and operation == "ListUsersInGroup":
        text += "; the group, or the pool itself, does not exist"
    return FetchError(outcome, " ".join(text.split())[:_LONGEST_MESSAGE])


def _outcome_of(code: str, error: ClientError) -> Outcome:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return _CODES.get(code) or (Outcome.SERVER_ERROR if status >= _SERVER_FAULT else Outcome.OTHER)
