"""Files of user names: one a line, `#` at a line's start comments."""

import re
from pathlib import Path

from exporter.configuration.errors import ConfigError, Problem
from exporter.configuration.text_file import read_text

# botocore's model of Username: 1 to 128 letters, marks, symbols, numbers or punctuation, so no white space
_USERNAME = re.compile(r"[^\s\x00-\x1f\x7f]{1,128}")


def check_username(name: str) -> str:
    """Return the name; the ValueError says what is wrong with it."""
    if not _USERNAME.fullmatch(name):
        raise ValueError("a user name has 1 to 128 characters and no white space")
    return name


def read_users_file(path: Path) -> list[str]:
    """Return the user names in a file, in its order. Raises `ConfigError` with every bad line, or why it cannot be read."""
    text = read_text(path, "it is to hold user names, one a line")
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    names = [(number, name) for number, name in lines if name and not name.startswith("#")]
    problems = [
        Problem(path, "a user name has 1 to 128 characters and no white space; write one a line", number)
        for number, name in names
        if not _USERNAME.fullmatch(name)
    ]
    if problems:
        raise ConfigError(problems)
    return [name for _, name in names]
