"""The faults, as a real boto3 client meets them."""

from collections import Counter

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    PaginationError,
    ReadTimeoutError,
)
from mypy_boto3_cognito_idp import CognitoIdentityProviderClient
from mypy_boto3_cognito_idp.type_defs import AdminListUserAuthEventsResponseTypeDef

from exporter.simulator.faults import Faults, Kind, Quota
from exporter.simulator.operations import Call
from exporter.simulator.world import ScriptedWorld, auth_event
from tests.simulator.conftest import NOON, POOL, Connect, Serve

EVENTS = Call("AdminListUserAuthEvents", {"UserPoolId": POOL, "Username": "alice"})
EVERY_ANSWER = [EVENTS, Call("ListUsers", {"UserPoolId": POOL}), Call("DescribeUserPool", {"UserPoolId": POOL})]


@pytest.fixture
def faults() -> Faults:
    """Return faults that are still none."""
    return Faults()


@pytest.fixture
def client(world: ScriptedWorld, faults: Faults, serve: Serve, connect: Connect) -> CognitoIdentityProviderClient:
    """Return a client of a simulator with these faults, where alice has three events in pages of two."""
    for number in range(3):
        world.add_event(POOL, "alice", auth_event(NOON - number))
    return connect(serve(world, faults=faults, page_size=2))


def ask(client: CognitoIdentityProviderClient) -> AdminListUserAuthEventsResponseTypeDef:
    """Ask for alice's first page."""
    return client.admin_list_user_auth_events(UserPoolId=POOL, Username="alice")


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [
        (Kind.THROTTLE, "TooManyRequestsException", 400),
        (Kind.SERVER_ERROR, "InternalErrorException", 500),
        *(
            (code, code, 400)
            for code in (
                *("ThrottlingException", "AccessDeniedException", "ExpiredTokenException", "NotAuthorizedException"),
                *("UnrecognizedClientException", "UserPoolAddOnNotEnabledException", "UserNotFoundException"),
            )
        ),
    ],
)
def test_errors_reach_boto3(
    client: CognitoIdentityProviderClient, faults: Faults, kind: str, code: str, status: int
) -> None:
    """An injected error is raised with its code and status, and the next request is well."""
    faults.inject(kind, requests=1)
    with pytest.raises(ClientError) as caught:
        ask(client)
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert len(ask(client)["AuthEvents"]) == 2


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (Kind.RESET, ConnectionClosedError),
        (Kind.HANG, ReadTimeoutError),
    ],
)
def test_broken_connections_reach_boto3(
    client: CognitoIdentityProviderClient,
    faults: Faults,
    kind: Kind,
    error: type[Exception],
) -> None:
    """A broken connection is raised as what it is, and the next request is well."""
    faults.inject(kind, requests=1)
    with pytest.raises(error):
        ask(client)
    assert len(ask(client)["AuthEvents"]) == 2


@pytest.mark.parametrize("kind", [Kind.HALF_BODY, Kind.HTML, Kind.NOT_JSON])
def test_broken_bodies_reach_boto3(client: CognitoIdentityProviderClient, faults: Faults, kind: Kind) -> None:
    """A body that is not an answer passes through botocore as a good answer without `AuthEvents`; the next is well."""
    faults.inject(kind, requests=1)
    assert ask(client).keys() == {"ResponseMetadata"}
    assert len(ask(client)["AuthEvents"]) == 2


def test_a_body_that_is_not_its_gzip(client: CognitoIdentityProviderClient, faults: Faults) -> None:
    """An encoding that botocore did not ask for is not undone, and raises what its decoder raised."""
    faults.inject(Kind.GZIP_GARBAGE, requests=1)
    with pytest.raises(UnicodeDecodeError):
        ask(client)
    assert len(ask(client)["AuthEvents"]) == 2


@pytest.mark.parametrize(("kind", "member"), [(Kind.NO_EVENT_ID, "EventId"), (Kind.NO_CREATION_DATE, "CreationDate")])
def test_members_go_missing(client: CognitoIdentityProviderClient, faults: Faults, kind: Kind, member: str) -> None:
    """One event of the page lacks a member; the others are whole."""
    faults.inject(kind, requests=1)
    assert [member in event for event in ask(client)["AuthEvents"]] == [False, True]


def test_a_slow_answer_is_still_right(client: CognitoIdentityProviderClient, faults: Faults) -> None:
    """A delay is shorter or longer than the client's patience, and combines with other faults."""
    slow = faults.inject(Kind.SLOW, seconds=0.01)
    assert len(ask(client)["AuthEvents"]) == 2
    faults.inject(Kind.THROTTLE, requests=1)
    with pytest.raises(client.exceptions.TooManyRequestsException):
        ask(client)
    assert slow.struck == 2
    faults.withdraw(slow)
    faults.inject(Kind.SLOW, seconds=60)
    with pytest.raises(ReadTimeoutError):
        ask(client)


def test_a_repeated_token(client: CognitoIdentityProviderClient, faults: Faults) -> None:
    """A page that repeats the token it was asked with is what boto3's paginator gives up at."""
    fault = faults.inject(Kind.REPEATED_TOKEN)
    pages = client.get_paginator("admin_list_user_auth_events").paginate(UserPoolId=POOL, Username="alice")
    with pytest.raises(PaginationError):
        list(pages)
    assert fault.struck == 1


def test_empty_pages_lose_nothing(client: CognitoIdentityProviderClient, faults: Faults) -> None:
    """Empty pages, several in a row and at the start too, lead on to every event, under new tokens."""
    faults.inject(Kind.EMPTY_PAGE, requests=3)
    pages = client.get_paginator("admin_list_user_auth_events").paginate(UserPoolId=POOL, Username="alice")
    assert [len(page["AuthEvents"]) for page in pages] == [0, 0, 0, 2, 1]


def test_faults_for_one() -> None:
    """A fault for one operation, user or pool leaves all others alone."""
    faults = Faults()
    fault = faults.inject(Kind.RESET, operation="ListUsers", pool_id=POOL)
    assert [faults.strike(call, 0.0)[1] for call in EVERY_ANSWER] == [None, fault, None]
    faults.clear()
    fault = faults.inject("AccessDeniedException", username="alice")
    assert [faults.strike(call, 0.0)[1] for call in EVERY_ANSWER] == [fault, None, None]
    faults.clear()
    faults.inject(Kind.RESET, pool_id="eu-west-1_Other")
    assert [faults.strike(call, 0.0)[1] for call in EVERY_ANSWER] == [None, None, None]


def test_faults_strike_by_chance() -> None:
    """A probability is the share of requests that are struck, and a seed makes it repeatable."""
    runs = []
    for _ in range(2):
        faults = Faults(seed=3)
        faults.inject("throttle", probability=0.1)
        runs.append([faults.strike(EVENTS, 0.0)[1] is not None for _ in range(2000)])
    assert runs[0] == runs[1]
    assert 150 < Counter(runs[0])[True] < 250


def test_a_fault_strikes_so_many_requests() -> None:
    """`requests` counts only those that were struck."""
    faults = Faults()
    fault = faults.inject(Kind.THROTTLE, requests=2, operation="ListUsers")
    struck = [faults.strike(call, 0.0)[1] is fault for _ in range(3) for call in EVERY_ANSWER]
    assert struck == [False, True, False, False, True, False, False, False, False]


def test_the_quota_is_shared_and_refills() -> None:
    """A quota lets a second's requests through at once, whatever they ask, and then so many a second."""
    faults = Faults(quota_per_second=2)
    assert [faults.strike(call, 0.0)[1] is None for call in EVERY_ANSWER] == [True, True, False]
    assert [faults.strike(EVENTS, 0.5)[1] is None for _ in range(2)] == [True, False]
    assert [faults.strike(EVENTS, 60.0)[1] is None for _ in range(3)] == [True, True, False]
    faults.set_quota(None)
    assert faults.strike(EVENTS, 60.0)[1] is None


def test_a_small_quota_admits_its_share() -> None:
    """Less than one request a second is still some."""
    quota = Quota(0.1)
    assert sum(quota.admits(float(second)) for second in range(100)) == 10


def test_the_quota_throttles_boto3(client: CognitoIdentityProviderClient, faults: Faults) -> None:
    """Beyond the quota, boto3 sees what the service says."""
    faults.set_quota(1)
    ask(client)
    with pytest.raises(client.exceptions.TooManyRequestsException):
        ask(client)
