"""Reads files, and keeps what tells later whether they have changed."""

import time
from pathlib import Path

from exporter.configuration.errors import ConfigError
from exporter.configuration.text_file import read_bounded

_TICK = 50_000_000  # nanoseconds; Linux writes times of files by a clock that ticks 100 to 1000 times a second

Stamp = tuple[int, ...] | None
"""What changes with a file; None: there is none that could be looked at."""


def stamp(path: Path) -> Stamp:
    """Return the stamp of a file as it is now; ctime also tells of a change that leaves mtime and size as they were.

    A file that has changed just now may change again before the kernel's clock ticks: its stamp is like no other.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    now = time.time_ns()
    settled = not 0 <= now - found.st_ctime_ns < _TICK
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev, 0 if settled else now)


def no_stamp() -> Stamp:
    """Return a stamp that no file has: it is to be read again."""
    return (time.time_ns(),)


class FileReader:
    """Reads files of `limit` bytes at most; `stamps` has those of each, taken before it was read."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.stamps: dict[Path, Stamp] = {}

    def read(self, path: Path, hint: str) -> bytes:
        """Return what is in a file. Raises `ConfigError`; `hint` says how to mend it.

        What could not be read although it is there may be readable without a change: its stamp is like no other.
        """
        self.stamps[path] = stamp(path)
        try:
            return read_bounded(path, hint, self.limit)
        except ConfigError:
            if self.stamps[path] is not None:
                self.stamps[path] = no_stamp()
            raise
