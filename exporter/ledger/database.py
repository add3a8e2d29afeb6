"""The state file: made whole, opened by one process only, and left untouched where it is not ours."""

import os
import secrets
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog
from structlog.typing import FilteringBoundLogger

from exporter.ledger.ledger import CommitError, LedgerError
from exporter.ledger.place import Place, sync_directory
from exporter.ledger.schema import APPLICATION_ID, SCHEMA, SCHEMA_VERSION, migrate, version_of

MEMORY = ":memory:"

_HEADER_BYTES = 100  # https://www.sqlite.org/fileformat.html#the_database_header
_MAGIC = b"SQLite format 3\x00"


def open_database(path: Path | str) -> "Database":
    """Open the state for this process alone, making it where there is none.

    `path` may be ":memory:". Raises `LedgerError` for a file that is not ours, of a newer version, corrupt, held by another
    process, or in a place that cannot be written; such a file is left as it is.
    """
    try:
        if path == MEMORY:
            connection = _connect(MEMORY)
            _create(connection)
            return Database(connection, None)
        return _open_file(Path(path))
    except sqlite3.Error as error:
        raise LedgerError(f"{path}: cannot be used as the state: {error}{_hint(error)}") from error
    except OSError as error:
        raise LedgerError(f"{path}: cannot be used as the state: {error.strerror}; check state.path") from error


def _open_file(path: Path) -> "Database":
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():
        raise LedgerError(f"{path}: not a regular file; name another in state.path")
    if not path.exists() or path.stat().st_size == 0:
        _create_file(path)
    _refuse_foreign(path)
    _refuse_corrupt(path)
    real = path.resolve()  # where SQLite keeps the log too
    return Database(_opened(real), real)


def _opened(path: Path) -> sqlite3.Connection:
    """Take a file that is there for this process."""
    connection = _connect(f"{path.absolute().as_uri()}?mode=rw")
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        migrate(connection)
        # a log whose sync has failed is read back from memory: what it holds is shown once the file itself has it
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


class Database:
    """The one connection to the state, which all parts of the ledger share, and the file behind it.

    Somebody may take the file away, or put another in its place: each transaction looks first. A connection that keeps failing
    though the fault is gone is opened anew.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path | None) -> None:
        """Take an open connection and the file's path, None in memory."""
        self._connection: sqlite3.Connection | None = connection
        self._closed_for = "the state is not open"
        self._place = None if path is None else Place(path)
        self._logger: FilteringBoundLogger = structlog.get_logger()

    def execute(self, statement: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        """Execute one statement."""
        return self._open_connection.execute(statement, values)

    def executemany(self, statement: str, values: Iterable[Sequence[object]]) -> sqlite3.Cursor:
        """Execute one statement for each set of values."""
        return self._open_connection.executemany(statement, values)

    def close(self) -> None:
        """Close the state; what is committed is safe."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @property
    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise CommitError(self._closed_for)
        return self._connection

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what is done inside, or take it all back; a failing disk is a `CommitError`."""
        self._see_to_the_place()
        connection = self._open_connection
        with disk_errors():
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    with suppress(sqlite3.Error):  # the next transaction will say so
                        connection.execute("ROLLBACK")
                raise

    # -- the file taken away, or replaced ----------------------------------------------------------------------------------------

    def _see_to_the_place(self) -> None:
        if self._place is not None and not self._place.is_untouched() and self._is_written_anew(self._place):
            self._take_up(self._place)
            self._logger.warning("the state file was taken away while in use; it was written anew, nothing is lost")

    def _is_written_anew(self, place: Place) -> bool:
        """Put the whole state back in its place, from the connection that still holds it, and let go of that."""
        try:
            place.path.parent.mkdir(parents=True, exist_ok=True)
            with _made_beside(place.path, self._open_connection.backup) as new:
                if not place.put(new):
                    return False
        except (OSError, sqlite3.Error) as error:
            raise CommitError(f"the state file was taken away, and cannot be written anew: {_reason(error)}") from error
        self.close()
        return True

    def reopen(self) -> bool:
        """Open the file anew, where its place can be written though the connection fails; tell whether it was.

        What a failing connection took back may be there then, as it may be after a kill. Raises `CommitError`.
        """
        if self._place is None or not self._is_to_be_reopened(self._place):
            return False
        with suppress(sqlite3.Error):  # it fails anyway
            self.close()
        self._take_up(self._place)
        return True

    def _is_to_be_reopened(self, place: Place) -> bool:
        if self._connection is None:
            return place.holds_the_file()
        # else the next transaction says, or mends, what is wrong
        return place.is_untouched() and place.can_be_written()

    def _take_up(self, place: Place) -> None:
        try:
            place.sync()
            self._connection = _opened(place.path)
        except (OSError, sqlite3.Error) as error:
            self._closed_for = f"the state file cannot be opened anew: {_reason(error)}"
            raise CommitError(self._closed_for) from error
        place.look()


@contextmanager
def disk_errors() -> Iterator[None]:
    """Raise what SQLite says of the disk and the file as `CommitError`; its other errors are about a statement and its values."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if type(error) in _OF_THE_DISK:
            raise CommitError(_reason(error)) from error
        raise


_OF_THE_DISK = (sqlite3.OperationalError, sqlite3.DatabaseError)  # the latter itself says that a file is corrupt


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, uri=True, isolation_level=None, timeout=1.0, check_same_thread=False)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA temp_store = MEMORY")
    # kB at most. With the usual 2000, histories that come in have a fifth of their system time go by reading pages again;
    # 8000 gain no more, and are 60 bytes for each of 100,000 users.
    connection.execute("PRAGMA cache_size = -4000")
    connection.execute("PRAGMA journal_size_limit = 16777216")
    return connection


def _create_file(path: Path) -> None:
    with _made_beside(path, _create) as new:
        _move_durably(new, path)


@contextmanager
def _made_beside(path: Path, fill: Callable[[sqlite3.Connection], None]) -> Iterator[Path]:
    """Make the whole file beside its place, to be put there, so that a kill leaves none or a good one."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    new = Path(name)
    try:
        connection = sqlite3.connect(name, isolation_level=None)
        try:
            fill(connection)
            connection.execute("PRAGMA journal_mode = WAL")
        finally:
            connection.close()
        yield new
    finally:
        new.unlink(missing_ok=True)


def _move_durably(new: Path, path: Path) -> None:
    """Put the file in place without replacing one that another process put there meanwhile."""
    if path.exists():
        path.unlink() if path.stat().st_size == 0 else None
    try:
        os.link(new, path)
    except FileExistsError:
        return
    sync_directory(path.parent)


def _create(connection: sqlite3.Connection) -> None:
    connection.executescript(f"BEGIN; {SCHEMA} COMMIT;")
    connection.execute("INSERT INTO meta VALUES ('hash_key', ?)", (secrets.token_bytes(32),))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _refuse_foreign(path: Path) -> None:
    """Read the file's header without opening it as a database, which might already change it."""
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise LedgerError(
            f"{path}: not a SQLite database, or a corrupt one; name another file in state.path, or move this one away"
        )
    version, application = (int.from_bytes(header[at : at + 4], "big") for at in (60, 68))
    if application != APPLICATION_ID:
        raise LedgerError(f"{path}: a SQLite database of another program; name another file in state.path")
    _refuse_version(path, version)


def _refuse_version(path: Path, version: int) -> None:
    if version < 1:
        raise LedgerError(f"{path}: corrupt (no state has version {version}); restore a copy, or move the file away")
    if version > SCHEMA_VERSION:
        raise LedgerError(
            f"{path}: written by a newer version of this exporter (state version {version}, this one knows {SCHEMA_VERSION}); "
            "run that version, or restore a copy from before the upgrade"
        )


def _refuse_corrupt(path: Path) -> None:
    """Check the file through a read-only connection, which does not change it; its log may tell of a newer version."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)
    try:
        _refuse_version(path, version_of(connection))
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        verdict = str(error)
    finally:
        connection.close()
    if verdict != "ok":
        raise LedgerError(
            f"{path}: corrupt ({verdict}); restore a copy, or move the file away to count anew from counting.start"
        )


_HINTS = {
    "database is locked": ": another process holds it; stop that one, or give each exporter its own state.path",
    "unable to open": "; check that the directory exists and may be written",
    "readonly": "; check that the file and its directory may be written",
    "disk is full": "; make room on the file system of state.path",
    "disk I/O error": "; the system's log tells what is wrong with the disk or file system of state.path",
    "malformed": "; the file is damaged: stop the exporter and restore a copy",
}


def _reason(error: OSError | sqlite3.Error) -> str:
    """Return what went wrong and what to do about it, without the path."""
    return f"{error}{_hint(error)}" if isinstance(error, sqlite3.Error) else str(error.strerror)


def _hint(error: sqlite3.Error) -> str:
    return next((hint for text, hint in _HINTS.items() if text in str(error)), "")
