"""What is wrong with a configuration, and where."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: its file, what is wrong and how to mend it, line and column from 1 and the key path where known."""

    file: Path
    text: str
    line: int | None = None
    column: int | None = None
    path: str = ""

    @property
    def place(self) -> str:
        """File, line and column."""
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)

    def __str__(self) -> str:
        """Return it as one line; what a terminal would not show as it is, is written as an escape."""
        line = ": ".join(part for part in (self.place, self.path, self.text) if part)
        return line if line.isprintable() else "".join(map(_shown, line))


def _shown(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


class ConfigError(Exception):
    """A configuration that cannot be used; its text has one line for each of its `problems`."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))

    @property
    def place(self) -> str:
        """Where the first mistake stands and how many there are, without a word of what stands there."""
        return f"{self.problems[0].place}: mistakes: {len(self.problems)}; the log and the command `check` tell of them"
