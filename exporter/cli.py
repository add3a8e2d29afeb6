"""The command: flags in the Prometheus convention, subcommands, exit codes."""

import argparse
import asyncio
import gc
import io
import os
import platform
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO, get_args

import structlog

from exporter import __version__, logs
from exporter.app import Exporter, SourcesFor, WebOptions, ledger_settings
from exporter.configuration.errors import ConfigError
from exporter.configuration.load import load
from exporter.configuration.models import Config
from exporter.demo import Demonstration
from exporter.fetch.sources import cognito_sources
from exporter.ledger.ledger import LedgerError
from exporter.ledger.sqlite import SqliteLedger
from exporter.web.app import check_telemetry_path
from exporter.web.server import ListenAddress, ListenError, bind, parse_listen_address

OK, FAILED, WRONG_CALL = 0, 1, 2
"""Exit statuses: done; could not do it, or `check` found mistakes; the call or the configuration is wrong."""

_DEFAULT_LISTEN = ":10078"
_EVERYWHERE = frozenset({"::", "0.0.0.0"})  # noqa: S104 - told from other addresses, not listened on
_MOST_USERS = 100_000
_MOST_SPEED = 1000.0
_MOST_TRAFFIC = 100_000  # users times speed that one process can simulate and poll
_NAME = "cognito-auth-exporter"
_COMMANDS_HELP = """commands:
  check                 find every mistake in the configuration
  demo                  run against an embedded simulator of Cognito: no AWS, no configuration, no state left behind

`cognito-auth-exporter COMMAND --help` tells a command's own flags."""


def main() -> None:
    """Run the command and leave with its exit status, whatever requests AWS may leave hanging."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None where it is closed
            stream.reconfigure(errors="backslashreplace")
    status = command(sys.argv[1:])
    if threading.active_count() > 1:
        os._exit(status)
    sys.exit(status)


def command(arguments: Sequence[str]) -> int:
    """Run the command with these arguments and return its exit status."""
    name, rest = (arguments[0], arguments[1:]) if arguments and arguments[0] in _COMMANDS else ("", arguments)
    parser, action = _COMMANDS[name]
    return action(parser().parse_args(rest))


# -- flags -----------------------------------------------------------------------------------------------------------------------


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


def _add_serving_flags(parser: argparse.ArgumentParser) -> None:
    web = parser.add_argument_group("web")
    web.add_argument(
        "--web.listen-address", dest="listen", action="append", type=_listen_address, metavar="ADDRESS",
        help=f"where to listen; may be given more than once, IPv6 in brackets (default: {_DEFAULT_LISTEN})",
    )  # fmt: skip
    web.add_argument(
        "--web.telemetry-path", dest="telemetry_path", type=_telemetry_path, default="/metrics", metavar="PATH",
        help="the path of the metrics (default: %(default)s)",
    )  # fmt: skip
    web.add_argument(
        "--web.config.file", dest="web_config_file", type=_web_config_file, metavar="FILE",
        help="TLS and passwords; not available in this version, and refused",
    )  # fmt: skip
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


def _web_config_file(_text: str) -> Path:
    raise argparse.ArgumentTypeError(
        "not available in this version; listen on 127.0.0.1 and put a proxy in front that does TLS and passwords"
    )


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


def _exporter_parser() -> argparse.ArgumentParser:
    parser = _parser(
        "", "Prometheus exporter for the auth events of Amazon Cognito's threat protection.", _COMMANDS_HELP
    )
    parser.add_argument("--version", action="version", version=_version())
    _add_config_flag(parser)
    _add_serving_flags(parser)
    return parser


def _check_parser() -> argparse.ArgumentParser:
    parser = _parser("check", "Find every mistake in the configuration: exit status 0 if there is none, 1 if there is.")
    _add_config_flag(parser)
    return parser


def _demo_parser() -> argparse.ArgumentParser:
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


# -- commands --------------------------------------------------------------------------------------------------------------------


def _export(options: argparse.Namespace) -> int:
    """Run the exporter against AWS."""
    try:
        config = load(options.config_file)
    except ConfigError as error:
        return _fail(error, WRONG_CALL)
    return _serve(options, config, lambda: load(options.config_file), cognito_sources)


def _check(options: argparse.Namespace) -> int:
    try:
        config = load(options.config_file)
    except ConfigError as error:
        return _fail(error, FAILED)
    _say(f"{options.config_file}: good; user pools: {', '.join(pool.name for pool in config.user_pools)}")
    return OK


def _demonstrate(options: argparse.Namespace) -> int:
    if options.users * options.speed > _MOST_TRAFFIC:
        return _fail(ValueError(f"--users times --speed may be {_MOST_TRAFFIC} at most"), WRONG_CALL)
    try:
        with Demonstration(options.users, options.speed) as demonstration:
            config = demonstration.config
            return _serve(options, config, lambda: config, demonstration.sources, _greet)
    except OSError as error:
        return _fail(error, FAILED)


def _greet(options: argparse.Namespace, sockets: Sequence[socket.socket]) -> None:
    host, port = sockets[0].getsockname()[:2]
    where = "localhost" if host in _EVERYWHERE else f"[{host}]" if ":" in host else host
    _say(f"simulated users: {options.users}; end with Ctrl-C")
    _say(f"status page: http://{where}:{port}/")
    _say(f"metrics:     http://{where}:{port}{options.telemetry_path}")


def _serve(
    options: argparse.Namespace,
    config: Config,
    read_config: Callable[[], Config],
    sources: SourcesFor,
    greet: Callable[[argparse.Namespace, Sequence[socket.socket]], None] = lambda *_: None,
) -> int:
    """Open what can fail, each with a plain message, then run to the end; `greet` is called once all is open."""
    logs.configure(options.log_level, options.log_format, sys.stderr)
    try:
        sockets = bind(options.listen or [parse_listen_address(_DEFAULT_LISTEN)])
        ledger = SqliteLedger(config.state.path, ledger_settings(config), time.time())
    except (ListenError, LedgerError) as error:
        return _fail(error, FAILED)
    greet(options, sockets)
    web = WebOptions(sockets, options.telemetry_path, options.enable_lifecycle, options.max_requests)
    exporter = Exporter(
        config, ledger, read_config=read_config, sources=sources, web=web, logger=structlog.get_logger()
    )
    _tame_garbage_collector()
    asyncio.run(exporter.run())
    return OK


def _tame_garbage_collector() -> None:
    """Leave what has been imported alone, and look for garbage in cycles less often, of which the exporter makes hardly any.

    Taking in a history of 120,000 events took 58 µs an event, a quarter of it for this (`make bench ARGS=end_to_end`).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


def _say(text: str) -> None:
    _print(text, sys.stdout)


def _fail(error: Exception, status: int) -> int:
    _print(str(error), sys.stderr)
    return status


def _print(text: str, stream: TextIO | None) -> None:
    """Print a line; whoever has closed the stream does not want it."""
    if stream is None:
        return
    try:
        print(text, file=stream, flush=True)
    except OSError:
        with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - a device, not a path
            os.dup2(nowhere.fileno(), stream.fileno())  # else Python tries the unsent rest again at exit


_COMMANDS: dict[str, tuple[Callable[[], argparse.ArgumentParser], Callable[[argparse.Namespace], int]]] = {
    "": (_exporter_parser, _export),
    "check": (_check_parser, _check),
    "demo": (_demo_parser, _demonstrate),
}
