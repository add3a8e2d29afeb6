"""The pages say what is true: paths, links, commands, metrics, keys and IAM actions that they name exist."""

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
from tests.documentation.commands import commands
from tests.documentation.pages import PAGES, ROOT, anchors, blocks, inline_code, links, text_of

README = text_of("README.md")
INDEX = "docs/README.md"


def test_first_commands() -> None:
    """The README's first two commands are the demonstration and the tests."""
    assert [command.text for command in commands("README.md")][:2] == ["make demo", "make test"]


def test_commands_are_targets() -> None:
    """Every `make` target that a page or CI names is one of the Makefile's."""
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        target
        for page in [*PAGES, ".ci/run"]
        for line in re.findall(r"(?:`|^)make ([a-z ]+)", text_of(page), re.MULTILINE)
        for target in line.split()
    }
    assert named | {"demo", "test", "lint", "check"} <= targets


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """Every link to a file of the project leads to one, and where it names a heading, to that."""
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent.joinpath(name).resolve() if name else ROOT / page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target.relative_to(ROOT).as_posix()), link


def test_index_has_every_page() -> None:
    """Whoever opens docs/ finds a way from its index to every page about using the exporter."""
    led_to = {(ROOT / INDEX).parent.joinpath(link.partition("#")[0]).resolve() for link in links(INDEX)}
    wanted = {ROOT / page for page in PAGES if page.startswith(("docs/", "deploy/", "monitoring/"))} - {ROOT / INDEX}
    assert wanted <= led_to


def test_layout_is_the_folders() -> None:
    """CONTRIBUTING.md tells of each folder of the package, and of no other."""
    told = set(re.findall(r"^    exporter/(\w+)", text_of("CONTRIBUTING.md"), re.MULTILINE))
    assert told == {path.parent.name for path in (ROOT / "exporter").glob("*/__init__.py")}


@pytest.mark.parametrize("page", PAGES)
def test_metrics_exist(page: str) -> None:
    """Every metric that a page names, recorded ones (level:name:operation) apart, is a family of the table."""
    names = {family.name for family in FAMILIES} | {"cognito_auth_exporter"}  # the project, where names have no hyphens
    names |= {f"{family.name}_bucket" for family in FAMILIES if family.kind is Kind.HISTOGRAM}
    assert set(re.findall(r"(?<!:)\bcognito_auth_[a-z_]*[a-z]\b", text_of(page))) <= names


@pytest.mark.parametrize("page", PAGES)
def test_files_exist(page: str) -> None:
    """Every file of the code or the tests that a page names is there, from the top of the project or from the page."""
    for name in inline_code(page):
        if re.fullmatch(r"(?:exporter|tests|bench|torture|mixin|reference|monitoring)/[\w./*-]+", name):
            assert any(list(folder.glob(name.rstrip("/"))) for folder in (ROOT, (ROOT / page).parent)), name


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_left_to_fill_in(page: str) -> None:
    """No page holds a place that was to be filled in."""
    assert not re.search(r"@\w+@|TODO|FIXME|XXX", text_of(page))


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any("user_pools:" in block.text for block in blocks(page, "yaml"))]
)
def test_configurations_are_good(page: str, tmp_path: Path) -> None:
    """Every whole configuration on a page passes `check`, once the users files that it names are there."""
    (tmp_path / "break-glass.txt").write_text("alice\n")
    for block in blocks(page, "yaml"):
        if block.text.lstrip().startswith(("user_pools:", "# config.yaml")):
            (tmp_path / "config.yaml").write_text(block.text)
            assert load(tmp_path / "config.yaml").user_pools


def test_policy_allows_what_is_called() -> None:
    """The IAM actions of the README and of the page on security are the API's: all that are called, none that bills."""
    model = botocore.session.get_session().get_service_model("cognito-idp")
    code = (ROOT / "exporter" / "fetch" / "cognito.py").read_text()
    called = {name for name in model.operation_names if f'"{name}"' in code}
    for page in ("README.md", "docs/security.md"):
        named = set(re.findall(r"cognito-idp:(\w+)", text_of(page))) - {"eu"}
        assert named <= set(model.operation_names)
        assert called == named, page
    assert xform_name("AdminGetUser") not in code
    policy = json.loads(blocks("README.md", "json")[0].text)
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
