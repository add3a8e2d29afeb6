"""The state file: made whole or not at all, held by one process, and left untouched where it is not ours."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.ledger.database import APPLICATION_ID, SCHEMA_VERSION, open_database
from exporter.ledger.ledger import LedgerError


def foreign(path: Path) -> None:
    """Make a database of another program."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE notes (text TEXT)")
    connection.close()


def newer(path: Path) -> None:
    """Make a state of a newer version."""
    open_database(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def corrupt(path: Path) -> None:
    """Make a state whose pages are overwritten."""
    open_database(path).close()
    content = bytearray(path.read_bytes())
    content[4096 : 4096 * 3] = os.urandom(4096 * 2)
    path.write_bytes(content)


def text(path: Path) -> None:
    """Make a file that is no database."""
    path.write_text("user_pools: []\n" * 20)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (foreign, "a SQLite database of another program"),
        (newer, "written by a newer version of this exporter"),
        (corrupt, "corrupt"),
        (text, "not a SQLite database"),
    ],
)
def test_refuses_and_leaves_untouched(make: object, says: str, tmp_path: Path) -> None:
    """A file that is not ours, newer or corrupt is named, and not a byte of it changes."""
    path = tmp_path / "state.db"
    assert callable(make)
    make(path)
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=says) as caught:
        open_database(path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before


def test_first_start_makes_directory_and_file(tmp_path: Path) -> None:
    """A missing state is a first start, its directory too; nothing but the state is left beside it."""
    path = tmp_path / "data" / "deep" / "state.db"
    connection = open_database(path)
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    connection.close()
    assert [each.name for each in path.parent.iterdir()] == ["state.db"]


def test_empty_file_is_a_first_start(tmp_path: Path) -> None:
    """A file of no bytes holds nothing to lose."""
    path = tmp_path / "state.db"
    path.touch()
    open_database(path).close()
    assert path.stat().st_size > 0


def test_second_process_is_refused(tmp_path: Path) -> None:
    """While a process holds the state, another is refused with the reason, before and after the first has written."""
    path = tmp_path / "state.db"
    connection = open_database(path)
    code = "import sys; from exporter.ledger.database import open_database; open_database(sys.argv[1])"
    for _ in range(2):
        other = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
        assert other.returncode != 0
        assert "another process holds it" in other.stderr
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('commits', 1)")
    connection.close()
    open_database(path).close()


def test_unwritable_place_is_named(tmp_path: Path) -> None:
    """A state below a file is an error that names the place."""
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError, match=r"check state\.path"):
        open_database(tmp_path / "file" / "state.db")


def test_memory_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`:memory:` makes no file."""
    monkeypatch.chdir(tmp_path)
    open_database(":memory:").close()
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    """A pipe, a device or a folder is named and stays what it is."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to(os.devnull)
    for path in (pipe, tmp_path / "link", tmp_path):
        with pytest.raises(LedgerError, match="not a regular file"):
            open_database(path)
    assert pipe.is_fifo()
    assert Path(os.devnull).is_char_device()
