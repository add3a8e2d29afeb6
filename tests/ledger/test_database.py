"""The state file: made whole or not at all, held by one process, and left untouched where it is not ours."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.ledger import database
from exporter.ledger.database import Database, open_database
from exporter.ledger.ledger import CommitError, LedgerError
from exporter.ledger.rules import Settings
from exporter.ledger.schema import APPLICATION_ID, SCHEMA_VERSION
from exporter.ledger.sqlite import SqliteLedger


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


def of_no_version(path: Path) -> None:
    """Make a state whose header has lost its version."""
    open_database(path).close()
    content = bytearray(path.read_bytes())
    content[60:64] = bytes(4)
    path.write_bytes(content)


def newer_in_the_log(path: Path) -> None:
    """Make a state of a newer version, killed before its log was written back to the file."""
    open_database(path).close()
    code = (
        "import os, sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None);"
        f"db.execute('PRAGMA user_version = {SCHEMA_VERSION + 1}'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


def corrupt(path: Path) -> None:
    """Make a state whose pages are overwritten."""
    open_database(path).close()
    content = bytearray(path.read_bytes())
    content[4096 : 4096 * 3] = os.urandom(4096 * 2)
    path.write_bytes(content)


def corrupt_at_the_root(path: Path) -> None:
    """Make a state whose tables cannot even be listed."""
    open_database(path).close()
    content = bytearray(path.read_bytes())
    content[100:4096] = b"\xff" * 3996
    path.write_bytes(content)


def text(path: Path) -> None:
    """Make a file that is no database."""
    path.write_text("user_pools: []\n" * 20)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (foreign, "a SQLite database of another program"),
        (newer, r"run that version, or restore a copy from before the upgrade$"),
        (newer_in_the_log, "written by a newer version of this exporter"),
        (of_no_version, "corrupt"),
        (corrupt, r"corrupt \((?!None\))"),
        (corrupt_at_the_root, r"corrupt \(database disk image is malformed\)"),
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


def test_a_state_that_another_process_makes_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two first starts at once the later one to be ready goes on with the state of the other."""
    path, create = tmp_path / "state.db", database._create

    def late(connection: sqlite3.Connection) -> None:
        create(connection)
        monkeypatch.undo()
        other = open_database(path)
        note(other, "theirs")
        other.close()

    monkeypatch.setattr(database, "_create", late)
    open_database(path).close()
    assert rows(path) == [("theirs", 1)]


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
    """`:memory:` takes what any state takes, and makes no file."""
    monkeypatch.chdir(tmp_path)
    state = open_database(":memory:")
    note(state, "a")
    assert state.execute("SELECT length(value) FROM meta ORDER BY key").fetchall() == [(1,), (32,)]
    state.close()
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


VERSION_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

CREATE TABLE pool (id INTEGER PRIMARY KEY, pool_id TEXT NOT NULL UNIQUE, discovered REAL);

-- One row a configured or discovered user name; rules.Ground tells what the times mean.
CREATE TABLE user (
    id INTEGER PRIMARY KEY, pool INTEGER NOT NULL, name TEXT NOT NULL, selected INTEGER NOT NULL, selected_at REAL NOT NULL,
    start REAL NOT NULL, floor REAL NOT NULL, mark REAL, mark_at REAL, newest REAL, newest_id TEXT,
    first_page_since REAL NOT NULL DEFAULT 0, polled_at REAL, found INTEGER NOT NULL DEFAULT 1,
    UNIQUE (pool, name)
);
CREATE INDEX user_newest ON user (pool, newest_id) WHERE newest_id IS NOT NULL;

-- Newest events of user names until commit `replaced`; kept while a walk that began before it is under way.
CREATE TABLE former_newest (
    event_id TEXT NOT NULL, user INTEGER NOT NULL, replaced INTEGER NOT NULL, PRIMARY KEY (event_id, user)
) WITHOUT ROWID;
CREATE INDEX former_newest_replaced ON former_newest (replaced);

-- Events that may be shown again and must be known then: rules.Standing in `standing`, labels only while open.
CREATE TABLE event (
    pool INTEGER NOT NULL, event_id TEXT NOT NULL, user INTEGER NOT NULL, created REAL NOT NULL, standing INTEGER NOT NULL,
    feedback INTEGER NOT NULL, series INTEGER NOT NULL, user_series INTEGER, recorded INTEGER NOT NULL, labels TEXT,
    PRIMARY KEY (pool, event_id)
) WITHOUT ROWID;
CREATE INDEX event_user ON event (user, created);
CREATE INDEX event_open ON event (user, created) WHERE standing = 0;
CREATE INDEX event_series ON event (series, created);
CREATE INDEX event_user_series ON event (user_series, created) WHERE user_series IS NOT NULL;

-- One row a label set of a counter family; `last` is the newest creation among its forgotten events.
CREATE TABLE series (
    id INTEGER PRIMARY KEY, pool INTEGER NOT NULL, family TEXT NOT NULL, labels TEXT NOT NULL, value INTEGER NOT NULL,
    shown INTEGER NOT NULL, last REAL, exemplar TEXT, exemplar_at REAL,
    UNIQUE (pool, family, labels)
);

CREATE TABLE country (user INTEGER NOT NULL, country TEXT NOT NULL, PRIMARY KEY (user, country)) WITHOUT ROWID;

-- Values that the API did not have when this was written, and that are passed on.
CREATE TABLE accepted_value (
    pool INTEGER NOT NULL, field TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (pool, field, value)
) WITHOUT ROWID;
"""


def version_1(path: Path) -> None:
    """Make a state as the first version wrote it, with two users, one of whom has been polled."""
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(VERSION_1)
        connection.execute("INSERT INTO meta VALUES ('hash_key', ?)", (b"k" * 32,))
        connection.execute("INSERT INTO pool VALUES (1, 'eu-west-1_Test', 10.0)")
        connection.execute(
            "INSERT INTO user (pool, name, selected, selected_at, start, floor, polled_at) VALUES "
            "(1, 'ada', 1, 10.0, 10.0, 10.0, 20.0), (1, 'bob', 0, 10.0, 10.0, 10.0, NULL), (1, 'eve', 1, 11.0, 11.0, 11.0, NULL)"
        )
        labels = [f'["SignIn","{response}","None","France"]' for response in ("Pass", "InProgress", "Fail")]
        connection.executemany(
            "INSERT INTO series VALUES (?, 1, 'events', ?, 3, 1, ?, NULL, NULL)",
            zip((1, 2, 3), labels, (5.0, 6.0, 90.0), strict=True),
        )
        connection.execute(
            'INSERT INTO series VALUES (4, 1, \'user_events\', \'["ada","SignIn","Pass","None"]\', 3, 1, NULL, NULL, NULL)'
        )
        connection.executemany(
            "INSERT INTO event VALUES (1, ?, 1, ?, 1, 0, ?, ?, 1, NULL)",
            [("a", 40.0, 1, 4), ("b", 50.0, 1, 4), ("c", 60.0, 2, None), ("d", 70.0, 3, None)],
        )
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 1")
    connection.close()


def schema_of(connection: sqlite3.Connection) -> tuple[set[tuple[str, ...]], dict[str, set[tuple[str, ...]]]]:
    """Return indexes and, by table, columns: what statements rely on."""
    indexes = set(connection.execute("SELECT name, tbl_name FROM sqlite_schema WHERE type = 'index'"))
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    columns = 'SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(?)'
    return indexes, {name: set(connection.execute(columns, (name,))) for name in tables}


def test_first_version_is_migrated(tmp_path: Path) -> None:
    """A state of the first version opens with its users, and its schema is that of a new one from then on."""
    path, now = tmp_path / "state.db", 30.0
    version_1(path)
    counting = Settings(settle=900, overlap=600, recent_window=3600, series_hold=0, max_series=5000, per_user=False)
    for _ in range(2):
        ledger = SqliteLedger(path, counting, now)
        users = [
            (user.user, user.selected_at, user.polled_at, user.activity)
            for user in ledger.users("eu-west-1_Test", 0, 9)
        ]
        assert users == [(1, 10.0, 20.0, b""), (3, 11.0, None, b"")]
        assert ledger.hash_key == b"k" * 32
        last = {state.labels[1]: (state.value, state.last) for state in ledger.load("eu-west-1_Test", now).counters}
        assert last == {"Pass": (3, 50.0), "InProgress": (3, 60.0), "Fail": (3, 90.0), "SignIn": (3, 50.0)}
        ledger.close()
    open_database(tmp_path / "new.db").close()
    with sqlite3.connect(path) as migrated, sqlite3.connect(tmp_path / "new.db") as new:
        assert schema_of(migrated) == schema_of(new)
        assert migrated.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    migrated.close()
    new.close()


def test_a_migration_that_breaks_off_changes_nothing(tmp_path: Path) -> None:
    """A migration whose last statement fails, as on a full disk, leaves the old schema and version; the next start migrates."""
    path = tmp_path / "state.db"
    version_1(path)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE INDEX user_selected ON user (name)")
    connection.close()
    with pytest.raises(LedgerError, match="user_selected"):
        open_database(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert "activity" not in {name for _, name, *_ in connection.execute("PRAGMA table_info(user)")}
        connection.execute("DROP INDEX user_selected")
    connection.close()
    open_database(path).close()


def test_a_kill_during_the_migration_is_made_good(tmp_path: Path) -> None:
    """A process killed between the statements of a migration leaves the old state, which the next start migrates."""
    path = tmp_path / "state.db"
    version_1(path)
    code = (
        "import os, sys; from exporter.ledger import database, schema;"
        "schema.MIGRATIONS = {1: (schema.MIGRATIONS[1][0], 'SELECT killed()')};"
        "connect = database._connect\n"
        "def connected(path):\n"
        "    made = connect(path); made.create_function('killed', 0, lambda: os._exit(9)); return made\n"
        "database._connect = connected; database.open_database(sys.argv[1])"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == 9
    connection = open_database(path)
    assert connection.execute("SELECT name, activity FROM user").fetchall() == [
        ("ada", b""),
        ("bob", b""),
        ("eve", b""),
    ]
    connection.close()


def rows(path: Path) -> list[tuple[str, int]]:
    """Return what a state that nobody holds has in `meta`, but for its key."""
    with sqlite3.connect(path) as connection:
        found = connection.execute("SELECT key, value FROM meta WHERE key != 'hash_key' ORDER BY key").fetchall()
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    return found


def note(database: Database, key: str) -> None:
    """Commit one row."""
    with database.transaction():
        database.execute("INSERT INTO meta VALUES (?, 1)", (key,))


KILLED_AT = ["_made_beside", "Place.put", "Database._take_up"]


@pytest.mark.parametrize("after", KILLED_AT)
@pytest.mark.parametrize("lost", ["state.db", "state.db-wal"])
def test_a_kill_while_the_state_is_written_anew_leaves_a_good_one_or_none(
    after: str, lost: str, tmp_path: Path
) -> None:
    """A kill around any step of putting a state back leaves none, where it was removed, or a whole one, and no other's log."""
    path = tmp_path / "state.db"
    code = (
        "import os, sys; from pathlib import Path; from exporter.ledger import database; from exporter.ledger.database import *\n"
        "path, lost, after = sys.argv[1:]\n"
        "held = open_database(path)\n"
        "with held.transaction(): held.execute(\"INSERT INTO meta VALUES ('a', 1)\")\n"
        "(Path(path).parent / lost).unlink()\n"
        "holder, _, name = ('database.' + after).rpartition('.')\n"
        "holder = eval(holder)\n"
        "setattr(holder, name, lambda *_: os._exit(9))\n"
        "with held.transaction(): pass\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path), lost, after], check=False).returncode == 9
    is_in_place = after == "Database._take_up"
    assert path.exists() == (is_in_place or lost != path.name)
    if is_in_place:
        assert rows(path) == [("a", 1)]
    open_database(path).close()


def test_a_connection_that_sticks_is_opened_anew(tmp_path: Path) -> None:
    """A connection that fails though the disk does not is replaced by another; the state stays held by this process alone."""
    path = tmp_path / "state.db"
    database = open_database(path)
    note(database, "a")
    database.execute("BEGIN")  # as after a ROLLBACK that failed
    with pytest.raises(CommitError, match=r"within a transaction$"):
        note(database, "b")
    assert database.reopen()
    note(database, "c")
    database.close()
    assert rows(path) == [("a", 1), ("c", 1)]


def test_a_state_that_is_not_open_is_never_made_anew(tmp_path: Path) -> None:
    """Where the file goes while it cannot be opened, no empty one comes in its place."""
    path = tmp_path / "state.db"
    database = open_database(path)
    database.close()
    path.unlink()
    with pytest.raises(CommitError, match="the state file is gone"):
        database.reopen()
    with pytest.raises(CommitError, match="not open"):
        note(database, "a")
    assert list(tmp_path.iterdir()) == []
