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

    `outcome` says which kind; the text says what AWS or the connection said, free of user names and addresses.
    """

    def __init__(self, outcome: Outcome, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome
