"""Real input: sign-ins, wrong passwords and sign-ups made through boto3 against an independent Cognito."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError

from tests.conftest import Process, Start, eventually, free_port, need

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient

PASSWORD = "Correct-Horse-7"
CONFIG = """
user_pools:
  - id: {pool}
    name: real
    region: us-east-1
    endpoint_url: {url}
    users:
      groups: [staff]
      usernames: [nobody]
      all: true
polling: {{requests_per_second: 50, min_interval: 1s, discovery_interval: 2s}}
counting: {{start: beginning, settle: 2s}}
metrics: {{series_hold: 0s}}
"""


@pytest.fixture
def ministack(tmp_path: Path) -> Iterator[str]:
    """Start ministack on loopback and return its address."""
    beside = Path(sys.prefix) / "ministack-env" / "bin" / "ministack"
    command = need(beside, "run `make test`, which installs it into an environment of its own")
    port = free_port()
    env = {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "SERVICES": "cognito-idp,sts"}
    process, url = Process([command], tmp_path, env), f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: httpx.get(f"{url}/_ministack/health").status_code == 200, "ministack")
        yield url
    finally:
        process.close()


class Pool:
    """A user pool with threat protection, and people who sign in to it."""

    def __init__(self, url: str) -> None:
        self.api: CognitoIdentityProviderClient = boto3.client("cognito-idp", endpoint_url=url, region_name="us-east-1")
        made = self.api.create_user_pool(PoolName="people", UserPoolAddOns={"AdvancedSecurityMode": "ENFORCED"})
        self.id = made["UserPool"]["Id"]
        client = self.api.create_user_pool_client(
            UserPoolId=self.id,
            ClientName="app",
            ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
        )
        self.client_id = client["UserPoolClient"]["ClientId"]

    def hire(self, username: str) -> None:
        """Make a user who is one of the staff."""
        self.api.admin_create_user(UserPoolId=self.id, Username=username, MessageAction="SUPPRESS")
        self.api.admin_set_user_password(UserPoolId=self.id, Username=username, Password=PASSWORD, Permanent=True)
        self.api.admin_add_user_to_group(UserPoolId=self.id, Username=username, GroupName="staff")

    def sign_in(self, username: str, password: str = PASSWORD) -> None:
        """Sign in; a wrong password is part of life."""
        try:
            self.api.initiate_auth(
                ClientId=self.client_id,
                AuthFlow="USER_PASSWORD_AUTH",
                AuthParameters={"USERNAME": username, "PASSWORD": password},
            )
        except self.api.exceptions.NotAuthorizedException:
            return

    def truth(self) -> Counter[tuple[str, str]]:
        """Count every user's events by type and response, as boto3's own paginator reads them."""
        counts: Counter[tuple[str, str]] = Counter()
        for page in self.api.get_paginator("list_users").paginate(UserPoolId=self.id):
            for user in page["Users"]:
                pages = self.api.get_paginator("admin_list_user_auth_events").paginate(
                    UserPoolId=self.id, Username=user["Username"]
                )
                events = [event for answer in pages for event in answer["AuthEvents"]]
                counts.update((event["EventType"], event["EventResponse"]) for event in events)
        return counts


def test_counts_real_events_exactly(ministack: str, start: Start, tmp_path: Path) -> None:
    """What the exporter counts equals what boto3 reads, before a restart, after it, and for what happens meanwhile."""
    pool = Pool(ministack)
    pool.api.create_group(GroupName="staff", UserPoolId=pool.id)
    for name in ("ada", "grace", "edsger"):
        pool.hire(name)
    (tmp_path / "config.yaml").write_text(CONFIG.format(pool=pool.id, url=ministack))
    exporter = start()

    def counted() -> Counter[tuple[str, str]]:
        by: Counter[tuple[str, str]] = Counter()
        for labels, value in exporter.samples("cognito_auth_events_total").items():
            by[dict(labels)["event_type"], dict(labels)["response"]] += int(value)
        return by

    def live() -> None:
        for name, wrong in (("ada", 0), ("grace", 2), ("edsger", 5)):
            for _ in range(wrong):
                pool.sign_in(name, "wrong")
            pool.sign_in(name)
        with pytest.raises(ClientError):
            pool.api.sign_up(ClientId=pool.client_id, Username="ada", Password=PASSWORD)

    live()
    pool.api.sign_up(ClientId=pool.client_id, Username="newcomer", Password=PASSWORD)
    pool.api.admin_confirm_sign_up(UserPoolId=pool.id, Username="newcomer")
    pool.sign_in("newcomer")
    eventually(lambda: counted() == pool.truth(), "the first counts")
    assert exporter.end() == 0
    live()
    exporter = start()
    live()
    eventually(lambda: counted() == pool.truth(), "the counts after a restart")
    assert pool.truth()["SignIn", "Fail"] == 21
    states = {dict(labels)["state"]: value for labels, value in exporter.samples("cognito_auth_exporter_users").items()}
    assert states == {"ok": 4, "not_found": 1, "waiting": 0, "failing": 0}


def test_feedback_is_counted_once(ministack: str, start: Start, tmp_path: Path) -> None:
    """Feedback that an administrator gives later is counted when it comes, once, over a restart."""
    pool = Pool(ministack)
    pool.api.create_group(GroupName="staff", UserPoolId=pool.id)
    pool.hire("ada")
    pool.sign_in("ada")
    (tmp_path / "config.yaml").write_text(CONFIG.format(pool=pool.id, url=ministack))
    exporter = start()
    eventually(lambda: exporter.total("cognito_auth_events_total") == 1, "the sign-in")
    event = pool.api.admin_list_user_auth_events(UserPoolId=pool.id, Username="ada")["AuthEvents"][0]
    pool.api.admin_update_auth_event_feedback(
        UserPoolId=pool.id, Username="ada", EventId=event["EventId"], FeedbackValue="Invalid"
    )
    eventually(lambda: exporter.total("cognito_auth_feedback_total") == 1, "the feedback")
    assert exporter.end() == 0
    again = start()
    eventually(lambda: again.total("cognito_auth_exporter_polls_total") > 3, "some polls")
    assert again.total("cognito_auth_feedback_total") == 1


def test_commands_read_real_events(ministack: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`check --live` tells who asks and whom the selectors name, and `events` prints what boto3 reads."""
    pool = Pool(ministack)
    pool.api.create_group(GroupName="staff", UserPoolId=pool.id)
    pool.hire("ada")
    pool.sign_in("ada")
    pool.sign_in("ada", "wrong")
    (tmp_path / "config.yaml").write_text(CONFIG.format(pool=pool.id, url=ministack))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", ministack)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        call = [sys.executable, "-m", "exporter", *arguments]
        return subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    checked = run("check", "--live")
    lines = [" ".join(line.split()) for line in checked.stdout.splitlines()]
    assert lines[1].startswith("good credentials arn:aws:")
    for line in (
        "good threat protection ENFORCED",
        "good users.groups[0] 1 user",
        "good users.all 1 user",
        "mistake users.usernames[0] no such user",
    ):
        assert line in lines
    account = lines[1].rsplit(maxsplit=1)[-1]
    assert any(f" {account}/us-east-1 1 user at 50 requests/s" in line for line in lines)
    assert (checked.returncode, lines[-1]) == (1, "1 mistake")
    shown = run("events", "--user-pool=real", "--username=ada", "--output=json")
    read = pool.api.admin_list_user_auth_events(UserPoolId=pool.id, Username="ada")["AuthEvents"]
    assert [each["event_id"] for each in json.loads(shown.stdout)] == [each["EventId"] for each in read]
    assert {each["response"] for each in json.loads(shown.stdout)} == {"Pass", "Fail"}
    assert run("events", "--user-pool=real", "--username=nobody").returncode == 1
