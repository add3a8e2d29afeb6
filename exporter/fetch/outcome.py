"""The closed set of what can come of asking AWS: the `outcome` label of the metrics."""

from enum import StrEnum


class Outcome(StrEnum):
    """What came of one request, or of one poll."""

    OK = "ok"
    THROTTLED = "throttled"
    USER_NOT_FOUND = "user_not_found"
    POOL_NOT_FOUND = "pool_not_found"
    NOT_AUTHORIZED = "not_authorized"
    THREAT_PROTECTION_OFF = "threat_protection_off"
    INVALID_PARAMETER = "invalid_parameter"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    MALFORMED = "malformed"
    CREDENTIALS = "credentials"
    OTHER = "other"


class FetchError(Exception):
    """A request that gave no usable answer.

    `outcome` says which kind; the text says what AWS or the connection said, free of user names and addresses. `key` is the
    key of the pool's configuration that it is about (`credentials.role_arn`), empty where it is about none.
    """

    def __init__(self, outcome: Outcome, message: str, key: str = "") -> None:
        super().__init__(message)
        self.outcome = outcome
        self.key = key


class StandInError(FetchError):
    """STS was not asked who calls: the pool is at a stand-in for Cognito, and AWS would not know of its accounts."""

    def __init__(self) -> None:
        super().__init__(Outcome.OTHER, "STS is not asked about a stand-in for AWS")
