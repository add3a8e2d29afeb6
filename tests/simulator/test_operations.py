"""The operations, read through a real boto3 client."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.model import ListShape, Shape, StringShape, StructureShape
from botocore.session import Session
from botocore.validate import ParamValidator
from mypy_boto3_cognito_idp import CognitoIdentityProviderClient

from exporter.event.event import Feedback
from exporter.simulator.operations import LISTINGS, Api, Call, ServiceError, TokenMode
from exporter.simulator.traffic import POOL_ID, TrafficWorld
from exporter.simulator.world import ScriptedWorld, auth_event
from tests.simulator.conftest import NOON, POOL, Connect, Serve

SERVICE = Session().get_service_model("cognito-idp")


def enum_violations(value: Any, shape: Shape) -> Iterator[str]:
    """Yield the strings that are not among the values of their enum in botocore's model."""
    if isinstance(shape, StructureShape):
        for name, member in value.items():
            yield from enum_violations(member, shape.members[name])
    elif isinstance(shape, ListShape):
        for member in value:
            yield from enum_violations(member, shape.member)
    elif isinstance(shape, StringShape) and shape.enum and value not in shape.enum:
        yield f"{shape.name}: {value}"


def busy_world() -> TrafficWorld:
    """Return a world with every kind of event in it."""
    return TrafficWorld(7, 40, NOON, 1.0, 7200.0, activity=400.0)


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("ListUsers", {"Limit": 7}),
        ("ListUsers", {"Filter": 'status = "Enabled"'}),
        ("ListUsersInGroup", {"GroupName": "beta", "Limit": 2}),
        ("DescribeUserPool", {}),
    ],
)
def test_answers_conform_to_the_model(operation: str, parameters: dict[str, Any]) -> None:
    """Every answer has the members, types and enum values that botocore's own model of Cognito has."""
    call = Call(operation, {"UserPoolId": POOL_ID, **parameters})
    assert_conforms(operation, Api(busy_world()).answer(call, NOON))


def test_events_conform_to_the_model() -> None:
    """Every auth event that traffic can make conforms to botocore's model, enum values included."""
    world = busy_world()
    for user in world.users(POOL_ID, NOON):
        call = Call("AdminListUserAuthEvents", {"UserPoolId": POOL_ID, "Username": user.username})
        assert_conforms("AdminListUserAuthEvents", Api(world).answer(call, NOON))


def assert_conforms(operation: str, answer: dict[str, Any]) -> None:
    """Check an answer against the model, unknown members too."""
    shape = SERVICE.operation_model(operation).output_shape
    assert isinstance(shape, StructureShape)
    report = ParamValidator().validate(answer, shape)
    assert not report.has_errors(), report.generate_report()
    assert list(enum_violations(answer, shape)) == []


def test_boto3_reads_what_the_world_holds(world: ScriptedWorld, client: CognitoIdentityProviderClient) -> None:
    """An event comes out of boto3 with every member it was given."""
    given = Feedback("Invalid", "Admin", auth_event(NOON).created)
    event = world.add_event(POOL, "alice", auth_event(NOON - 5.071, feedback=given))
    answer = client.admin_list_user_auth_events(UserPoolId=POOL, Username="alice")
    assert answer["AuthEvents"] == [
        {
            "EventId": event.event_id,
            "EventType": "SignIn",
            "CreationDate": event.created,
            "EventResponse": "Pass",
            "EventRisk": {"RiskDecision": "NoRisk", "CompromisedCredentialsDetected": False},
            "ChallengeResponses": [{"ChallengeName": "Password", "ChallengeResponse": "Success"}],
            "EventContextData": {
                "IpAddress": "192.0.2.99",
                "DeviceName": "Chrome 126, Windows 10",
                "Timezone": "+00:00",
                "City": "Loughborough",
                "Country": "United Kingdom",
            },
            "EventFeedback": {"FeedbackValue": "Invalid", "Provider": "Admin", "FeedbackDate": given.date},
        }
    ]
    assert "NextToken" not in answer
    assert answer["ResponseMetadata"]["RequestId"]


def test_absent_members_are_left_out(world: ScriptedWorld, client: CognitoIdentityProviderClient) -> None:
    """What an event lacks is absent from the answer, not null."""
    world.add_event(POOL, "alice", auth_event(NOON, risk=None, context=None, challenges=()))
    events = client.admin_list_user_auth_events(UserPoolId=POOL, Username="alice")["AuthEvents"]
    assert set(events[0]) == {"EventId", "EventType", "CreationDate", "EventResponse", "ChallengeResponses"}


@pytest.mark.parametrize("tokens", list(TokenMode))
@pytest.mark.parametrize("page_size", [1, 7, 60])
def test_paging_reads_the_history_once(
    world: ScriptedWorld, serve: Serve, connect: Connect, tokens: TokenMode, page_size: int
) -> None:
    """The pages together are the whole history, newest first, each event once; equal times included."""
    given = [world.add_event(POOL, "alice", auth_event(NOON - 100 + number // 3)) for number in range(130)]
    client = connect(serve(world, tokens=tokens, page_size=page_size))
    pages = client.get_paginator("admin_list_user_auth_events").paginate(UserPoolId=POOL, Username="alice")
    shown = [event["EventId"] for page in pages for event in page["AuthEvents"]]
    assert shown == [event.event_id for event in reversed(given)]


@pytest.mark.parametrize(("tokens", "second_page"), [(TokenMode.STABLE, [1, 0]), (TokenMode.OFFSET, [2, 1])])
def test_a_new_event_between_pages(
    world: ScriptedWorld, serve: Serve, connect: Connect, tokens: TokenMode, second_page: list[int]
) -> None:
    """An event that arrives between pages shifts the next page only where tokens are offsets."""
    given = [world.add_event(POOL, "alice", auth_event(NOON - 10 + number)) for number in range(4)]
    client = connect(serve(world, tokens=tokens, page_size=2))
    first = client.admin_list_user_auth_events(UserPoolId=POOL, Username="alice")
    world.add_event(POOL, "alice", auth_event(NOON))
    second = client.admin_list_user_auth_events(UserPoolId=POOL, Username="alice", NextToken=first["NextToken"])
    assert [event["EventId"] for event in second["AuthEvents"]] == [given[number].event_id for number in second_page]


def test_the_history_ends_without_a_token(world: ScriptedWorld, serve: Serve, connect: Connect) -> None:
    """A page that holds exactly the rest of the history carries no token; MaxResults 0 asks for 60."""
    for number in range(60):
        world.add_event(POOL, "alice", auth_event(NOON - number))
    client = connect(serve(world))
    answer = client.admin_list_user_auth_events(UserPoolId=POOL, Username="alice", MaxResults=0)
    assert len(answer["AuthEvents"]) == 60
    assert "NextToken" not in answer


@pytest.mark.parametrize("alias", ["alice", "alice@example.com", "+15550100", "11111111-2222-4333-a444-555555555555"])
def test_aliases_meet_in_one_history(world: ScriptedWorld, client: CognitoIdentityProviderClient, alias: str) -> None:
    """User name, e-mail address, telephone number and sub are one user."""
    world.add_user(POOL, "alice", sub="11111111-2222-4333-a444-555555555555", phone_number="+15550100")
    event = world.add_event(POOL, "alice", auth_event(NOON))
    answer = client.admin_list_user_auth_events(UserPoolId=POOL, Username=alias)
    assert [shown["EventId"] for shown in answer["AuthEvents"]] == [event.event_id]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("", ["alice", "svc-1", "svc-2"]),
        ('username = "alice"', ["alice"]),
        ('username="alice"', ["alice"]),
        ('username ^= "svc-"', ["svc-1", "svc-2"]),
        ('username = "ALICE"', []),
        ('status = "Enabled"', ["alice", "svc-2"]),
        ('status = "Disabled"', ["svc-1"]),
        ('cognito:user_status = "confirmed"', ["alice", "svc-1"]),
        ('cognito:user_status = "UNCONFIRMED"', ["svc-2"]),
        ('email ^= "svc"', ["svc-1", "svc-2"]),
        ('given_name = "A \\"B\\" C"', ["svc-2"]),
        ('sub = "nobody"', []),
    ],
)
def test_filters(world: ScriptedWorld, serve: Serve, connect: Connect, expression: str, expected: list[str]) -> None:
    """A filter compares one attribute, whole or by its beginning."""
    world.add_user(POOL, "svc-1", enabled=False)
    world.add_user(POOL, "svc-2", status="UNCONFIRMED", given_name='A "B" C')
    client = connect(serve(world, page_size=1))
    pages = client.get_paginator("list_users").paginate(UserPoolId=POOL, Filter=expression)
    assert [user["Username"] for page in pages for user in page["Users"]] == expected


def test_groups_are_read_in_pages(world: ScriptedWorld, serve: Serve, connect: Connect) -> None:
    """A group's pages together are its members; a group without members is an empty page."""
    world.add_group(POOL, "empty")
    for number in range(5):
        world.add_user(POOL, f"admin-{number}", groups=["administrators"])
    world.add_user(POOL, "zoe")
    paginator = connect(serve(world, page_size=2)).get_paginator("list_users_in_group")
    members = [
        user["Username"]
        for page in paginator.paginate(UserPoolId=POOL, GroupName="administrators")
        for user in page["Users"]
    ]
    assert members == [*(f"admin-{number}" for number in range(5)), "alice"]
    assert [page["Users"] for page in paginator.paginate(UserPoolId=POOL, GroupName="empty")] == [[]]


@pytest.mark.parametrize("mode", ["OFF", "AUDIT", "ENFORCED"])
def test_describe_tells_the_mode(world: ScriptedWorld, client: CognitoIdentityProviderClient, mode: str) -> None:
    """DescribeUserPool shows threat protection as it is set now."""
    world.set_threat_protection(POOL, mode)
    pool = client.describe_user_pool(UserPoolId=POOL)["UserPool"]
    assert pool["UserPoolAddOns"]["AdvancedSecurityMode"] == mode


def test_a_pool_without_add_ons(world: ScriptedWorld, client: CognitoIdentityProviderClient) -> None:
    """A pool that never had threat protection shows no add-ons."""
    world.set_threat_protection(POOL, None)
    assert "UserPoolAddOns" not in client.describe_user_pool(UserPoolId=POOL)["UserPool"]


@pytest.mark.parametrize(
    ("operation", "parameters", "code"),
    [
        ("admin_list_user_auth_events", {"UserPoolId": POOL, "Username": "bob"}, "UserNotFoundException"),
        ("admin_list_user_auth_events", {"UserPoolId": "eu-west-1_No", "Username": "a"}, "ResourceNotFoundException"),
        (
            "admin_list_user_auth_events",
            {"UserPoolId": "eu-west-1_Off", "Username": "a"},
            "UserPoolAddOnNotEnabledException",
        ),
        (
            "admin_list_user_auth_events",
            {"UserPoolId": POOL, "Username": "alice", "MaxResults": 61},
            "InvalidParameterException",
        ),
        (
            "admin_list_user_auth_events",
            {"UserPoolId": POOL, "Username": "alice", "NextToken": "made-up"},
            "InvalidParameterException",
        ),
        ("list_users", {"UserPoolId": "eu-west-1_No"}, "ResourceNotFoundException"),
        ("list_users", {"UserPoolId": POOL, "Limit": 61}, "InvalidParameterException"),
        ("list_users", {"UserPoolId": POOL, "PaginationToken": "made-up"}, "InvalidParameterException"),
        ("list_users", {"UserPoolId": POOL, "Filter": "status = Enabled"}, "InvalidParameterException"),
        ("list_users", {"UserPoolId": POOL, "Filter": 'shoe_size = "9"'}, "InvalidParameterException"),
        ("list_users_in_group", {"UserPoolId": POOL, "GroupName": "nobody"}, "ResourceNotFoundException"),
        ("describe_user_pool", {"UserPoolId": "eu-west-1_No"}, "ResourceNotFoundException"),
    ],
)
def test_errors_are_the_modelled_ones(
    world: ScriptedWorld, client: CognitoIdentityProviderClient, operation: str, parameters: dict[str, Any], code: str
) -> None:
    """What the service refuses is raised by boto3 as the exception of the model, with status 400 and a request id."""
    world.add_pool("eu-west-1_Off", threat_protection="OFF")
    with pytest.raises(getattr(client.exceptions, code)) as caught:
        getattr(client, operation)(**parameters)
    metadata = caught.value.response["ResponseMetadata"]
    assert (metadata["HTTPStatusCode"], bool(metadata["RequestId"])) == (400, True)


def test_other_operations_are_unknown(client: CognitoIdentityProviderClient) -> None:
    """An operation the exporter must not call, such as the billable AdminGetUser, is not there."""
    with pytest.raises(ClientError, match="UnknownOperationException"):
        client.admin_get_user(UserPoolId=POOL, Username="alice")


@pytest.mark.parametrize(
    "token", ["WyJvZmZzZXQiLCAieCIsIDBd", "WyJvZmZzZXQiLCAiLTEiLCAwXQ==", "e30=", "W10=", "é", "="]
)
def test_a_forged_token_is_refused(world: ScriptedWorld, token: str) -> None:
    """No token, however it was made, is more than an invalid parameter."""
    call = Call("AdminListUserAuthEvents", {"UserPoolId": POOL, "Username": "alice", "NextToken": token})
    with pytest.raises(ServiceError, match="Invalid pagination token"):
        Api(world).answer(call, NOON)


def test_every_listing_is_modelled() -> None:
    """The names of items, token and limit are those of botocore's model."""
    for operation, listing in LISTINGS.items():
        model = SERVICE.operation_model(operation)
        assert isinstance(model.input_shape, StructureShape)
        assert isinstance(model.output_shape, StructureShape)
        assert {listing.token, listing.limit} <= model.input_shape.members.keys()
        assert {listing.token, listing.items} <= model.output_shape.members.keys()


def test_a_page_after_a_deleted_event_is_refused(world: ScriptedWorld, serve: Serve, connect: Connect) -> None:
    """A token whose event is gone is refused, so that no part of the history is skipped in silence."""
    given = [world.add_event(POOL, "alice", auth_event(NOON - number)) for number in range(4)]
    client = connect(serve(world, page_size=2))
    first = client.admin_list_user_auth_events(UserPoolId=POOL, Username="alice")
    world.remove_event(POOL, given[1].event_id)
    with pytest.raises(client.exceptions.InvalidParameterException):
        client.admin_list_user_auth_events(UserPoolId=POOL, Username="alice", NextToken=first["NextToken"])


def test_an_event_turns(world: ScriptedWorld, client: CognitoIdentityProviderClient) -> None:
    """An event changed by hand is shown changed, under the same id, in the same place."""
    event = world.add_event(POOL, "alice", auth_event(NOON, response="InProgress"))
    world.change_event(POOL, event.event_id, response="Pass")
    world.give_feedback(POOL, event.event_id, "Valid", NOON)
    shown = client.admin_list_user_auth_events(UserPoolId=POOL, Username="alice")["AuthEvents"]
    assert [(one["EventId"], one["EventResponse"], one["EventFeedback"]["FeedbackValue"]) for one in shown] == [
        (event.event_id, "Pass", "Valid")
    ]


def test_a_late_event_is_hidden_at_first(world: ScriptedWorld) -> None:
    """An event is shown from `visible_at` on, in the place of its creation."""
    late = world.add_event(POOL, "alice", auth_event(NOON), visible_at=NOON + 36)
    young = world.add_event(POOL, "alice", auth_event(NOON + 10))
    assert list(world.history(POOL, "alice", NOON + 35.9)) == [young]
    assert list(world.history(POOL, "alice", NOON + 36)) == [young, late]


def test_users_come_and_go(world: ScriptedWorld) -> None:
    """A user exists from creation to deletion, and one created anew under the name has no history."""
    world.add_user(POOL, "bob", created=NOON)
    world.add_event(POOL, "bob", auth_event(NOON))
    assert world.user(POOL, "bob", NOON - 1) is None
    world.delete_user(POOL, "bob")
    assert world.user(POOL, "bob", NOON) is None
    world.add_user(POOL, "bob", created=NOON)
    assert list(world.history(POOL, "bob", NOON)) == []


def test_a_user_changes(world: ScriptedWorld) -> None:
    """A changed user matches anew, and keeps the history."""
    event = world.add_event(POOL, "alice", auth_event(NOON))
    world.change_user(POOL, "alice", enabled=False, groups=frozenset({"support"}))
    user = world.user(POOL, "alice", NOON)
    assert user is not None
    assert (user.enabled, user.groups, world.has_group(POOL, "support")) == (False, frozenset({"support"}), True)
    assert list(world.history(POOL, "alice", NOON)) == [event]
