"""The faults, as a real boto3 client meets them."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

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
from exporter.simulator.operations import Api, Call
from exporter.simulator.reply import spoilt
from exporter.simulator.strange import Draft, missing_member
from exporter.simulator.wire import Answer, wire_event
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


def page_of(world: ScriptedWorld, kind: Kind, **parameters: object) -> dict[str, Any]:
    """Return alice's page as a fault shows it."""
    call = Call("AdminListUserAuthEvents", {"UserPoolId": POOL, "Username": "alice", **parameters})
    api = Api(world)
    reply = spoilt(kind, Draft(call, api.answer(call, NOON), lambda: api.foreign_event(call, NOON)))
    page: dict[str, Any] = json.loads(reply.body)
    return page


@pytest.fixture
def events(world: ScriptedWorld) -> list[Answer]:
    """Return alice's 80 events, newest first: the second is in progress."""
    for number in range(80):
        response = "InProgress" if number == 1 else "Pass"
        world.add_event(POOL, "alice", auth_event(NOON - 10 * number, response=response))
    return [wire_event(event) for event in world.history(POOL, "alice", NOON)]


@pytest.mark.parametrize(
    ("kind", "look", "seen"),
    [
        (Kind.YEAR_9999, lambda event: datetime.fromtimestamp(event["CreationDate"], UTC).year, 9999),
        (Kind.BEFORE_1970, lambda event: event["CreationDate"] < 0, True),
        (Kind.LONG_CITY, lambda event: len(event["EventContextData"]["City"]), 1_000_000),
    ],
)
def test_members_of_the_newest_event_are_strange(
    world: ScriptedWorld, events: list[Answer], kind: Kind, look: Callable[[Answer], object], seen: object
) -> None:
    """The newest event of a page has the strange member, and the other events are as they are."""
    newest, *others = page_of(world, kind)["AuthEvents"]
    assert look(newest) == seen
    assert others == events[1:60]


def test_members_of_all_types_are_wrong(world: ScriptedWorld) -> None:
    """Each event has one member of a wrong type, always the same one, and many events show every wrong type."""
    wrong: dict[str, Answer] = {}
    for number in range(300):
        event = world.add_event(POOL, "alice", auth_event(NOON - 1000 + number))
        (first, *_), (again, *_) = (page_of(world, Kind.WRONG_TYPE, MaxResults=2)["AuthEvents"] for _ in range(2))
        assert first == again
        changed = {name: value for name, value in first.items() if value != wire_event(event).get(name)}
        assert len(changed) == 1
        wrong[json.dumps(changed)] = changed
    assert len(wrong) == 17
    assert {name for changed in wrong.values() for name in changed} == {
        *("EventId", "EventType", "CreationDate", "EventResponse", "EventRisk"),
        *("ChallengeResponses", "EventContextData", "EventFeedback"),
    }


def test_each_event_lacks_a_member(world: ScriptedWorld, events: list[Answer]) -> None:
    """Each event lacks the member that is told of it, which is neither its id nor its date."""
    shown = page_of(world, Kind.MISSING_MEMBER)["AuthEvents"]
    assert [whole.keys() - event.keys() for whole, event in zip(events[:60], shown, strict=True)] == [
        {missing_member(event)} for event in events[:60]
    ]
    assert len({missing_member(event) for event in events}) == 5


@pytest.mark.parametrize("limit", [1, 2, 3, 10, 60])
@pytest.mark.parametrize("kind", [Kind.DUPLICATES, Kind.TWO_VERSIONS, Kind.FOREIGN_EVENT])
@pytest.mark.usefixtures("events")
def test_pages_that_show_more_hide_nothing(world: ScriptedWorld, kind: Kind, limit: int) -> None:
    """What an odd page shows besides its own leaves the page as long as it may be, and its token leads to the rest."""
    world.add_user(POOL, "bob")
    foreign = world.add_event(POOL, "bob", auth_event(NOON - 5)).event_id
    alone = {event.event_id for event in world.history(POOL, "alice", NOON)}
    seen: set[str] = set()
    more: dict[str, object] = {}
    while True:
        page = page_of(world, kind, MaxResults=limit, **more)
        assert 0 < len(page["AuthEvents"]) <= limit
        seen.update(event["EventId"] for event in page["AuthEvents"])
        if "NextToken" not in page:
            break
        more = {"NextToken": page["NextToken"]}
    assert seen - {foreign} == alone
    assert (foreign in seen) == (kind is Kind.FOREIGN_EVENT and limit > 1)


def test_duplicates(world: ScriptedWorld, events: list[Answer]) -> None:
    """Each event of the page stands there twice."""
    shown = page_of(world, Kind.DUPLICATES)["AuthEvents"]
    assert shown == [event for event in events[:30] for _ in range(2)]


def test_an_event_in_two_versions(world: ScriptedWorld, events: list[Answer]) -> None:
    """The newest event that has ended comes with another country, as it is, and as if it had not ended."""
    world.remove_event(POOL, events[0]["EventId"])  # so that the newest is in progress
    shown = page_of(world, Kind.TWO_VERSIONS)["AuthEvents"]
    assert [shown[0], shown[2]] == events[1:3]
    assert {each["EventId"] for each in shown[1:4]} == {events[2]["EventId"]}
    assert shown[1]["EventContextData"]["Country"] == "Atlantis"
    assert shown[3]["EventResponse"] == "InProgress"
    assert shown[4:] == events[3:59]


@pytest.mark.parametrize(("age", "place"), [(-5, 0), (15, 2), (575, 58), (585, None), (9999, None)])
def test_a_foreign_event_stands_where_it_belongs(
    world: ScriptedWorld, events: list[Answer], age: float, place: int | None
) -> None:
    """Another user's event stands by its date in the one page that would show it, and in no other."""
    world.add_user(POOL, "bob")
    foreign = wire_event(world.add_event(POOL, "bob", auth_event(NOON - age)))
    shown = page_of(world, Kind.FOREIGN_EVENT)["AuthEvents"]
    assert shown == (events[:60] if place is None else [*events[:place], foreign, *events[place:59]])


def test_an_overfull_page(world: ScriptedWorld, events: list[Answer]) -> None:
    """A page has more events than anybody can ask for, none of them new."""
    shown = page_of(world, Kind.OVERFULL_PAGE, MaxResults=50)["AuthEvents"]
    assert shown == events[:50] * 21


@pytest.mark.parametrize("kind", [Kind.DUPLICATES, Kind.TWO_VERSIONS, Kind.FOREIGN_EVENT, Kind.OVERFULL_PAGE])
def test_nothing_is_made_of_nothing(world: ScriptedWorld, kind: Kind) -> None:
    """The page of who has no events, in a pool where nobody has any, stays empty."""
    assert page_of(world, kind) == {"AuthEvents": []}


def test_a_huge_body(client: CognitoIdentityProviderClient, faults: Faults) -> None:
    """A huge body is a whole answer of 8 MiB, whose length nothing foretells; the next request is well."""
    faults.inject(Kind.HUGE_BODY, requests=1)
    answer = ask(client)
    assert len(answer["AuthEvents"]) == 2
    assert "content-length" not in answer["ResponseMetadata"]["HTTPHeaders"]
    assert len(spoilt(Kind.HUGE_BODY, Draft(EVENTS, {}, lambda: None)).body) > 8 * 2**20
    assert len(ask(client)["AuthEvents"]) == 2


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
