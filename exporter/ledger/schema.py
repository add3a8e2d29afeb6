"""The tables of the state, by version, and how an older version becomes the newest."""

import sqlite3
from collections.abc import Mapping
from types import MappingProxyType

APPLICATION_ID = 0x434F4741  # "COGA"; https://www.sqlite.org/pragma.html#pragma_application_id
SCHEMA_VERSION = 4

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

CREATE TABLE pool (id INTEGER PRIMARY KEY, pool_id TEXT NOT NULL UNIQUE, discovered REAL, selectors TEXT);

-- One row a configured or discovered user name; rules.Ground tells what the times mean.
CREATE TABLE user (
    id INTEGER PRIMARY KEY, pool INTEGER NOT NULL, name TEXT NOT NULL, selected INTEGER NOT NULL, selected_at REAL NOT NULL,
    start REAL NOT NULL, floor REAL NOT NULL, mark REAL, mark_at REAL, newest REAL,
    first_page_since REAL NOT NULL DEFAULT 0, polled_at REAL, found INTEGER NOT NULL DEFAULT 1,
    activity BLOB NOT NULL DEFAULT x'', failures INTEGER NOT NULL DEFAULT 0, failed_at REAL, passed_at REAL,
    UNIQUE (pool, name)
);
CREATE INDEX user_selected ON user (pool) WHERE selected;
CREATE INDEX user_unselected ON user (pool, coalesce(polled_at, selected_at)) WHERE NOT selected;
CREATE INDEX user_failing ON user (pool) WHERE failures > 0;

-- Events that may be shown again and must be known then: rules.Standing in `standing`, labels only while open. One `in_progress`,
-- counted or not, may still end, and stands under other labels then.
CREATE TABLE event (
    pool INTEGER NOT NULL, event_id TEXT NOT NULL, user INTEGER NOT NULL, created REAL NOT NULL, standing INTEGER NOT NULL,
    feedback INTEGER NOT NULL, series INTEGER NOT NULL, user_series INTEGER, recorded INTEGER NOT NULL, labels TEXT,
    in_progress INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (pool, event_id)
) WITHOUT ROWID;
CREATE INDEX event_user ON event (user, created);
CREATE INDEX event_open ON event (user, created) WHERE standing = 0;
CREATE INDEX event_in_progress ON event (series, created) WHERE in_progress;
CREATE INDEX event_user_in_progress ON event (user_series, created) WHERE in_progress AND user_series IS NOT NULL;

-- One row a label set of a counter family; `last` is the newest creation among its events that have ended or are forgotten.
CREATE TABLE series (
    id INTEGER PRIMARY KEY, pool INTEGER NOT NULL, family TEXT NOT NULL, labels TEXT NOT NULL, value INTEGER NOT NULL,
    shown INTEGER NOT NULL, last REAL, exemplar TEXT, exemplar_at REAL,
    UNIQUE (pool, family, labels)
);

-- Lines of the event log that may not be written yet; numbers are not used again.
CREATE TABLE event_line (id INTEGER PRIMARY KEY AUTOINCREMENT, line TEXT NOT NULL);

-- Entries of answers that could not be read whole, by a digest of their content: since when they are shown so.
CREATE TABLE unreadable (
    user INTEGER NOT NULL, entry TEXT NOT NULL, since REAL NOT NULL, given_up INTEGER NOT NULL, PRIMARY KEY (user, entry)
) WITHOUT ROWID;

CREATE TABLE country (user INTEGER NOT NULL, country TEXT NOT NULL, PRIMARY KEY (user, country)) WITHOUT ROWID;

-- Values that the API did not have when this was written, and that are passed on.
CREATE TABLE accepted_value (
    pool INTEGER NOT NULL, field TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (pool, field, value)
) WITHOUT ROWID;
"""

_EVENTS_IN_PROGRESS = """
UPDATE event SET in_progress = 1 WHERE series IN (
    SELECT id FROM series WHERE family = 'events' AND json_extract(labels, '$[1]') = 'InProgress'
)
"""
_NEWEST_OF_SERIES = """
UPDATE series SET last = max(at, coalesce(last, at)) FROM (
    SELECT event.series AS of, max(created) AS at FROM event WHERE NOT in_progress GROUP BY event.series
) WHERE id = of
"""
_NEWEST_OF_USER_SERIES = """
UPDATE series SET last = max(at, coalesce(last, at)) FROM (
    SELECT user_series AS of, max(created) AS at FROM event WHERE NOT in_progress AND user_series NOTNULL GROUP BY user_series
) WHERE id = of
"""
_USER_IN_PROGRESS_INDEX = """
CREATE INDEX event_user_in_progress ON event (user_series, created) WHERE in_progress AND user_series IS NOT NULL
"""

_UNREADABLE_TABLE = """
CREATE TABLE unreadable (
    user INTEGER NOT NULL, entry TEXT NOT NULL, since REAL NOT NULL, given_up INTEGER NOT NULL, PRIMARY KEY (user, entry)
) WITHOUT ROWID
"""

MIGRATIONS: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {
        1: (
            "ALTER TABLE user ADD COLUMN activity BLOB NOT NULL DEFAULT x''",
            "CREATE INDEX user_selected ON user (pool) WHERE selected",
            "ALTER TABLE event ADD COLUMN in_progress INTEGER NOT NULL DEFAULT 0",
            _EVENTS_IN_PROGRESS,
            _NEWEST_OF_SERIES,
            _NEWEST_OF_USER_SERIES,
            "DROP INDEX event_series",
            "DROP INDEX event_user_series",
            "CREATE INDEX event_in_progress ON event (series, created) WHERE in_progress",
            _USER_IN_PROGRESS_INDEX,
        ),
        2: (
            "ALTER TABLE pool ADD COLUMN selectors TEXT",
            "ALTER TABLE user ADD COLUMN failures INTEGER NOT NULL DEFAULT 0",
            "ALTER TABLE user ADD COLUMN failed_at REAL",
            "ALTER TABLE user ADD COLUMN passed_at REAL",
            "CREATE INDEX user_unselected ON user (pool, coalesce(polled_at, selected_at)) WHERE NOT selected",
            "CREATE INDEX user_failing ON user (pool) WHERE failures > 0",
            "CREATE TABLE event_line (id INTEGER PRIMARY KEY AUTOINCREMENT, line TEXT NOT NULL)",
        ),
        3: (
            "DROP TABLE former_newest",
            "DROP INDEX user_newest",
            "ALTER TABLE user DROP COLUMN newest_id",
            _UNREADABLE_TABLE,
            "INSERT OR REPLACE INTO meta SELECT 'one_kept_until', value FROM meta WHERE key = 'commits'",
        ),
    }
)
"""Version of the schema -> what makes the next one of it."""


def migrate(connection: sqlite3.Connection) -> None:
    """Take the file for this process and make its schema the newest, in one transaction: a kill leaves the old or the new."""
    connection.execute("BEGIN EXCLUSIVE")
    for version in range(version_of(connection), SCHEMA_VERSION):
        for statement in MIGRATIONS[version]:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version + 1}")
    connection.execute("COMMIT")


def version_of(connection: sqlite3.Connection) -> int:
    """Return the version of the schema."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
