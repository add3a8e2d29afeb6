"""Logs: one line an event in logfmt or JSON; whatever libraries log by `logging` takes the same way.

There is one way to log: an object takes its logger from `structlog.get_logger()` when it is made, and calls it with a
constant message and the facts as keys: `log.warning("discovery failed", user_pool=name, outcome=outcome)`. An exception
goes in as `exc_info=error`.
"""

import json
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import structlog

LogFormat = Literal["logfmt", "json"]
Event = MutableMapping[str, Any]

LEVELS: Mapping[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
_LEVEL_NAMES = {"warning": "warn", "critical": "error", "exception": "error"}
"""The flag's word for a level, where it is not the method's name."""
_REPEATED, _NEVER = "botocore.credentials", logging.CRITICAL + 1
"""Warns, with a traceback, at each request of a role that cannot be assumed anew. Metrics and the errors of polls tell of it."""


def configure(
    level: str, log_format: LogFormat, stream: TextIO | None, *, clock: Callable[[], float] = time.time
) -> None:
    """Send all logs from `level` (a key of LEVELS) to `stream`; None, as a closed `sys.stderr` is, drops them.

    The libraries' logs are kept from warning on, whatever `level` is: below, boto3 writes out requests with user names.
    Raises KeyError on any other level or format.
    """
    threshold = LEVELS[level]
    lines = _Lines(stream)
    structlog.configure(
        processors=[_Exceptions(with_traceback=threshold <= logging.DEBUG), _Head(clock), _RENDERERS[log_format]],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=False,
    )
    logging.getLogger(_REPEATED).setLevel(_NEVER)
    logging.basicConfig(handlers=[_IntoStructlog()], level=max(threshold, logging.WARNING), force=True)
    logging.captureWarnings(capture=True)


class _Exceptions:
    """Turns `exc_info` into `error="Type: message"`, and into `traceback` too where that is wanted."""

    def __init__(self, *, with_traceback: bool) -> None:
        self._with_traceback = with_traceback

    def __call__(self, _logger: object, _method: str, event: Event) -> Event:
        error = _exception(event.pop("exc_info", None))
        if error is not None:
            event["error"] = "".join(traceback.format_exception_only(error)).strip()
            if self._with_traceback:
                event["traceback"] = "".join(traceback.format_exception(error))
        return event


def _exception(exc_info: object) -> BaseException | None:
    """Return what is meant by the forms that `logging` takes: an exception, a triple, or true for the current one."""
    found = exc_info[1] if isinstance(exc_info, tuple) else exc_info
    if isinstance(found, BaseException):
        return found
    return sys.exception() if found else None


class _Head:
    """Puts the time (RFC 3339 in UTC with milliseconds), the level and the message first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def __call__(self, _logger: object, method: str, event: Event) -> Event:
        ts = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"ts": ts, "level": _LEVEL_NAMES.get(method, method), "msg": event.pop("event", ""), **event}


def _logfmt(_logger: object, _method: str, event: Event) -> str:
    return " ".join(f"{key}={_logfmt_value(value)}" for key, value in event.items())


def _logfmt_value(value: object) -> str:
    """Return the value, quoted with JSON's escapes unless it is one plain word: no value can begin a line or a key."""
    text = _LOGFMT_CONSTANTS[value] if value is None or isinstance(value, bool) else str(value)
    if text.isprintable() and not set(text) & set(' ="\\') and text:
        return text
    return '"' + "".join(json.dumps(c, ensure_ascii=not c.isprintable())[1:-1] for c in text) + '"'


_LOGFMT_CONSTANTS = {None: "null", True: "true", False: "false"}


def _json(_logger: object, _method: str, event: Event) -> str:
    return json.dumps(event, default=str)


_RENDERERS: Mapping[str, Callable[[object, str, Event], str]] = {"logfmt": _logfmt, "json": _json}


class _Lines:
    """Writes lines whole, from any thread; a stream that is gone costs the line and nothing else."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def msg(self, line: str) -> None:
        with self._lock:
            try:
                self._write(line)
            except BrokenPipeError:
                self._give_up()
            except (OSError, ValueError):  # a full disk, a closed stream
                return

    # structlog calls the method named as the level
    debug = info = warning = error = critical = exception = msg

    def _write(self, line: str) -> None:
        if self._stream is not None:
            self._stream.write(line + "\n")
            self._stream.flush()

    def _give_up(self) -> None:
        """Write to nowhere from now on: else Python tries the unsent rest again at exit, and ends with status 120.

        https://docs.python.org/3/library/signal.html#note-on-sigpipe
        """
        stream, self._stream = self._stream, None
        if stream is not None:
            with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - a device, not a path
                os.dup2(nowhere.fileno(), stream.fileno())


class _IntoStructlog(logging.Handler):
    """Passes the records of `logging` on to structlog, with the name of the library's logger."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage().strip()
        except (TypeError, ValueError, KeyError):  # a library's own mistake in its format
            message = str(record.msg)
        log = structlog.get_logger()
        write = log.error if record.levelno >= logging.ERROR else log.warning
        # a "%" in the message is text by now: only with arguments would structlog take it for a format
        write(message, logger=record.name, exc_info=record.exc_info)
