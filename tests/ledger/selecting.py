"""How tests select users: whole discoveries at once, and users by name where the ledger knows rows."""

from collections.abc import Sequence

from exporter.fetch.source import ListedUser
from exporter.ledger.ledger import DiscoveryEnd, KnownUser, StartRule
from exporter.ledger.sqlite import SqliteLedger


def select_all(
    ledger: SqliteLedger,
    pool_id: str,
    users: Sequence[ListedUser],
    *,
    began: float,
    start: StartRule,
    complete: bool = True,
    excluded: frozenset[str] = frozenset(),
) -> tuple[Sequence[KnownUser], Sequence[int]]:
    """Make these the pool's users by one discovery, of selectors never followed before; return who was added and removed."""
    added = ledger.select(pool_id, users, began=began, start=start)
    end = DiscoveryEnd(began, began, complete, str(began), excluded)
    ended = ledger.deselect(pool_id, end, after=0, limit=1000)
    assert ended.after is None
    return added, ended.removed


def row_of(ledger: SqliteLedger, pool_id: str, name: str) -> int:
    """Return a user's row, selected or not."""
    query = "SELECT u.id FROM user u JOIN pool p ON p.id = u.pool WHERE p.pool_id = ? AND u.name = ?"
    return int(ledger._db.execute(query, (pool_id, name)).fetchone()[0])


def selected(ledger: SqliteLedger, pool_id: str) -> dict[str, KnownUser]:
    """Return the selected users by name."""
    names = dict(ledger._db.execute("SELECT id, name FROM user"))
    return {names[user.user]: user for user in ledger.users(pool_id, 0, 1000)}
