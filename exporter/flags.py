"""The command's flags, in the Prometheus convention: `--flag=value` and `--flag value`."""

import argparse
import os
import platform
from pathlib import Path
from typing import get_args

from exporter import __version__, logs
from exporter.commands.outputs import OUTPUTS
from exporter.configuration.users_file import check_username
from exporter.web.app import check_telemetry_path
from exporter.web.server import ListenAddress, parse_listen_address

DEFAULT_LISTEN = ":10078"
_MOST_USERS = 100_000
_MOST_SPEED = 1000.0
_MOST_EVENTS = 10_000
_NAME = "cognito-auth-exporter"
_COMMANDS_HELP = """commands:
  check                 find every mistake in the configuration; with --live, ask AWS too
  demo                  run against an embedded simulator of Cognito: no AWS, no configuration, no state left behind
  events                print one user's latest events

`cognito-auth-exporter COMMAND --help` tells a command's own flags."""


def _parser(command: str, description: str, epilog: str | None = None) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"{_NAME} {command}".strip(),
        description=description,
        epilog=epilog,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_config_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config.file", dest="config_file", type=Path, default=Path("config.yaml"), metavar="FILE",
        help="the configuration (default: %(default)s)",
    )  # fmt: skip


def _add_web_config_flag(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    parser.add_argument(
        "--web.config.file", dest="web_config_file", type=lambda text: Path(text) if text else None, metavar="FILE",
        help="TLS, client certificates, passwords and headers: the web configuration file of Prometheus exporters",
    )  # fmt: skip


def _add_serving_flags(parser: argparse.ArgumentParser) -> None:
    web = parser.add_argument_group("web")
    web.add_argument(
        "--web.listen-address", dest="listen", action="append", type=_listen_address, metavar="ADDRESS",
        help=f"where to listen; may be given more than once, IPv6 in brackets (default: {DEFAULT_LISTEN})",
    )  # fmt: skip
    web.add_argument(
        "--web.systemd-socket", dest="systemd_socket", action="store_true",
        help="listen on the sockets that systemd passes, in place of --web.listen-address",
    )  # fmt: skip
    web.add_argument(
        "--web.telemetry-path", dest="telemetry_path", type=_telemetry_path, default="/metrics", metavar="PATH",
        help="the path of the metrics (default: %(default)s)",
    )  # fmt: skip
    _add_web_config_flag(web)
    web.add_argument(
        "--web.enable-lifecycle", dest="enable_lifecycle", action="store_true", help="take POST and PUT on /-/reload"
    )
    web.add_argument(
        "--web.max-requests", dest="max_requests", type=_count, default=40, metavar="N",
        help="scrapes and status pages answered at the same time, 0 for no limit (default: %(default)s)",
    )  # fmt: skip
    log = parser.add_argument_group("log")
    log.add_argument("--log.level", dest="log_level", choices=logs.LEVELS, default="info", help="default: %(default)s")
    log.add_argument(
        "--log.format",
        dest="log_format",
        choices=get_args(logs.LogFormat),
        default="logfmt",
        help="default: %(default)s",
    )


def _listen_address(text: str) -> ListenAddress:
    try:
        return parse_listen_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _telemetry_path(text: str) -> str:
    try:
        return check_telemetry_path(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f'"{text}" is not a number of requests: write 40, or 0 for no limit')
    return int(text)


def _users(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= _MOST_USERS:
        raise argparse.ArgumentTypeError(f'"{text}" is not a number of users between 1 and {_MOST_USERS}')
    return int(text)


def _speed(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= _MOST_SPEED:
        raise argparse.ArgumentTypeError(f'"{text}" is not a speed above 0 and up to {_MOST_SPEED:g}')
    return number


def _limit(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= _MOST_EVENTS:
        raise argparse.ArgumentTypeError(f'"{text}" is not a number of events between 1 and {_MOST_EVENTS}')
    return int(text)


def _username(text: str) -> str:
    try:
        return check_username(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def exporter_parser() -> argparse.ArgumentParser:
    parser = _parser(
        "", "Prometheus exporter for the auth events of Amazon Cognito's threat protection.", _COMMANDS_HELP
    )
    parser.add_argument("--version", action="version", version=_version())
    _add_config_flag(parser)
    _add_serving_flags(parser)
    return parser


def check_parser() -> argparse.ArgumentParser:
    parser = _parser("check", "Find every mistake in the configuration: exit status 0 if there is none, 1 if there is.")
    _add_config_flag(parser)
    _add_web_config_flag(parser)
    parser.add_argument(
        "--live",
        action="store_true",
        help="ask AWS, too: credentials, IAM, threat protection, groups and users, and whether the budget is enough",
    )
    return parser


def events_parser() -> argparse.ArgumentParser:
    parser = _parser("events", "Print one user's latest events, as the exporter reads them, newest first.")
    _add_config_flag(parser)
    parser.add_argument("--user-pool", required=True, metavar="NAME", help="the pool's name in the configuration")
    parser.add_argument(
        "--username", required=True, type=_username, metavar="USER", help="the user's name, alias or sub"
    )
    parser.add_argument("--limit", type=_limit, default=20, metavar="N", help="events at most (default: %(default)s)")
    parser.add_argument("--output", choices=tuple(OUTPUTS), default="table", help="default: %(default)s")
    return parser


def demo_parser() -> argparse.ArgumentParser:
    parser = _parser(
        "demo", "Run against an embedded simulator of Cognito: no AWS, no configuration, no state left behind."
    )
    parser.add_argument("--users", type=_users, default=25, metavar="N", help="simulated users (default: %(default)s)")
    parser.add_argument("--speed", type=_speed, default=1.0, metavar="X", help="how fast their days go by (default: 1)")
    _add_serving_flags(parser)
    return parser


def _version() -> str:
    revision = os.environ.get("COGNITO_AUTH_EXPORTER_REVISION", "")
    return f"{_NAME}, version {__version__} (revision: {revision or 'unknown'}, python: {platform.python_version()})"
