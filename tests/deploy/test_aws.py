"""The policies for IAM: what they allow is what is called, AWS's own model and linters know it, and pages show the same."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from tests.conftest import need
from tests.e2e.conftest import Town
from tests.e2e.test_check_live import check, configure

ROOT = Path(__file__).parents[2]
IAM = ROOT / "deploy" / "aws" / "iam"
READING = ["auth-events", "groups", "listing", "description"]
OF_IDENTITIES = [*READING, "everything", "assume-readers", "execution"]
TRUST = sorted(path.stem for path in IAM.glob("trust-*.json"))
BILLS = "AdminGetUser"

Policy = dict[str, Any]


def policy(name: str) -> Policy:
    """Return a policy."""
    read: Policy = json.loads((IAM / f"{name}.json").read_text())
    return read


def listed(value: str | list[str]) -> list[str]:
    """Return what IAM takes as one or as a list."""
    return [value] if isinstance(value, str) else value


def actions(*names: str) -> set[str]:
    """Return the actions that policies allow, as `cognito-idp:ListUsers`."""
    return {
        action for name in names for statement in policy(name)["Statement"] for action in listed(statement["Action"])
    }


def operations(*names: str) -> set[str]:
    """Return the operations of Cognito that policies allow."""
    return {action.removeprefix("cognito-idp:") for action in actions(*names)}


def test_all_policies_are_known_here() -> None:
    """No policy of the folder is left out of these tests."""
    assert {path.stem for path in IAM.iterdir()} == {*OF_IDENTITIES, *TRUST, "file-system"}


def test_what_is_called_is_allowed_and_nothing_else() -> None:
    """The policies for reading allow each operation that the exporter calls, nothing else, and nothing that bills."""
    known = botocore.session.get_session().get_service_model("cognito-idp").operation_names
    code = (ROOT / "exporter" / "fetch" / "cognito.py").read_text()
    called = {name for name in known if f'"{name}"' in code}
    assert operations(*READING) == called
    assert operations("everything") == called
    assert BILLS in known
    assert not any(BILLS in path.read_text() for path in IAM.iterdir())


@pytest.mark.parametrize("name", [*OF_IDENTITIES, *TRUST])
def test_actions_are_operations(name: str) -> None:
    """Each action, those of mounting EFS and of tags apart, is an operation of its service's API; none has a wildcard."""
    session = botocore.session.get_session()
    for action in actions(name) - {"sts:TagSession"}:  # a permission of AssumeRole
        service, operation = action.split(":")
        assert operation in session.get_service_model(service).operation_names


@pytest.mark.parametrize("name", [*OF_IDENTITIES, "file-system"])
def test_resources_are_named(name: str) -> None:
    """Each statement is on one resource by its whole ARN, or on the streams of one log group, whose names are those of tasks."""
    for statement in policy(name)["Statement"]:
        for resource in listed(statement["Resource"]):
            of_one = r"[\w-]+:[\w-]*:\d{12}:[\w-]+/[\w/.-]+|logs:[\w-]+:\d{12}:log-group:[\w/-]+:\*"
            assert re.fullmatch(f"arn:aws:(?:{of_one})", resource), resource


def findings(judged: Policy) -> list[str]:
    """Return what the linter parliament finds in a policy: it knows each service's actions, resources and conditions."""
    program = need(Path(sys.executable).with_name("parliament"), "pip install -e '.[dev]'")
    done = subprocess.run(
        [program, "--json"], input=json.dumps(judged), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    return sorted({json.loads(line)["issue"] for line in done.stdout.splitlines() if line.strip()})


@pytest.mark.parametrize("name", [*OF_IDENTITIES, "file-system"])
def test_parliament_finds_nothing(name: str) -> None:
    """The linter has nothing to say against what is allowed."""
    assert findings(policy(name)) == []


OF_OIDC = ["UNKNOWN_CONDITION_FOR_ACTION", "UNKNOWN_FEDERATION_SOURCE"]
"""What parliament says of every OIDC provider: it knows none but some old ones."""


@pytest.mark.parametrize("name", TRUST)
def test_parliament_finds_nothing_in_trust(name: str) -> None:
    """Nor against who is trusted, given the resource that it misses, as a trust policy's is the role that has it."""
    judged = policy(name)
    for statement in judged["Statement"]:
        statement["Resource"] = "arn:aws:iam::444455556666:role/cognito-auth-exporter"
    assert findings(judged) == (OF_OIDC if name == "trust-irsa" else [])


# -- each selector with its policy -------------------------------------------------------------------------------------


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    """Return a pool with a group."""
    made = Town(tmp_path)
    made.world.add_user("eu-west-1_Scripted", "ada", groups=["administrators"])
    yield made
    made.simulator.close()


SELECTORS = [
    ("usernames: [ada]", []),
    ("groups: [administrators]", ["groups"]),
    ("filters: ['username = \"ada\"']", ["listing"]),
    ("all: true", ["listing"]),
]


@pytest.mark.parametrize(("users", "more"), SELECTORS)
def test_the_policy_of_a_selector_is_enough(users: str, more: list[str], town: Town) -> None:
    """Where no more is allowed than the page says a selector takes, `check --live` finds no mistake."""
    allow(town, "auth-events", *more)
    configure(town, users)
    status, lines = check(town)
    assert (status, [line for line in lines if line.startswith("mistake")]) == (0, [])
    assert "note DescribeUserPool denied" in "\n".join(lines)


@pytest.mark.parametrize(("users", "more"), SELECTORS[1:])
def test_the_policy_of_a_selector_is_needed(users: str, more: list[str], town: Town) -> None:
    """Without the policy that a selector takes, `check --live` asks for its action."""
    allow(town, "auth-events", *({"groups", "listing"} - set(more)))
    configure(town, users)
    status, lines = check(town)
    assert status == 1
    assert any(line.startswith(f"mistake {operation} denied") for operation in operations(*more) for line in lines)


def allow(town: Town, *names: str) -> None:
    """Deny what these policies do not allow."""
    for operation in operations("everything") - operations(*names):
        town.faults.inject("AccessDeniedException", operation=operation)


# -- what pages show ---------------------------------------------------------------------------------------------------

SHOWN = [
    ("README.md", ["auth-events"]),
    ("docs/accounts.md", ["trust-other-account", "assume-readers", "trust-irsa"]),
]


@pytest.mark.parametrize(("page", "names"), SHOWN)
def test_pages_show_the_same_policies(page: str, names: list[str]) -> None:
    """A policy on a page is one of the files, but for the names of its statements."""
    blocks = re.findall(r"```json\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert [anonymous(json.loads(block)) for block in blocks if '"Statement"' in block] == [
        anonymous(policy(name)) for name in names
    ]


def anonymous(shown: Policy) -> Policy:
    """Return a policy without the names of its statements."""
    statements = [{key: value for key, value in each.items() if key != "Sid"} for each in shown["Statement"]]
    return {**shown, "Statement": statements}


def test_the_page_tells_each_policy() -> None:
    """docs/aws.md links every policy, and names the action of each that reads."""
    page = (ROOT / "docs" / "aws.md").read_text()
    for path in IAM.iterdir():
        assert f"deploy/aws/iam/{path.name})" in page, path.name
    for name in READING:
        (action,) = actions(name)
        assert re.search(rf"{name}\.json\) \| `{action}` \|", page)
