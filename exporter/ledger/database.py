"""The state file: made whole, opened by one process only, and left untouched where it is not ours."""

import os
import secrets
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exporter.ledger.ledger import CommitError, LedgerError
from exporter.ledger.schema import APPLICATION_ID, SCHEMA, SCHEMA_VERSION, migrate, version_of

MEMORY = ":memory:"

_HEADER_BYTES = 100  # https://www.sqlite.org/fileformat.html#the_database_header
_MAGIC = b"SQLite format 3\x00"


def open_database(path: Path | str) -> sqlite3.Connection:
    """Open the state for this process alone, making it where there is none.

    `path` may be ":memory:". Raises `LedgerError` for a file that is not ours, of a newer version, corrupt, held by another
    process, or in a place that cannot be written; such a file is left as it is.
    """
    try:
        if path == MEMORY:
            connection = _connect(MEMORY)
            _create(connection)
            return connection
        return _open_file(Path(path))
    except sqlite3.Error as error:
        raise LedgerError(f"{path}: cannot be used as the state: {error}{_hint(error)}") from error
    except OSError as error:
        raise LedgerError(f"{path}: cannot be used as the state: {error.strerror}; check state.path") from error


def _open_file(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():
        raise LedgerError(f"{path}: not a regular file; name another in state.path")
    if not path.exists() or path.stat().st_size == 0:
        _create_file(path)
    _refuse_foreign(path)
    _refuse_corrupt(path)
    connection = _connect(str(path))
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        migrate(connection)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what is done inside, or take it all back; a failing disk is a `CommitError`."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("COMMIT")
    except BaseException as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if isinstance(error, sqlite3.Error):
            raise CommitError(str(error)) from error
        raise


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=1.0, check_same_thread=False)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA temp_store = MEMORY")
    # kB at most. With the usual 2000, histories that come in have a fifth of their system time go by reading pages again;
    # 8000 gain no more, and are 60 bytes for each of 100,000 users.
    connection.execute("PRAGMA cache_size = -4000")
    connection.execute("PRAGMA journal_size_limit = 16777216")
    return connection


def _create_file(path: Path) -> None:
    """Make the whole file beside its place and move it there, so that a kill leaves none or a good one."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    new = Path(name)
    try:
        connection = sqlite3.connect(name, isolation_level=None)
        try:
            _create(connection)
            connection.execute("PRAGMA journal_mode = WAL")
        finally:
            connection.close()
        _move_durably(new, path)
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
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


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
}


def _hint(error: sqlite3.Error) -> str:
    return next((hint for text, hint in _HINTS.items() if text in str(error)), "")
