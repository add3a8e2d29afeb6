"""docs/command-line.md: every command and flag, from the parsers themselves."""

import argparse
from collections.abc import Callable, Sequence

from exporter import flags
from reference.markdown import code, prose, table
from reference.markdown import page as page_of

_INTRO = """
# The command line

Flags are written `--flag=value` or `--flag value`, as those of Prometheus; they cannot be shortened. `cognito-auth-exporter` and
`python -m exporter` are the same.
"""

_COMMANDS: Sequence[tuple[str, Callable[[], argparse.ArgumentParser], str]] = (
    (
        "",
        flags.exporter_parser,
        "It polls and serves until SIGTERM or SIGINT, then finishes the requests under way, commits, and ends with 0. SIGHUP reads the configuration anew ([serving.md](serving.md)).",
    ),
    ("check", flags.check_parser, "[checking.md](checking.md) explains what it finds."),
    ("demo", flags.demo_parser, "[getting-started.md](getting-started.md) begins with it."),
    (
        "events",
        flags.events_parser,
        "As it tells everything about one user, its output is personal data ([privacy.md](privacy.md)).",
    ),
)
"""Name, parser, and what there is to know beside the parser's own words."""

_STATUSES = """
## Exit status

| status | meaning |
|---|---|
| 0 | done: ended as asked, nothing wrong found |
| 1 | it could not be done: the port is busy, the state cannot be opened or is held by another process, `check` has found mistakes, there is no such user |
| 2 | the call or the configuration is wrong or missing |

A mistake of yours never prints a traceback.

## Environment

| variable | what it does |
|---|---|
| `AWS_…` | what boto3 reads: keys, `AWS_PROFILE`, `AWS_CA_BUNDLE`, endpoints and the like ([accounts.md](accounts.md)) |
| `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY` | by which proxy AWS is asked |
| `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `LISTEN_FDS` | what systemd sets ([serving.md](serving.md)) |
| `COGNITO_AUTH_EXPORTER_REVISION` | the label `revision` of `cognito_auth_exporter_build_info`; the image sets it |
"""


def page() -> str:
    """Return the whole page."""
    return page_of(_INTRO, *(part for command in _COMMANDS for part in _parts(*command)), _STATUSES)


def _parts(name: str, parser: Callable[[], argparse.ArgumentParser], more: str) -> Sequence[str]:
    built = parser()
    rows = [
        (_called(action), _values(action), action.help % {"default": action.default} if action.help else "")
        for action in built._actions  # noqa: SLF001 - argparse has no other way to list what it was given
    ]
    heading = f"## {code(built.prog)}" + ("" if name else " without a command")
    return heading, prose(f"{built.description} {more}"), table(("flag", "value", "what it does"), rows)


def _called(action: argparse.Action) -> str:
    flag = code(action.option_strings[-1])
    return f"{flag}, required" if action.required else flag


def _values(action: argparse.Action) -> str:
    if action.choices is not None:
        return ", ".join(map(code, action.choices))
    return action.metavar if isinstance(action.metavar, str) else ""
