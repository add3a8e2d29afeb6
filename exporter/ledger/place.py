"""The place of the state file: whether it still holds the file that is in use, and how that is put back."""

import os
import tempfile
from pathlib import Path

from exporter.ledger.ledger import CommitError

_Identity = tuple[int, int]
"""Device and inode: a file in use keeps them, and no other has the same."""

_REPLACED = (
    "another file is in the place of the state file, or of its -wal; move it away, and the state in use is put back, "
    "or restart the exporter to go on with the other one"
)
_GONE = (
    "the state file is gone, and was not open; put it back, or restart the exporter to count anew from counting.start"
)


class Place:
    """The path of a state file that is in use, and of the log beside it."""

    def __init__(self, path: Path) -> None:
        """Take the path of a file that has just been opened."""
        self.path = path
        self._wal = path.with_name(path.name + "-wal")
        self._file: _Identity | None = None
        self._log: _Identity | None = None
        self.look()

    def look(self) -> None:
        """Take what is in its place as what is in use."""
        self._file, self._log = _identity(self.path), _identity(self._wal)

    def is_untouched(self) -> bool:
        """Tell whether all is in its place, or something was taken away. Raises `CommitError` where it was replaced."""
        file, log = _identity(self.path), _identity(self._wal)
        if file not in (self._file, None) or log not in (self._log, None):
            raise CommitError(_REPLACED)
        return file == self._file and log == self._log

    def holds_the_file(self) -> bool:
        """Tell that the file is in its place, whatever became of its log. Raises `CommitError` where it is not."""
        file = _identity(self.path)
        if file == self._file:
            return True
        raise CommitError(_GONE if file is None else _REPLACED)

    def put(self, new: Path) -> bool:
        """Put a new file in place of what is left; tell whether it was, or all is back by itself.

        The old log goes first: it would be taken for the new file's. A file that has lost its log goes only as the new one comes.
        Raises `CommitError` where another file has come there meanwhile.
        """
        identity = _identity(new)
        if self.is_untouched():
            return False
        if _identity(self.path) is None:
            self._wal.unlink(missing_ok=True)
            try:
                os.link(new, self.path)
            except FileExistsError as error:
                raise CommitError(_REPLACED) from error
        else:
            new.replace(self.path)
        self._file, self._log = identity, None
        return True

    def sync(self) -> None:
        """Make durable what is in place."""
        sync_directory(self.path.parent)

    def can_be_written(self) -> bool:
        """Tell whether the file system takes a file."""
        try:
            with tempfile.TemporaryFile(dir=self.path.parent, buffering=0) as probe:
                probe.write(bytes(4096))
                os.fsync(probe.fileno())
        except OSError:
            return False
        return True


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _identity(path: Path) -> _Identity | None:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise CommitError(f"the place of the state file cannot be looked at: {error.strerror}") from error
    return found.st_dev, found.st_ino
