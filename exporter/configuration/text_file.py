"""Files that people write."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exporter.configuration.errors import ConfigError, Problem

_ESCAPED = re.compile("[\udc80-\udcff]")  # a byte that is not UTF-8, by surrogateescape (PEP 383)


def read_text(file: Path, hint: str, limit: int = -1) -> str:
    """Return the text of a regular file in UTF-8. Raises `ConfigError`; `hint` says how to mend it, `limit` is in bytes."""
    content = read_content(file, hint) if limit < 0 else read_bounded(file, hint, limit)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf_8(file, content[: error.start].count(b"\n") + 1) from error


def read_content(file: Path, hint: str, limit: int = -1) -> bytes:
    """Return what is in a regular file, `limit` bytes at most unless that is negative. Raises as `read_text`."""
    with _errors_of(file, hint), file.open("rb") as content:
        return content.read(limit)


def read_bounded(file: Path, hint: str, limit: int) -> bytes:
    """Return what is in a regular file. Raises as `read_text`, and where it is larger than `limit` bytes."""
    content = read_content(file, hint, limit + 1)
    if len(content) > limit:
        raise ConfigError([Problem(file, f"larger than {limit} bytes; {hint}")])
    return content


def read_lines(file: Path, hint: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a regular file in UTF-8 with their numbers from 1, one at a time. Raises as `read_text`."""
    with _errors_of(file, hint), file.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
        for number, line in enumerate(lines, 1):
            if not line.isascii() and _ESCAPED.search(line):
                raise _not_utf_8(file, number)
            yield number, line


def _not_utf_8(file: Path, line: int) -> ConfigError:
    return ConfigError([Problem(file, "not UTF-8: save the file in that encoding", line)])


@contextmanager
def _errors_of(file: Path, hint: str) -> Iterator[None]:
    """Tell why a file cannot be read; one that is not regular is not even opened."""
    try:
        if file.exists() and not file.is_file():  # a pipe or a device might be waited for without end
            raise ConfigError([Problem(file, f"cannot be read: not a regular file; {hint}")])
        yield
    except OSError as error:
        raise ConfigError([Problem(file, f"cannot be read: {error.strerror}; {hint}")]) from error
