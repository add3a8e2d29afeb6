"""The command: its subcommands, and what they end with."""

import argparse
import asyncio
import errno
import gc
import io
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

import structlog

from exporter import flags, logs
from exporter.app import Exporter, SourcesFor, WebOptions
from exporter.commands.history import History, read_history
from exporter.commands.live_check import LiveCheck
from exporter.commands.outputs import OUTPUTS
from exporter.commands.requests import Requests, Time
from exporter.commands.terminal import harmless
from exporter.configuration.errors import ConfigError, Problem
from exporter.configuration.load import load
from exporter.configuration.models import Config, UserPool
from exporter.demo import Demonstration
from exporter.derived import ledger_settings
from exporter.event_log import sink
from exporter.fetch.outcome import FetchError, Outcome
from exporter.fetch.sources import SourceFactory, cognito_sources
from exporter.ledger.ledger import LedgerError
from exporter.ledger.sqlite import SqliteLedger
from exporter.systemd import passed_sockets
from exporter.web.server import ListenError, bind, parse_listen_address
from exporter.web.web_config import load_web_config
from exporter.web.web_files import WebConfigFiles

OK, FAILED, WRONG_CALL = 0, 1, 2
"""Exit statuses: done; could not do it, or `check` found mistakes; the call or the configuration is wrong."""

_EVERYWHERE = frozenset({"::", "0.0.0.0"})  # noqa: S104 - told from other addresses, not listened on
_UNWANTED = frozenset({errno.EPIPE, errno.EBADF})  # whoever has closed a stream does not want what is printed
_MOST_TRAFFIC = 100_000  # users times speed that one process can simulate and poll


class OutputError(Exception):
    """What was to be printed is lost."""


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
    try:
        return action(parser().parse_args(rest))
    except OutputError as error:
        return _fail(error, FAILED)


def _export(options: argparse.Namespace) -> int:
    """Run the exporter against AWS."""
    try:
        config = load(options.config_file)
    except ConfigError as error:
        return _fail(error, WRONG_CALL)
    return _serve(options, config, lambda: load(options.config_file), cognito_sources)


def _check(options: argparse.Namespace) -> int:
    try:
        config = _load_both(options.config_file, options.web_config_file)
    except ConfigError as error:
        return _fail(error, FAILED)
    if options.live:
        return FAILED if LiveCheck(config, _unobserved(), _say, Time()).run() else OK
    files = filter(None, (options.config_file, options.web_config_file))
    _say(f"{', '.join(map(str, files))}: good; user pools: {', '.join(pool.name for pool in config.user_pools)}")
    return OK


def _load_both(file: Path, web_file: Path | None) -> Config:
    """Return the configuration. Raises `ConfigError` with every mistake in it and in the web configuration."""
    problems: list[Problem] = []
    if web_file is not None:
        try:
            for warning in load_web_config(web_file).warnings:
                _print(f"{web_file}: {warning}", sys.stderr)
        except ConfigError as error:
            problems += error.problems
    try:
        config = load(file)
    except ConfigError as error:
        raise ConfigError([*error.problems, *problems]) from error
    if problems:
        raise ConfigError(problems)
    return config


def _unobserved() -> SourceFactory:
    return cognito_sources(lambda *_: None)


def _show_events(options: argparse.Namespace) -> int:
    try:
        config = load(options.config_file)
    except ConfigError as error:
        return _fail(error, WRONG_CALL)
    pool = next((each for each in config.user_pools if each.name == options.user_pool), None)
    if pool is None:
        names = ", ".join(each.name for each in config.user_pools)
        return _fail(ValueError(f'--user-pool: there is no "{options.user_pool}"; user pools: {names}'), WRONG_CALL)
    try:
        history = _history(options, config, pool)
    except FetchError as error:
        text = "no such user" if error.outcome is Outcome.USER_NOT_FOUND else str(error)
        return _fail(ValueError(": ".join(filter(None, (pool.name, error.key, text)))), FAILED)
    for gap in history.gaps():
        _print(gap, sys.stderr)
    _say(OUTPUTS[options.output](history.newest(options.limit)))
    return OK


def _history(options: argparse.Namespace, config: Config, pool: UserPool) -> History:
    polling = config.polling
    source = _unobserved()(pool, polling.request_timeout)
    try:
        requests = Requests(polling.requests_per_second, Time())
        return read_history(source, requests, options.username, options.limit, polling.max_pages)
    finally:
        source.close()


def _demonstrate(options: argparse.Namespace) -> int:
    if options.users * options.speed > _MOST_TRAFFIC:
        return _fail(ValueError(f"--users times --speed may be {_MOST_TRAFFIC} at most"), WRONG_CALL)
    try:
        with Demonstration(options.users, options.speed) as demonstration:
            config = demonstration.config
            return _serve(options, config, lambda: config, demonstration.sources, _greet)
    except OSError as error:
        return _fail(error, FAILED)


def _greet(options: argparse.Namespace, web: WebOptions) -> None:
    host, port = web.sockets[0].getsockname()[:2]
    where = "localhost" if host in _EVERYWHERE else f"[{host}]" if ":" in host else host
    _say(f"simulated users: {options.users}; end with Ctrl-C")
    _say(f"status page: {web.scheme}://{where}:{port}/")
    _say(f"metrics:     {web.scheme}://{where}:{port}{options.telemetry_path}")


def _serve(
    options: argparse.Namespace,
    config: Config,
    read_config: Callable[[], Config],
    sources: SourcesFor,
    greet: Callable[[argparse.Namespace, WebOptions], None] = lambda *_: None,
) -> int:
    """Open what can fail, each with a plain message, then run to the end; `greet` is called once all is open."""
    logs.configure(options.log_level, options.log_format, sys.stderr)
    logger = structlog.get_logger()
    try:
        files = options.web_config_file and WebConfigFiles(options.web_config_file, logger)
    except ConfigError as error:
        return _fail(error, WRONG_CALL)
    try:
        sockets = _sockets(options)
        ledger = SqliteLedger(config.state.path, ledger_settings(config), time.time())
        sink.check(config.event_log.path)
    except (ListenError, LedgerError, sink.SinkError) as error:
        return _fail(error, FAILED)
    web = WebOptions(sockets, options.telemetry_path, options.enable_lifecycle, options.max_requests, files)
    greet(options, web)
    exporter = Exporter(config, ledger, read_config=read_config, sources=sources, web=web, logger=logger)
    _tame_garbage_collector()
    asyncio.run(exporter.run())
    return OK


def _sockets(options: argparse.Namespace) -> list[socket.socket]:
    if options.systemd_socket:
        return passed_sockets(os.environ)
    return bind(options.listen or [parse_listen_address(flags.DEFAULT_LISTEN)])


def _tame_garbage_collector() -> None:
    """Leave what has been imported alone, and look for garbage in cycles less often, of which the exporter makes hardly any.

    Taking in a history of 120,000 events took 58 µs an event, a quarter of it for this (`make bench ARGS=end_to_end`).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


def _say(text: str) -> None:
    """Print to standard output. Raises `OutputError` where that does not take it, unless its reader has gone."""
    error = _print(text, sys.stdout)
    if error is not None and error.errno not in _UNWANTED:
        raise OutputError(f"standard output: {error.strerror}; what was printed is not whole")


def _fail(error: Exception, status: int) -> int:
    """Say what went wrong, some of which may be a server's words; its lines stay apart."""
    _print("\n".join(map(harmless, str(error).split("\n"))), sys.stderr)
    return status


def _print(text: str, stream: TextIO | None) -> OSError | None:
    """Print a line, and return what came in the way; after that the stream leads to nowhere."""
    if stream is None:
        return None
    try:
        print(text, file=stream, flush=True)
    except OSError as error:
        with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - a device, not a path
            os.dup2(nowhere.fileno(), stream.fileno())  # else Python tries the unsent rest again at exit
        return error
    return None


_COMMANDS: dict[str, tuple[Callable[[], argparse.ArgumentParser], Callable[[argparse.Namespace], int]]] = {
    "": (flags.exporter_parser, _export),
    "check": (flags.check_parser, _check),
    "demo": (flags.demo_parser, _demonstrate),
    "events": (flags.events_parser, _show_events),
}
