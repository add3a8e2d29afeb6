"""Releases: one version, workflows that GitHub takes, that trust nobody more than they must and run what everybody runs."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter import __version__

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SCHEMAS = {"dependabot.yml": "vendor.dependabot"} | {
    f"workflows/{path.name}": "vendor.github-workflows" for path in WORKFLOWS
}
MAY_WRITE = {
    ("release.yml", "publish"): {"id-token", "attestations", "contents"},
    ("release.yml", "image"): {"packages", "id-token", "attestations"},
}


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program that was installed beside this Python."""
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    """Return the jobs of a workflow."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text())["jobs"]
    return found


@pytest.mark.parametrize(("file", "schema"), SCHEMAS.items())
def test_github_takes_the_file(file: str, schema: str) -> None:
    """Each file is one that GitHub's own schema allows."""
    result = run("check-jsonschema", "--builtin-schema", schema, f".github/{file}")
    assert result.returncode == 0, result.stdout


def test_nothing_in_the_workflows_is_unsafe() -> None:
    """A linter of their security finds nothing: no injection, no credentials left, no cache that a release trusts."""
    result = run("zizmor", "--offline", "--no-progress", ".github")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned(path: Path) -> None:
    """Each action is named by its commit, with the version beside it; a workflow of our own by its path."""
    used = re.findall(r"uses: (.+)", path.read_text())
    pinned = [re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each) for each in used]
    assert [each for each, match in zip(used, pinned, strict=True) if not match and not each.startswith("./")] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_permissions_are_the_least(path: Path) -> None:
    """A workflow may do nothing by itself, each job says what it may, and only what publishes may write."""
    assert yaml.safe_load(path.read_text())["permissions"] == {}
    for name, job in jobs(path).items():
        written = {scope for scope, access in job["permissions"].items() if access != "read"}
        assert written == MAY_WRITE.get((path.name, name), set())


def test_the_matrix_is_what_the_project_supports() -> None:
    """Each Python that the project says it supports is tested, and the oldest is the one it asks for."""
    tested = jobs(ROOT / ".github" / "workflows" / "test.yml")["test"]["strategy"]["matrix"]["python"]
    prefix = "Programming Language :: Python :: 3."
    assert [f"{prefix.removesuffix('3.')}{each}" for each in tested] == [
        each for each in PROJECT["classifiers"] if each.startswith(prefix)
    ]
    assert PROJECT["requires-python"] == f">={tested[0]}"


def test_the_version_stands_in_one_place() -> None:
    """The package says its version; the project, and the release's check of the tag, read it from there."""
    assert PROJECT["dynamic"] == ["version"]
    line = re.compile(r'^__version__ = "(.*)"', re.MULTILINE)
    assert line.findall((ROOT / "exporter" / "__init__.py").read_text()) == [__version__]
    release = (ROOT / ".github" / "workflows" / "release.yml").read_text()
    assert 's/^__version__ = "\\(.*\\)"/\\1/p\' exporter/__init__.py' in release
