"""The command: flags in the Prometheus convention, subcommands, exit codes."""

import argparse
import os
import platform
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from exporter import __version__, logs
from exporter.app import Exporter, WebOptions, ledger_settings, run
from exporter.config.load import ConfigError, load
from exporter.config.models import Config
from exporter.demo import DEFAULT_USERS, demonstrate
from exporter.fetch.cognito import cognito_sources
from exporter.ledger.ledger import LedgerError
from exporter.ledger.sqlite import SqliteLedger
from exporter.web.server import ListenError, bind, parse_listen_address

OK, FAILED, WRONG_CALL = 0, 1, 2

DEFAULT_LISTEN = ":10078"
DEFAULT_CONFIG = Path("config.yaml")


def main() -> None:
    """Run the command and leave with its exit status, whatever threads AWS may leave hanging."""
    status = command(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    if threading.active_count() > 1:
        os._exit(status)
    sys.exit(status)


def command(arguments: Sequence[str]) -> int:
    """Run the command with these arguments and return its exit status."""
    name = arguments[0] if arguments and arguments[0] in _COMMANDS else ""
    parser, action = _COMMANDS[name]
    return action(parser().parse_args(arguments[1:] if name else arguments))


# -- commands --------------------------------------------------------------------------------------------------------------------


def _run_exporter(options: argparse.Namespace) -> int:
    """The exporter against AWS."""
    if options.web_config_file is not None:
        print("--web.config.file is not available in this version; put a proxy in front for TLS and passwords", file=sys.stderr)  # noqa: T201
        return WRONG_CALL
    try:
        config = load(options.config_file)
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return WRONG_CALL
    return serve(options, config, read_config=lambda: load(options.config_file))


def serve(
    options: argparse.Namespace,
    config: Config,
    *,
    read_config: Callable[[], Config],
    sources: Callable[..., object] = cognito_sources,
) -> int:
    """Open what can fail, each with a plain message, then run to the end."""
    logs.configure(options.log_level, options.log_format)
    logger = structlog.get_logger()
    try:
        sockets = bind([parse_listen_address(address) for address in options.web_listen_address or [DEFAULT_LISTEN]])
        ledger = SqliteLedger(config.state.path, ledger_settings(config), time.time())
    except (ListenError, LedgerError) as error:
        logger.error(str(error))
        return FAILED
    web = WebOptions(sockets, options.web_telemetry_path, options.web_enable_lifecycle, options.web_max_requests)
    return run(lambda: Exporter(config, ledger, read_config=read_config, sources=sources, web=web, logger=logger))


def _check(options: argparse.Namespace) -> int:
    """`check`: every mistake of the configuration at once."""
    try:
        config = load(options.config_file)
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return FAILED
    print(f"{options.config_file}: good, {len(config.user_pools)} user pool(s)")  # noqa: T201
    return OK
