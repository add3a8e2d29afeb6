"""Files of user names: one a line, `#` at a line's start comments. They are read as a stream: they may hold a million."""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from exporter.configuration.errors import ConfigError, Problem
from exporter.configuration.text_file import read_lines

# botocore's model of Username: 1 to 128 letters, marks, symbols, numbers or punctuation, so no white space
_USERNAME = re.compile(r"[^\s\x00-\x1f\x7f]{1,128}")
_MOST_PROBLEMS = 20
_HINT = "it is to hold user names, one a line"


def check_username(name: str) -> str:
    """Return the name; the ValueError says what is wrong with it."""
    if not _USERNAME.fullmatch(name):
        raise ValueError("a user name has 1 to 128 characters and no white space")
    return name


def read_users_file(path: Path, batch: int) -> Iterator[Sequence[str]]:
    """Yield the user names in a file, in its order, `batch` at a time.

    The whole file is checked before the first: raises `ConfigError` as `check_users_file`, so that a mistake selects nobody.
    """
    check_users_file(path)
    names = (name for _, name in numbered_names(path))
    while found := list(islice(names, batch)):
        if not all(map(_USERNAME.fullmatch, found)):
            raise ConfigError([Problem(path, "changed while it was read")])
        yield found


def check_users_file(path: Path) -> None:
    """Raise `ConfigError` with the bad lines of a file, the first of them by number, or why it cannot be read."""
    bad = (number for number, name in numbered_names(path) if not _USERNAME.fullmatch(name))
    problems = [_bad_line(path, number) for number in islice(bad, _MOST_PROBLEMS)]
    more = sum(1 for _ in bad)
    if more:
        problems.append(Problem(path, f"{more} more lines hold no user name"))
    if problems:
        raise ConfigError(problems)


def _bad_line(path: Path, number: int) -> Problem:
    return Problem(path, "a user name has 1 to 128 characters and no white space; write one a line", number)


def numbered_names(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the user names in a file, unchecked, with the numbers of their lines from 1. Raises `ConfigError`."""
    for number, line in read_lines(path, _HINT):
        name = line.strip()
        if name and not name.startswith("#"):
            yield number, name
