"""Every command on a page for people to paste is run here, or the page says why not."""

import re
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from exporter import cli
from exporter.app import WebOptions
from exporter.flags import demo_parser
from tests.conftest import need
from tests.documentation.commands import ALL, Command, commands, excuses, functions
from tests.documentation.pages import PAGES, ROOT, blocks
from tests.documentation.sandbox import SERVER, Sandbox

RUN: Mapping[str, str] = {
    **dict.fromkeys(
        (".venv/bin/cognito-auth-exporter", "cognito-auth-exporter", ".venv/bin/python", "python3", "make demo"), ""
    ),
    **dict.fromkeys(("chmod", "cut", "df", "dirname", "grep", "head", "ls", "read", "sort", "tail", "uniq"), ""),
    **dict.fromkeys(("prometheus", "promtool"), "apt-get install prometheus"),
    **{tool: f"apt-get install {tool}" for tool in ("curl", "jq", "openssl")},
}
"""Programs that may be run, as nothing outside of the sandbox changes; and of those that may be missing, how to get them."""

BY_CI = re.compile(r"^make \w+$", re.MULTILINE)
"""What CI itself runs needs no other test."""

ELSEWHERE = {
    "promtool test rules monitoring/tests/*.test.yml": ("tests/monitoring/test_rules.py", '"test", "rules"'),
    "make stack": ("tests/deploy/test_compose.py", "`make stack` of the Makefile"),
}
"""What takes long, and is run by another test; and what says so there."""

NOT_RUN: Mapping[str, str] = {
    ".venv/bin/mutmut": "they take minutes to hours",
    "aws": "it needs an AWS account",
    "docker": "it needs a Docker engine",
    "gh": "it needs GitHub",
    "htpasswd": "it asks at a terminal",
    "make bench": "it takes half an hour",
    "make fuzz": "they take minutes to hours",
    "make mutants": "they take minutes to hours",
    "make pictures": "it takes an hour",
    "make promises": "they take minutes to hours",
    "make torture": "they take minutes to hours",
    "python3 -m venv": "it asks a package index",
}
"""Beginnings of commands, or programs in them, that no test runs, and why: the page says the same, above the command."""

NO_PAGE: Mapping[str, str] = {
    "deploy/aws/terraform/README.md": "they need an AWS account",
    "deploy/helm/cognito-auth-exporter/README.md": "they need a cluster",
    "docs/aws.md": "they need an AWS account",
    "docs/image.md": "they need a Docker engine",
    "docs/kubernetes.md": "they need a cluster",
    "docs/systemd.md": "they set up a machine",
}
"""Pages none of whose commands is run, and why."""

EVERY = [command for page in PAGES for command in commands(page)]


def excuse(command: Command) -> str | None:
    """Return what of the tables of reasons a command is."""
    if command.page in NO_PAGE:
        return ALL
    return next((name for name in NOT_RUN if name in command.programs or _begins(command, name)), None)


def _begins(command: Command, words: str) -> bool:
    return f"{command.text} ".startswith(f"{words} ")


def is_run_elsewhere(command: Command) -> bool:
    """Tell whether CI, or another test, runs this very command."""
    return command.text in {*BY_CI.findall((ROOT / ".ci" / "run").read_text()), *ELSEWHERE}


def is_run_here(command: Command) -> bool:
    """Tell whether the sandbox is to run it."""
    return excuse(command) is None and not is_run_elsewhere(command)


def unknown(command: Command) -> set[str]:
    """Return what a command runs that the sandbox does not know to be harmless."""
    known = {name for name in RUN if name in command.programs} | functions(command.page)
    return set(command.programs - known - {"make" for name in RUN if _begins(command, name)})


@pytest.mark.parametrize("command", EVERY, ids=str)
def test_each_command_is_run_or_excused(command: Command) -> None:
    """No command is on a page that is neither run, by a test or CI, nor one of those that the page says no test runs."""
    name = excuse(command)
    if name is None:
        assert is_run_elsewhere(command) or not unknown(command), f"{command}: put it into RUN or NOT_RUN"
        return
    wanted = NO_PAGE[command.page] if name == ALL else NOT_RUN[name]
    reason, line = excuses(command.page).get(name, ("", 0))
    shown = name if name == ALL else f"`{name}`"
    assert reason == wanted, f'{command}: say above it "No test runs {shown}: {wanted}."'
    assert line < command.line, f"{command}: the reason stands below it"


@pytest.mark.parametrize("page", PAGES)
def test_excuses_are_needed(page: str) -> None:
    """A page excuses no command that it does not have."""
    assert set(excuses(page)) == {name for command in commands(page) if (name := excuse(command))}


@pytest.mark.parametrize("page", PAGES)
def test_commands_stand_in_blocks_of_sh(page: str) -> None:
    """A block that begins as a command does is one of `sh`, where it is found and run."""
    programs = "|".join(map(re.escape, {*RUN, *NOT_RUN, "docker", "helm", "kubectl", "make", "pip", "sudo", "$"}))
    for block in blocks(page):
        if block.language != "sh":
            assert block.language not in {"bash", "console", "shell", "zsh"}, block
            assert not re.match(rf"(?:{programs}) ", block.text), block


@pytest.mark.parametrize("page", [page for page in PAGES if any(map(is_run_here, commands(page)))])
def test_commands_work(page: str, tmp_path: Path) -> None:
    """Whoever pastes a page's commands one after the other sees each of them work; the same command twice is run once."""
    wanted = dict.fromkeys(command.text for command in commands(page) if is_run_here(command))
    firsts = {command.text: command for command in reversed(commands(page)) if command.text in wanted}
    for program in {program for command in firsts.values() for program in command.programs if RUN.get(program)}:
        need(program, RUN[program])
    with Sandbox(page, tmp_path) as sandbox:
        if not any(SERVER.match(text) for text in wanted):
            sandbox.serve()
        for text in wanted:
            sandbox.run(firsts[text])


@pytest.mark.parametrize("command", ELSEWHERE)
def test_what_runs_elsewhere_runs_there(command: str) -> None:
    """A command left to another test is on a page, and in that test."""
    test, words = ELSEWHERE[command]
    assert command in {each.text for each in EVERY}
    assert words in (ROOT / test).read_text()


def test_demo_prints_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """What docs/getting-started.md says that its demo prints, it prints."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    with listening:
        options = demo_parser().parse_args(["--users=100", "--speed=10"])
        cli._greet(options, WebOptions([listening], "/metrics", enable_lifecycle=False, max_requests=1, files=None))
        printed = capsys.readouterr().out.replace(f"127.0.0.1:{listening.getsockname()[1]}", "localhost:10078")
    assert blocks("docs/getting-started.md", "text")[0].text == printed


def test_commands_are_found() -> None:
    """The pages' own commands are seen: this many at least, on their own lines, and what is in them."""
    assert len(EVERY) > 70
    demo = commands("README.md")[0]
    assert (demo.text, demo.programs) == ("make demo", frozenset({"make"}))
    assert (ROOT / "README.md").read_text().splitlines()[demo.line - 1].startswith("make demo")
    counted = next(command for command in commands("docs/runbook.md") if command.text.startswith("counted '"))
    assert {"counted"} <= counted.programs
    assert "counted" in functions("docs/runbook.md")
