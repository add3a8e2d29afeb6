"""Where lines are written: a file that log rotation may move, or standard output. All of it may block; nothing here is async."""

import errno
import os
import select
import stat
import sys
from pathlib import Path
from typing import Literal, Protocol

STANDARD_OUTPUT = "-"

_MODE = 0o640
_MOST_AT_ONCE = 1 << 16  # bytes
# O_NONBLOCK: a pipe that nobody reads is an error at once, as is a device that is not ready
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_DATABASE = b"SQLite format 3\x00"


class SinkError(Exception):
    """Lines could not be written; the text names the place, what is wrong and how to mend it. `whole` of them were before."""

    def __init__(self, text: str, whole: int = 0) -> None:
        super().__init__(text)
        self.whole = whole


class Sink(Protocol):
    """Takes lines. All calls come from one thread."""

    def open(self) -> object:
        """Make sure of the place. Raises `SinkError`."""
        ...

    def write(self, data: bytes) -> None:
        """Write whole lines, and return when they are where a kill cannot take them. Raises `SinkError`."""
        ...

    def close(self) -> None:
        """Let go of the place."""
        ...


def sink_for(path: Path | Literal["-"]) -> Sink:
    """Return the sink for what `event_log.path` says; nothing is opened before the first line."""
    return StandardOutput() if path == STANDARD_OUTPUT else File(Path(path))


def check(path: Path | Literal["", "-"]) -> None:
    """See that lines can be written there: a file is made where there is none. Raises `SinkError`."""
    if path != "":
        sink = sink_for(path)
        sink.open()
        sink.close()


class StandardOutput:
    """Standard output, as it was when the process began."""

    def __init__(self) -> None:
        self._lines: _Lines | None = None

    def open(self) -> "_Lines":
        """Return standard output, opened where it is not. Raises `SinkError`."""
        if sys.__stdout__ is None:  # then its number has gone to another file, such as the state
            raise SinkError("event_log: standard output is closed; open it, or name a file in event_log.path")
        if self._lines is None:
            try:
                self._lines = _Lines(os.dup(1))
            except OSError as error:
                raise _failed("standard output", error) from error
        return self._lines

    def write(self, data: bytes) -> None:
        """Write whole lines; where nobody reads them, this waits. Raises `SinkError`."""
        try:
            self.open().write(data)
        except OSError as error:
            raise _failed("standard output", error, self.open().whole) from error

    def close(self) -> None:
        """Let go of standard output; it stays open for others."""
        lines, self._lines = self._lines, None
        if lines is not None:
            os.close(lines.number)


class File:
    """A file by its path: whatever file stands there as lines are written is the one they go to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: _Lines | None = None

    def open(self) -> "_Lines":
        """Return the file, opened or made where it is not open, or is no longer at its path. Raises `SinkError`."""
        try:
            if self._lines is not None and not self._is_at_its_path(self._lines.number):
                self.close()
            if self._lines is None:
                self._lines = _Lines(self._opened())
        except OSError as error:
            raise _failed(str(self._path), error) from error
        return self._lines

    def write(self, data: bytes) -> None:
        """Write whole lines to the file at the path, and to the disk. Raises `SinkError`."""
        lines = self.open()
        try:
            lines.write(data)
        except OSError as error:
            raise _failed(str(self._path), error, lines.whole) from error

    def close(self) -> None:
        """Close the file."""
        lines, self._lines = self._lines, None
        if lines is not None:
            os.close(lines.number)

    def _is_at_its_path(self, number: int) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(number))
        except FileNotFoundError:
            return False

    def _opened(self) -> int:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        number = os.open(self._path, _FLAGS, _MODE)
        try:
            self._refuse_what_is_no_log(number)
            os.set_blocking(number, True)
            if stat.S_ISREG(os.fstat(number).st_mode):
                _sync_folder(self._path.parent)
        except BaseException:
            os.close(number)
            raise
        return number

    def _refuse_what_is_no_log(self, number: int) -> None:
        mode = os.fstat(number).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISCHR(mode)):
            raise SinkError(
                f"{self._path}: not a regular file; name another in event_log.path, or write - for standard output"
            )
        if stat.S_ISREG(mode) and os.pread(number, len(_DATABASE), 0) == _DATABASE:
            raise SinkError(f"{self._path}: a database; name another file in event_log.path")


class _Lines:
    """An open file. A line that was torn, by a full disk or by a kill before this process, is ended before the next one."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.whole = 0
        """How many lines the last `write` wrote whole, and to the disk where there is one."""
        self._is_file = stat.S_ISREG(os.fstat(number).st_mode)
        self._torn = self._is_file and _ends_within_a_line(number)

    def write(self, data: bytes) -> None:
        """Write lines; raises OSError."""
        self.whole = done = 0
        try:
            self._end_torn_line()
            while done < len(data):
                done += self._write(data[done : done + _MOST_AT_ONCE])
        finally:
            if done:
                self._torn = data[done - 1 : done] != b"\n"
            if self._is_file:
                _sync(self.number)
            self.whole = data.count(b"\n", 0, done)

    def _end_torn_line(self) -> None:
        if self._torn:
            self._write(b"\n")
            self._torn = False

    def _write(self, data: bytes) -> int:
        """Write a part; wait for room where whoever started this process made its output one that does not wait."""
        while True:
            try:
                return os.write(self.number, data)
            except BlockingIOError:
                room = select.poll()
                room.register(self.number, select.POLLOUT)
                room.poll()


def _ends_within_a_line(number: int) -> bool:
    try:
        size = os.fstat(number).st_size
        return size > 0 and os.pread(number, 1, size - 1) != b"\n"
    except OSError:  # standard output that may only be written
        return False


def _sync_folder(folder: Path) -> None:
    """Write a folder to the disk, so that a file made in it is found after a power cut."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _sync(number)
    finally:
        os.close(number)


def _sync(number: int) -> None:
    """Write an open file or folder to the disk; some file systems cannot, and never could."""
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise


_HINTS = {
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room on the disk",
    errno.EPIPE: "whoever read it has gone: restart the exporter, or name a file in event_log.path",
    errno.EACCES: "give the exporter's user the right to write there, or name another file in event_log.path",
    errno.EROFS: "the file system is read-only: name another file in event_log.path",
    errno.ENXIO: "a pipe that nobody reads, or a socket: name a file in event_log.path, or write - for standard output",
}


def _failed(place: str, error: OSError, whole: int = 0) -> SinkError:
    hint = _HINTS.get(error.errno or 0, "check event_log.path")
    return SinkError(f"{place}: the event log cannot be written: {error.strerror}; {hint}", whole)
