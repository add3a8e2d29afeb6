"""The documents say what is true: paths, commands, metrics, keys and IAM actions that they name exist."""

import json
import re
import tomllib
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from exporter.configuration.load import load
from exporter.metrics.families import FAMILIES, Kind

ROOT = Path(__file__).parents[1]
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/accounts.md",
    "docs/checking.md",
    "docs/design.md",
    "docs/event-log.md",
    "docs/performance.md",
    "docs/serving.md",
    "docs/users.md",
    "docs/signals.md",
    "docs/privacy.md",
    "docs/runbook.md",
    "docs/status.md",
    "docs/testing.md",
    "docs/web-configuration.md",
    "monitoring/README.md",
]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """Return the README's code blocks of a language, their indentation taken off."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", README, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def test_first_commands() -> None:
    """The README's first two commands are the demonstration and the tests."""
    commands = [line.partition("#")[0].strip() for line in blocks("sh")[0].splitlines()]
    assert commands == ["make demo", "make test"]


def test_commands_are_targets() -> None:
    """Every `make` target that a page or CI names is one of the Makefile's."""
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        target
        for page in [*PAGES, ".ci/run"]
        for target in re.findall(r"(?:`|^)make ([a-z]+)\b", (ROOT / page).read_text(), re.MULTILINE)
    }
    assert named | {"demo", "test", "lint", "check"} <= targets


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """Every link to a file of the project leads to one."""
    links = re.findall(r"\]\((?!https?://)([^)#]+)", (ROOT / page).read_text())
    for link in links:
        assert (ROOT / page).parent.joinpath(link).exists(), link


def test_layout_is_the_folders() -> None:
    """CONTRIBUTING.md tells of each folder of the package, and of no other."""
    told = set(re.findall(r"^    exporter/(\w+)", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE))
    assert told == {path.parent.name for path in (ROOT / "exporter").glob("*/__init__.py")}


def test_metrics_exist() -> None:
    """Every metric that a page names, recorded ones (level:name:operation) apart, is a family of the table."""
    names = {family.name for family in FAMILIES}
    names |= {f"{family.name}_bucket" for family in FAMILIES if family.kind is Kind.HISTOGRAM}
    for page in PAGES:
        named = set(re.findall(r"(?<!:)\bcognito_auth_[a-z_]*[a-z]\b", (ROOT / page).read_text()))
        assert named <= names, page


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_left_to_fill_in(page: str) -> None:
    """No page holds a place that was to be filled in."""
    assert not re.search(r"@\w+@|TODO|FIXME|XXX", (ROOT / page).read_text())


def test_configuration_of_the_readme_is_good(tmp_path: Path) -> None:
    """The README's configuration passes `check`."""
    example = next(block for block in blocks("yaml") if "user_pools" in block)
    (tmp_path / "config.yaml").write_text(example)
    assert load(tmp_path / "config.yaml").user_pools[0].name == "customers"


def test_policy_allows_what_is_called() -> None:
    """The README's IAM actions are operations of the API, all that are called and nothing that bills."""
    model = botocore.session.get_session().get_service_model("cognito-idp")
    named = set(re.findall(r"cognito-idp:(\w+)", README)) - {"eu"}
    assert named <= set(model.operation_names)
    code = (ROOT / "exporter" / "fetch" / "cognito.py").read_text()
    called = {name for name in model.operation_names if f'"{name}"' in code}
    assert called == named
    assert xform_name("AdminGetUser") not in code
    policy = json.loads(blocks("json")[0])
    assert policy["Statement"][0]["Action"] == "cognito-idp:AdminListUserAuthEvents"


def test_lock_pins_what_the_project_asks_for() -> None:
    """The image's lock has each dependency in its range, with hashes and without addresses."""
    lock = (ROOT / "requirements.lock").read_text()
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+) \\\n    --hash=sha256:[0-9a-f]{64}", lock, re.MULTILINE))
    assert len(pinned) == len(re.findall(r"^\w", lock, re.MULTILINE))
    assert "://" not in lock
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)])


PLACES: dict[str, str | tuple[str, ...]] = {
    "boto3": "fetch/credentials.py",
    "botocore": ("fetch/cognito.py", "fetch/credentials.py", "fetch/exchange.py", "fetch/failure.py"),
    "pycurl": "fetch/curl.py",
    "sqlite3": "ledger/",
    "prometheus_client": "metrics/",
    "starlette": "web/",
    "systemd_watchdog": "systemd.py",
    "uvicorn": "web/",
    "bcrypt": "web/bcrypt_hash.py",
    "ssl": "web/",
}


@pytest.mark.parametrize(("library", "place"), PLACES.items())
def test_libraries_stay_in_their_place(library: str, place: str | tuple[str, ...]) -> None:
    """As CONTRIBUTING.md says, each of these is known to one place of the package."""
    package = ROOT / "exporter"
    found = re.compile(rf"^ *(?:import|from) {library}\b", re.MULTILINE)
    knowing = [str(path.relative_to(package)) for path in package.rglob("*.py") if found.search(path.read_text())]
    assert knowing
    assert [path for path in knowing if not path.startswith(place)] == []
