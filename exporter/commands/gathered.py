"""Whom a pool's selectors have shown so far, and how long that has taken."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from exporter.commands.requests import Time

_PATIENCE = 120.0  # seconds after which a pool's listings and look-ups are cut short, where the budget is small
LONGEST = 300.0
"""Seconds after which no further selector of a pool is followed."""


@dataclass(frozen=True, slots=True)
class Population:
    """How many users a pool's selectors name.

    `whole` is False where there may be more, `rough` where Cognito's estimate is in it. `pages`: how many requests it takes to
    list them.
    """

    users: int = 0
    whole: bool = True
    rough: bool = False
    pages: int = 0


@dataclass(slots=True)
class Gathered:
    """Whom the selectors of a pool have shown so far; `excluded` are none of them. `someone` is a user that a listing showed."""

    excluded: frozenset[str]
    names: set[str] = field(default_factory=set)
    someone: str | None = None
    whole: bool = True
    estimate: int = 0
    pages: int = 0

    def take(self, names: Iterable[str]) -> None:
        """Take in whom a listing shows."""
        for name in names:
            self.someone = self.someone or name
            if name not in self.excluded:
                self.names.add(name)

    @property
    def population(self) -> Population:
        """How many they are."""
        estimate = self.estimate - len(self.excluded)
        users = max(len(self.names), estimate)
        return Population(users, self.whole, rough=users > len(self.names), pages=self.pages)


class Patience:
    """How long the check of a pool has taken, since it was made."""

    def __init__(self, time: Time) -> None:
        self._time = time
        self._began = time.monotonic()

    @property
    def is_short(self) -> bool:
        """Tell whether only what is needed is still to be asked for."""
        return self._time.monotonic() - self._began > _PATIENCE

    @property
    def is_over(self) -> bool:
        """Tell whether nothing more is to be begun."""
        return self._time.monotonic() - self._began > LONGEST
