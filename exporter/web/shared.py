"""Answers that are made once for all who ask for them at the same time."""

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Shared(Generic[Key, Value]):
    """Makes a value once in a turn of the event loop: a crowd costs as much as one.

    Whoever gets a value that was made for another stood in line before it was made, so that it is newer than the question.
    """

    def __init__(self, make: Callable[[Key], Value]) -> None:
        self._make = make
        self._made: dict[Key, Value] = {}

    def get(self, key: Key) -> Value:
        """Return the value for a key, made in this turn of the loop; raises what making it raises."""
        if key not in self._made:
            self._made[key] = self._make(key)
            asyncio.get_running_loop().call_soon(self._made.pop, key)
        return self._made[key]
