"""Log lines as users' pipelines read them."""

import io
import json
import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import NoReturn, TextIO

import pytest
import structlog

from exporter.logs import LogFormat, configure

AT = 1_795_487_461.5
HEAD = "ts=2026-11-24T02:31:01.500Z"


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Give back pytest's own handlers afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield
    root.handlers, root.level = handlers, level
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def fail(error: Exception) -> NoReturn:
    raise error


def configured(level: str = "info", log_format: LogFormat = "logfmt") -> io.StringIO:
    stream = io.StringIO()
    configure(level, log_format, stream, clock=lambda: AT)
    return stream


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("word", "word"),
        ("eu-west-1_Ab/x:1", "eu-west-1_Ab/x:1"),
        ("Türkiye", "Türkiye"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "x"', r'"say \"x\""'),
        ("back\\slash", r'"back\\slash"'),
        ("line\nlevel=error", r'"line\nlevel=error"'),
        ("\r\t\x1b[31m\x7f\x85\u2028", r'"\r\t\u001b[31m\u007f\u0085\u2028"'),
        ("\ud800", r'"\ud800"'),
        (True, "true"),
        (None, "null"),
        (1.5, "1.5"),
        (7, "7"),
        (["a", 1], "\"['a', 1]\""),
    ],
)
def test_logfmt_values(value: object, text: str) -> None:
    """Each value is one word or one quoted string on one line, whatever is in it."""
    stream = configured()
    structlog.get_logger().info("said", value=value)
    assert stream.getvalue() == f"{HEAD} level=info msg=said value={text}\n"


def test_logfmt_line() -> None:
    """Time, level and message come first, then the keys in their order."""
    stream = configured()
    structlog.get_logger(user_pool="customers").warning("discovery failed", outcome="throttled", seconds=2.5)
    assert stream.getvalue() == (
        f'{HEAD} level=warn msg="discovery failed" user_pool=customers outcome=throttled seconds=2.5\n'
    )


def test_json_line() -> None:
    """JSON has the same keys in the same order, in ASCII on one line."""
    stream = configured(log_format="json")
    structlog.get_logger().error("a\nb\u2028", country="Türkiye", ok=True, of=None)
    assert stream.getvalue() == (
        '{"ts": "2026-11-24T02:31:01.500Z", "level": "error", "msg": "a\\nb\\u2028", "country": "T\\u00fcrkiye", '
        '"ok": true, "of": null}\n'
    )


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["debug", "info", "warn", "error"]),
        ("info", ["info", "warn", "error"]),
        ("warn", ["warn", "error"]),
        ("error", ["error"]),
    ],
)
def test_levels(level: str, expected: list[str]) -> None:
    """Each level of the flag shows itself and what is worse."""
    stream = configured(level, "json")
    log = structlog.get_logger()
    for write in (log.debug, log.info, log.warning, log.error):
        write("x")
    assert [json.loads(line)["level"] for line in stream.getvalue().splitlines()] == expected


@pytest.mark.parametrize("how", ["exception", "exc_info"])
def test_exceptions_are_one_line(how: str) -> None:
    """An exception is its type and its text, on the line of its event; no traceback."""
    stream = configured()
    log = structlog.get_logger()
    try:
        fail(ValueError("two\nlines"))
    except ValueError as error:
        if how == "exception":
            log.exception("failed")
        else:
            log.error("failed", exc_info=error)
    assert stream.getvalue() == f'{HEAD} level=error msg=failed error="ValueError: two\\nlines"\n'


def test_traceback_at_debug() -> None:
    """At debug the traceback is there as well, still on one line."""
    stream = configured("debug")
    try:
        fail(ValueError("x"))
    except ValueError:
        structlog.get_logger().exception("failed")
    [line] = stream.getvalue().splitlines()
    assert 'traceback="Traceback (most recent call last):\\n' in line


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", [("warn", "careful 1%"), ("error", "broken"), ("error", "worse")]),
        ("error", [("error", "broken"), ("error", "worse")]),
    ],
)
def test_libraries(level: str, expected: list[tuple[str, str]]) -> None:
    """What libraries log comes in the same form from warning on; below, boto3 would write out user names."""
    stream = configured(level, "json")
    library = logging.getLogger("botocore.endpoint")
    library.debug("request of alice")
    library.info("request of alice")
    library.warning("careful %d%%", 1)
    library.error("broken")
    library.critical("worse")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["level"], line["msg"]) for line in lines] == expected
    assert {line["logger"] for line in lines} == {"botocore.endpoint"}


def test_libraries_mistakes() -> None:
    """A library that logs wrongly, or warns, does not break the form or the process."""
    stream = configured()
    logging.getLogger("x").warning("%d", "no number")  # noqa: PLE1206, RUF100 - this is the case
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old Python", stacklevel=1)
    first, second = stream.getvalue().splitlines()
    assert first == f"{HEAD} level=warn msg=%d logger=x"
    assert "old Python" in second


def test_what_botocore_repeats_is_left_out() -> None:
    """Botocore's warning at each request of a role that cannot be assumed anew is no line; others of its are."""
    stream = configured()
    logging.getLogger("botocore.credentials").warning("Refreshing temporary credentials failed")
    logging.getLogger("botocore.endpoint").warning("another")
    assert [line.split(" msg=")[1] for line in stream.getvalue().splitlines()] == ["another logger=botocore.endpoint"]


def test_library_exceptions() -> None:
    """An exception that a library logs is one line too."""
    stream = configured()
    try:
        fail(OSError(5, "broken"))
    except OSError:
        logging.getLogger("asyncio").exception("Fatal error")
    assert stream.getvalue() == (
        f'{HEAD} level=error msg="Fatal error" logger=asyncio error="OSError: [Errno 5] broken"\n'
    )


@pytest.mark.parametrize("stream", [None, io.StringIO()])
def test_no_stream(stream: TextIO | None) -> None:
    """Logging to what is closed, or to nothing, is silent."""
    if stream is not None:
        stream.close()
    configure("info", "logfmt", stream)
    structlog.get_logger().info("x")


def test_broken_pipe() -> None:
    """A reader of standard error that goes away neither kills the process nor changes its exit status."""
    script = (
        "import sys, structlog; from exporter.logs import configure; configure('info', 'logfmt', sys.stderr)\n"
        "sys.stdin.read()\n"
        "for _ in range(3): structlog.get_logger().info('x' * 100)\n"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stderr.close()
        process.stdin.close()
        assert process.wait(30) == 0
