"""The users of one pool by slot: small numbers that the schedule's columns are indexed by, and used again."""

from array import array
from collections.abc import Collection, Mapping

_NOBODY = -1


class Roster:
    """Which user (the ledger's row) has which slot: eight bytes a user, so that a million of them is a small matter."""

    def __init__(self) -> None:
        self._users = array("q")
        self._free: list[int] = []

    def add(self, user: int) -> int:
        """Give a user a slot."""
        if not self._free:
            self._users.append(user)
            return len(self._users) - 1
        slot = self._free.pop()
        self._users[slot] = user
        return slot

    def user(self, slot: int) -> int | None:
        """Return the user who has a slot, None where that user has left."""
        user = self._users[slot]
        return None if user == _NOBODY else user

    def leave(self, slot: int) -> None:
        """Note that the user has left, whose slot is still in use."""
        self._users[slot] = _NOBODY

    def come_back(self, slot: int, user: int) -> None:
        """Note that the user whose slot is still in use is back."""
        self._users[slot] = user

    def release(self, slot: int) -> None:
        """Take a slot back; it is given to someone else some time."""
        self._users[slot] = _NOBODY
        self._free.append(slot)

    def slots(self, users: Collection[int]) -> Mapping[int, int]:
        """Return the slots of these users, by user. It looks at every slot: users leave rarely, and many at once."""
        wanted = frozenset(users)
        return {user: slot for slot, user in enumerate(self._users) if user in wanted} if wanted else {}
