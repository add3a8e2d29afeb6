"""An order of slots by who was moved to its end last: a linked list in two arrays, eight bytes a slot."""

from array import array

_ABSENT = -1
_END = 0  # the list is a ring; slot n is link n + 1


class Recency:
    """Slots (small numbers, each at most once), the one that was moved to the end longest ago first. Every step is O(1)."""

    def __init__(self) -> None:
        self._next = array("i", [_END])
        self._before = array("i", [_END])

    @property
    def first(self) -> int | None:
        """The slot that was moved to the end longest ago, None where there is none."""
        link = self._next[_END]
        return None if link == _END else link - 1

    def move_to_end(self, slot: int) -> None:
        """Put a slot at the end, wherever it was, or was not, before."""
        self.remove(slot)
        link, last = slot + 1, self._before[_END]
        self._next[last] = self._before[_END] = link
        self._before[link], self._next[link] = last, _END

    def remove(self, slot: int) -> None:
        """Take a slot out, where it is in."""
        link = slot + 1
        while len(self._next) <= link:
            self._next.append(_ABSENT)
            self._before.append(_ABSENT)
        before, after = self._before[link], self._next[link]
        if after != _ABSENT:
            self._next[before], self._before[after] = after, before
            self._next[link] = self._before[link] = _ABSENT
