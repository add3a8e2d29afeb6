"""The API of Cognito behind boto3: clients, credentials, one HTTP attempt a call, and errors turned into outcomes.

No other module knows boto3 or botocore.
"""

import json
import os
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
import botocore
import botocore.session
from botocore import xform_name
from botocore.awsrequest import AWSRequest, create_request_object
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
from botocore.httpsession import ProxyConfiguration, get_cert_path
from botocore.loaders import Loader, create_loader
from botocore.model import OperationModel
from botocore.parsers import create_parser
from botocore.signers import RequestSigner
from botocore.utils import get_environ_proxies

from exporter import __version__
from exporter.fetch.answer import event_page, protection_mode, user_page
from exporter.fetch.curl import Answer, Curl, NoAnswer
from exporter.fetch.outcome import FetchError, Outcome
from exporter.fetch.source import FULL_PAGE, EventPage, UserPage

_T = TypeVar("_T")

OnRequest = Callable[[str, Outcome, float], None]
"""(operation, outcome, seconds): hears of each HTTP attempt once it has ended, in the thread that made it."""

_USER_AGENT = f"cognito-auth-exporter/{__version__} Boto3/{boto3.__version__} Botocore/{botocore.__version__}"
_CLIENT_CONFIG = Config(
    retries={"total_max_attempts": 1, "mode": "standard"},  # a hidden retry would spend quota that no budget sees
    user_agent=_USER_AGENT,  # put together anew for each request otherwise, for 0.01 ms
    parameter_validation=False,  # 0.01 ms for each request too; `CognitoSource._call` checks what could be wrong
)
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

# What befalls boto3's own look-up of credentials. The first class that fits tells: timeouts are connection errors too.
_CLASSES: tuple[tuple[tuple[type[Exception], ...], Outcome], ...] = (
    ((ParamValidationError,), Outcome.INVALID_PARAMETER),
    ((ConnectTimeoutError, ReadTimeoutError), Outcome.TIMEOUT),
    ((BotoConnectionError, HTTPClientError), Outcome.CONNECTION),
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
        endpoint_url: str | None = None,
        identity: Identity | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take what the configuration says; `request_timeout`, in seconds, bounds each request and its answer.

        `clock` gives epoch seconds, `monotonic` never goes back.
        """
        self._pool_id = pool_id
        self._region = region
        self._endpoint_url = endpoint_url
        self._identity = identity or Identity()
        self._direct = self._identity.static is not None
        self._timeout = request_timeout
        self._on_request = on_request
        self._clock = clock
        self._monotonic = monotonic
        self._thread = _Thread()
        self._lock = threading.RLock()
        self._client: BaseClient | None = None

    # -- the protocol --------------------------------------------------------------------------------------------------

    def auth_events(self, username: str, token: str | None, limit: int = FULL_PAGE) -> EventPage:
        """Return the page at `token` (the first, newest one for None) of the user's history: `limit` events, 60 at most."""
        parameters = {"Username": username, "MaxResults": limit, "NextToken": token}
        return self._call("AdminListUserAuthEvents", parameters, lambda answer: event_page(answer, self._now()))

    def users(self, filter_expression: str | None, token: str | None) -> UserPage:
        """Return a page of all users of the pool, or of those that the ListUsers filter expression matches."""
        parameters = {"Filter": filter_expression, "Limit": FULL_PAGE, "PaginationToken": token}
        return self._call("ListUsers", parameters, lambda answer: user_page(answer, "PaginationToken", self._now()))

    def users_in_group(self, group: str, token: str | None) -> UserPage:
        """Return a page of the members of a group."""
        parameters = {"GroupName": group, "Limit": FULL_PAGE, "NextToken": token}
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
            if "" in given.values():  # all that botocore's own validation could find here
                raise FetchError(Outcome.INVALID_PARAMETER, f"{operation}: {_SENTENCES[Outcome.INVALID_PARAMETER]}")
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
        client: BaseClient = boto3.Session(botocore_session=session).client(
            "cognito-idp", region_name=self._region, endpoint_url=self._endpoint_url, config=_CLIENT_CONFIG
        )
        return self._guarded(client, session)

    def _session(self) -> botocore.session.Session:
        """Return a new session that has the credentials of the identity, or finds them when they are first needed."""
        identity = self._identity
        if identity.static is not None:
            session = _new_session(None, session_vars={"profile": (None, None, None, None)})
            session.set_credentials(*identity.static)
            return session
        session = _new_session(identity.profile)
        return session if identity.role_arn is None else self._role_session(identity.role_arn, session)

    def _guarded(self, client: BaseClient, session: botocore.session.Session) -> BaseClient:
        """Take a client's requests over once they are built: under bounds that botocore lacks, and at a lower price."""
        curl = self._new_curl(client.meta.endpoint_url, session)
        # No public way leads to what the client closes; its own connections have never been used.
        client._endpoint.http_session = curl  # type: ignore[attr-defined]  # noqa: SLF001
        client.meta.events.register_last("before-call", partial(self._exchanged, curl))  # type: ignore[arg-type]
        return client

    def _new_curl(self, url: str, session: botocore.session.Session) -> Curl:
        """Return what trusts whom botocore would, and goes by the proxy that it would go by."""
        proxies = {} if self._direct else get_environ_proxies(url)
        proxy = ProxyConfiguration(proxies).proxy_url_for(url)
        bundle = session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE") or get_cert_path(True)
        return Curl(timeout=self._timeout, ca_file=str(bundle), proxy=proxy)

    def _exchanged(
        self,
        curl: Curl,
        *,
        model: OperationModel,
        params: Mapping[str, Any],
        request_signer: RequestSigner,
        **_: object,
    ) -> tuple[Answer, Any]:
        """Sign a request, send it and read the answer, in botocore's stead: its `before-call` event, which may answer.

        What botocore does itself from here on is for retries, streams, shapes, and those who listen at its other events;
        it took 0.1 ms of a call's 0.6 ms of processor time, and 0.9 of 2.0 where a page has 60 events.
        """
        request = create_request_object(params)
        request_signer.sign(model.name, request)
        answer = self._send(curl, request)
        return answer, _content(model, answer)

    def _send(self, curl: Curl, request: AWSRequest) -> Answer:
        # JSON is bytes already; to prepare a request takes 0.02 ms, most of it for headers that forget upper and lower case
        body = request.data if isinstance(request.data, bytes) else _bytes(request.prepare().body)
        headers = {name: _bytes(value) for name, value in request.headers.items()}
        exchange = self._thread.exchange
        exchange.sent = self._monotonic()
        answer = curl.post(str(request.url), body, headers)
        exchange.status = answer.status_code
        return answer

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
            client = source.create_client("sts", region_name=self._region, config=_CLIENT_CONFIG)
            keys = self._guarded(client, source).assume_role(**role)["Credentials"]  # type: ignore[attr-defined]
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


# -- the exchange ------------------------------------------------------------------------------------------------------


def _bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def _content(model: OperationModel, answer: Answer) -> Any:
    """Return what an answer holds: JSON as it is, whose kinds and dates `answer` checks; the rest as botocore reads it.

    botocore's own walk along the shapes takes most of that 0.9 ms, and refuses a page for one entry.
    """
    protocol = model.service_model.resolved_protocol
    if protocol == "json" and answer.status_code == HTTPStatus.OK:
        return json.loads(answer.body)
    # Of an error's head these protocols read the id of the request, which nobody wants to know.
    whole = {"status_code": answer.status_code, "headers": {}, "body": answer.body}
    return create_parser(protocol).parse(whole, model.output_shape)  # type: ignore[arg-type] # it may be None


# -- errors to outcomes ------------------------------------------------------------------------------------------------


def _failure(error: Exception, operation: str, exchange: _Exchange) -> FetchError:
    """Return what an error means. Its text holds no user name or address: those of boto3 quote parameters."""
    if isinstance(error, FetchError):
        return error
    if isinstance(error, ClientError):
        return _refusal(error, operation)
    if isinstance(error, NoAnswer):
        return FetchError(error.outcome, f"{operation}: {_SENTENCES[error.outcome]} ({error})")
    outcome = _by_class(error) or _unforeseen(error, exchange)
    return FetchError(outcome, f"{operation}: {_SENTENCES[outcome]} ({type(error).__name__})")


def _by_class(error: Exception) -> Outcome | None:
    return next((outcome for classes, outcome in _CLASSES if isinstance(error, classes)), None)


def _unforeseen(error: Exception, exchange: _Exchange) -> Outcome:
    """Return the outcome by how far the exchange got: after a whole answer, only its content can be wrong."""
    if exchange.status is not None:
        return Outcome.SERVER_ERROR if exchange.status >= _SERVER_FAULT else Outcome.MALFORMED
    set_up = exchange.sent is None and isinstance(error, _SET_UP)
    return Outcome.CREDENTIALS if set_up else Outcome.OTHER


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
