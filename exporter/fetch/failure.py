"""What an error of botocore, of the connection or of AWS means: an outcome, and a text free of user names and addresses."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    HTTPClientError,
    ParamValidationError,
    ReadTimeoutError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError

from exporter.fetch.curl import NoAnswer
from exporter.fetch.outcome import FetchError, Outcome

_SERVER_FAULT = HTTPStatus.INTERNAL_SERVER_ERROR
_LONGEST_MESSAGE = 300
ASSUME_ROLE = "AssumeRole"
LOOK_UP = "the look-up of credentials"
"""Stands in the place of an operation where boto3 looks for credentials by itself."""
_LOOK_UPS = frozenset({ASSUME_ROLE, "AssumeRoleWithWebIdentity"})

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
SET_UP = (BotoCoreError, OSError, RuntimeError)

SENTENCES: Mapping[Outcome, str] = {
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


@dataclass(slots=True)
class Exchange:
    """How far one HTTP attempt got: when (monotonic) it was sent, the status once all of the answer was read."""

    sent: float | None = None
    status: int | None = None


def failure_of(error: Exception, operation: str, exchange: Exchange) -> FetchError:
    """Return what an error means. Its text holds no user name or address: those of boto3 quote parameters."""
    if isinstance(error, FetchError):
        return error
    if isinstance(error, ClientError):
        return _refusal(error, operation)
    if isinstance(error, NoAnswer):
        return FetchError(error.outcome, f"{operation}: {SENTENCES[error.outcome]} ({error})")
    outcome = _by_class(error) or _unforeseen(error, exchange)
    return FetchError(outcome, f"{operation}: {SENTENCES[outcome]} ({type(error).__name__})")


def _by_class(error: Exception) -> Outcome | None:
    return next((outcome for classes, outcome in _CLASSES if isinstance(error, classes)), None)


def _unforeseen(error: Exception, exchange: Exchange) -> Outcome:
    """Return the outcome by how far the exchange got: after a whole answer, only its content can be wrong."""
    if exchange.status is not None:
        return Outcome.SERVER_ERROR if exchange.status >= _SERVER_FAULT else Outcome.MALFORMED
    set_up = exchange.sent is None and isinstance(error, SET_UP)
    return Outcome.CREDENTIALS if set_up else Outcome.OTHER


def _refusal(error: ClientError, operation: str) -> FetchError:
    """Return what AWS's own error means; one of another operation came while boto3 looked for credentials."""
    details: Mapping[str, Any] = error.response.get("Error", {})
    code = _code_of(error)
    about_credentials = operation in _LOOK_UPS or error.operation_name != operation
    outcome = Outcome.CREDENTIALS if about_credentials else _outcome_of(code, error)
    text = f"{error.operation_name}: {code if _CODE.fullmatch(code) else 'an error without a code'}"
    if outcome in _WITH_MESSAGE:  # it names roles and actions, no user of the pool
        text += f": {details.get('Message', '')}".encode(errors="replace").decode()
    elif outcome is Outcome.POOL_NOT_FOUND and operation == "ListUsersInGroup":
        text += "; the group, or the pool itself, does not exist"
    return FetchError(outcome, _on_one_line(text)[:_LONGEST_MESSAGE])


def _on_one_line(text: str) -> str:
    """Return a server's words without what a terminal or a page would obey."""
    return "".join(each if each.isprintable() else "\ufffd" for each in " ".join(text.split()))


def _outcome_of(code: str, error: ClientError) -> Outcome:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return _CODES.get(code) or (Outcome.SERVER_ERROR if status >= _SERVER_FAULT else Outcome.OTHER)


def refuses_keys(error: Exception) -> bool:
    """Tell whether AWS refused the keys that signed a request, not what was asked with them."""
    return isinstance(error, ClientError) and _CODES.get(_code_of(error)) is Outcome.CREDENTIALS


def _code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
