"""The operations of Cognito that the exporter calls, answered from a world as the service answers them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, islice
from typing import Any

from exporter.event.event import AuthEvent
from exporter.simulator.tokens import START, Position, TokenError, parse_token, token_for
from exporter.simulator.user_filter import FilterError, parse_filter
from exporter.simulator.wire import Answer, wire_event, wire_user
from exporter.simulator.world import Pool, User, World

LARGEST_PAGE = 60


class TokenMode(StrEnum):
    """What a token of AdminListUserAuthEvents says: after which event to go on, as AWS's do, or how many to skip."""

    STABLE = "stable"
    OFFSET = "offset"


class ServiceError(Exception):
    """An error as the service writes it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def status(self) -> int:
        """The HTTP status of the error."""
        return 500 if self.code == "InternalErrorException" else 400


@dataclass(frozen=True, slots=True)
class Listing:
    """Where a paged operation keeps its items and its token, and how it names the page's length."""

    items: str
    token: str
    limit: str


LISTINGS: Mapping[str, Listing] = {
    "AdminListUserAuthEvents": Listing("AuthEvents", "NextToken", "MaxResults"),
    "ListUsers": Listing("Users", "PaginationToken", "Limit"),
    "ListUsersInGroup": Listing("Users", "NextToken", "Limit"),
}


@dataclass(frozen=True, slots=True)
class Call:
    """One request: the operation and its JSON parameters."""

    operation: str
    parameters: Mapping[str, Any]

    @property
    def pool_id(self) -> str | None:
        """The pool it asks about, as it was written."""
        return self.parameters.get("UserPoolId")

    @property
    def username(self) -> str | None:
        """The user it asks about, as it was written."""
        return self.parameters.get("Username")

    @property
    def token(self) -> str | None:
        """The page it asks for, None for the first."""
        listing = LISTINGS.get(self.operation)
        return self.parameters.get(listing.token) if listing else None

    @property
    def limit(self) -> int | None:
        """How many items it asks for at most, None where it does not say."""
        listing = LISTINGS.get(self.operation)
        limit = self.parameters.get(listing.limit) if listing else None
        return limit if isinstance(limit, int) else None

    def text(self, name: str) -> str:
        """Return a required parameter."""
        value = self.parameters.get(name)
        if not isinstance(value, str) or not value:
            raise _invalid(f"1 validation error detected: Value at '{name}' failed to satisfy constraint: not null")
        return value


class Api:
    """The operations over one world; `page_size` makes pages shorter than they were asked to be."""

    def __init__(self, world: World, *, tokens: TokenMode = TokenMode.STABLE, page_size: int = LARGEST_PAGE) -> None:
        self._world = world
        self._tokens = tokens
        self._page_size = page_size
        self._operations: Mapping[str, Callable[[Call, float], Answer]] = {
            "AdminListUserAuthEvents": self._auth_events,
            "ListUsers": self._list_users,
            "ListUsersInGroup": self._list_users_in_group,
            "DescribeUserPool": self._describe_user_pool,
        }

    def answer(self, call: Call, now: float) -> Answer:
        """Return the answer at `now` (epoch seconds), or raise `ServiceError`."""
        operation = self._operations.get(call.operation)
        if operation is None:
            raise ServiceError("UnknownOperationException", "")
        return operation(call, now)

    def foreign_event(self, call: Call, now: float) -> Answer | None:
        """Return the newest auth event of the next user after the one asked about, None where there is none."""
        pool_id, name = call.text("UserPoolId"), call.text("Username")
        user = self._world.user(pool_id, name, now)
        after = user.username if user is not None else name
        for other in chain(self._world.users(pool_id, now, after), self._world.users(pool_id, now)):
            if other.username != after:
                event = next(self._world.history(pool_id, other.username, now), None)
                return None if event is None else wire_event(event)
        return None

    def _auth_events(self, call: Call, now: float) -> Answer:
        name, limit = call.text("Username"), self._limit(call)
        pool = self._pool(call)
        if not pool.is_protected:
            raise ServiceError("UserPoolAddOnNotEnabledException", "Threat protection is not enabled for this pool.")
        user = self._world.user(pool.pool_id, name, now)
        if user is None:
            raise ServiceError("UserNotFoundException", "User does not exist.")
        history = self._world.history(pool.pool_id, user.username, now)
        position = _position(call)
        page = list(islice(_from(history, position), limit + 1))
        answer: Answer = {"AuthEvents": [wire_event(event) for event in page[:limit]]}
        return answer | self._next_events(page, limit, position)

    def _next_events(self, page: list[AuthEvent], limit: int, position: Position) -> Answer:
        if len(page) <= limit:
            return {}
        if self._tokens is TokenMode.OFFSET:
            return {"NextToken": token_for(Position("offset", str(_offset(position) + limit)))}
        return {"NextToken": token_for(Position("after", page[limit - 1].event_id))}

    def _list_users(self, call: Call, now: float) -> Answer:
        pool = self._pool(call)
        try:
            matches = parse_filter(call.parameters.get("Filter") or "")
        except FilterError as error:
            raise _invalid(str(error)) from None
        return self._page_of_users(call, filter(matches, self._users(call, pool, now)))

    def _list_users_in_group(self, call: Call, now: float) -> Answer:
        group, pool = call.text("GroupName"), self._pool(call)
        if not self._world.has_group(pool.pool_id, group):
            raise ServiceError("ResourceNotFoundException", "Group not found.")
        members = (user for user in self._users(call, pool, now) if group in user.groups)
        return self._page_of_users(call, members)

    def _users(self, call: Call, pool: Pool, now: float) -> Iterator[User]:
        return self._world.users(pool.pool_id, now, after=_position(call).value or None)

    def _page_of_users(self, call: Call, users: Iterable[User]) -> Answer:
        limit = self._limit(call)
        page = list(islice(users, limit + 1))
        answer: Answer = {"Users": [wire_user(user) for user in page[:limit]]}
        if len(page) > limit:
            answer[LISTINGS[call.operation].token] = token_for(Position("after", page[limit - 1].username))
        return answer

    def _describe_user_pool(self, call: Call, _now: float) -> Answer:
        pool = self._pool(call)
        region = pool.pool_id.partition("_")[0]
        described: Answer = {
            "Id": pool.pool_id,
            "Name": pool.pool_id,
            "Arn": f"arn:aws:cognito-idp:{region}:111122223333:userpool/{pool.pool_id}",
            "EstimatedNumberOfUsers": self._world.user_count(pool.pool_id),
            "UserPoolTier": "PLUS" if pool.is_protected else "ESSENTIALS",
        }
        if pool.threat_protection is not None:
            described["UserPoolAddOns"] = {"AdvancedSecurityMode": pool.threat_protection}
        return {"UserPool": described}

    def _pool(self, call: Call) -> Pool:
        pool_id = call.text("UserPoolId")
        pool = self._world.pool(pool_id)
        if pool is None:
            raise ServiceError("ResourceNotFoundException", f"User pool {pool_id} does not exist.")
        return pool

    def _limit(self, call: Call) -> int:
        name = LISTINGS[call.operation].limit
        asked = call.parameters.get(name, 0)
        if not isinstance(asked, int) or not 0 <= asked <= LARGEST_PAGE:
            message = f"1 validation error detected: Value '{asked}' at '{name}' failed to satisfy constraint: "
            raise _invalid(f"{message}Member must be between 0 and {LARGEST_PAGE}")
        return min(asked or LARGEST_PAGE, self._page_size)


def _position(call: Call) -> Position:
    try:
        return START if call.token is None else parse_token(call.token)
    except TokenError as error:
        raise _invalid(str(error)) from None


def _offset(position: Position) -> int:
    return int(position.value or 0)


def _from(history: Iterator[AuthEvent], position: Position) -> Iterator[AuthEvent]:
    if position.kind == "offset":
        return islice(history, _offset(position), None)
    if position.kind == "after" and not any(event.event_id == position.value for event in history):
        raise _invalid("Invalid pagination token.")
    return history  # behind the event that `any` stopped at


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidParameterException", message)
