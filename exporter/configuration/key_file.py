"""The file that holds the key by which user names are hashed."""

from pathlib import Path

from exporter.configuration.errors import ConfigError, Problem
from exporter.configuration.text_file import read_content

_SHORTEST = 16
_LONGEST = 1024
_HINT = "it is to hold a key, as `openssl rand -hex 32` makes one"


def read_key(file: Path) -> bytes:
    """Return the key in a file: its bytes, without line ends after them. Raises `ConfigError`."""
    key = read_content(file, _HINT, _LONGEST + 2).rstrip(b"\r\n")
    if not _SHORTEST <= len(key) <= _LONGEST:
        raise ConfigError([Problem(file, f"a key has {_SHORTEST} to {_LONGEST} bytes; {_HINT}")])
    return key
