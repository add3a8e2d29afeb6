"""The API of Cognito behind boto3: the calls for one user pool, and errors turned into outcomes."""

import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TypeVar

from botocore import xform_name

from exporter.fetch.answer import event_page, pool_description, user_page
from exporter.fetch.credentials import Connection, Identity, Sessions
from exporter.fetch.exchange import OnRequest
from exporter.fetch.failure import SENTENCES, Exchange
from exporter.fetch.outcome import FetchError, Outcome
from exporter.fetch.source import FULL_PAGE, Caller, EventPage, PoolDescription, UserPage

_T = TypeVar("_T")


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
        sessions: Sessions | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take what the configuration says; `request_timeout`, in seconds, bounds each request and its answer.

        `sessions` are those it shares, `clock` gives epoch seconds.
        """
        self._pool_id = pool_id
        self._endpoint_url = endpoint_url
        self._on_request = on_request
        self._clock = clock
        self._sessions = sessions or Sessions()
        self._shared = self._sessions.lease(identity or Identity(), region, request_timeout)
        self._connecting = threading.Lock()
        self._connection: Connection | None = None
        self._is_closed = False
        self._under_way: dict[int, Exchange] = {}

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

    def describe(self) -> PoolDescription:
        """Return what the pool says of itself."""
        return self._call("DescribeUserPool", {}, pool_description)

    def caller(self) -> Caller:
        """Return who asks, by STS; raises `StandInError` where STS knows nothing of a caller at the pool's endpoint."""
        return self._attempt("GetCallerIdentity", self._shared.caller)

    def sent_at(self) -> float | None:
        """Return when (`time.monotonic`) the oldest request under way was sent to Cognito, None where none has been."""
        exchanges = self._under_way.copy().values()  # in one step, as others are at work
        return min((exchange.sent for exchange in exchanges if exchange.sent is not None), default=None)

    def close(self) -> None:
        """Give connections back; one that is in use is closed when its request ends. Waits for nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.client.close()
        if not self._is_closed:
            self._sessions.give_back(self._shared)
        self._is_closed = True

    # -- one attempt ---------------------------------------------------------------------------------------------------

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _call(self, operation: str, parameters: Mapping[str, object], parse: Callable[[object], _T]) -> _T:
        given = {name: value for name, value in parameters.items() if value is not None}

        def call(connection: Connection) -> _T:
            if "" in given.values():  # all that botocore's own validation could find here
                raise FetchError(Outcome.INVALID_PARAMETER, f"{operation}: {SENTENCES[Outcome.INVALID_PARAMETER]}")
            return parse(getattr(connection.client, xform_name(operation))(UserPoolId=self._pool_id, **given))

        return self._attempt(operation, call)

    def _attempt(self, operation: str, call: Callable[[Connection], _T]) -> _T:
        """Make a call that sends one request at most; tell the observer of it, and raise nothing but `FetchError`."""
        connection: Connection | None = None

        def connected() -> _T:
            nonlocal connection
            connection = self._connected()
            return call(connection)

        def failed(error: FetchError, was_sent: bool) -> None:
            if error.outcome is Outcome.CREDENTIALS:
                self._retire(connection)
                identity = self._shared.identity
                error.key = error.key or (identity.key if was_sent else identity.source_key)

        exchange = Exchange()
        self._under_way[id(exchange)] = exchange
        try:
            return self._shared.attempts.make(operation, self._on_request, connected, failed, exchange)
        finally:
            del self._under_way[id(exchange)]

    # -- the client ----------------------------------------------------------------------------------------------------

    def _connected(self) -> Connection:
        if (connection := self._connection) is not None:
            return connection
        asked_at = self._shared.attempts.monotonic()
        with self._connecting:
            connection = self._connection or self._shared.connect(self._endpoint_url, asked_at)
            self._connection = connection
            return connection

    def _retire(self, connection: Connection | None) -> None:
        """Let the next call look for credentials anew; calls under way keep the client they have."""
        if connection is None:
            return
        self._shared.forget(connection)
        if self._connection is connection:
            self._connection = None
        connection.client.close()
