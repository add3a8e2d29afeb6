"""What a check finds: a line each, marked in words, said as it comes."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from exporter.commands.terminal import harmless

_SUBJECT_WIDTH = 24
_BELOW = "    "


class Mark(StrEnum):
    """How good a finding is. Only a mistake makes the check fail."""

    GOOD = "good"
    NOTE = "note"
    WARNING = "warning"
    MISTAKE = "mistake"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of a subject; lines of the text after the first stand below it."""

    mark: Mark
    subject: str
    text: str


class Report:
    """Says findings by `say`, a line at a time, and counts the mistakes."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self.mistakes = 0

    def head(self, text: str) -> None:
        """Say what the findings that come are about."""
        self._say(harmless(text))

    def found(self, finding: Finding) -> None:
        """Say a finding."""
        self.mistakes += finding.mark is Mark.MISTAKE
        first, *others = map(harmless, finding.text.split("\n"))
        self._say(f"  {finding.mark:<8} {harmless(finding.subject):<{_SUBJECT_WIDTH}} {first}")
        for other in others:
            self._say(_BELOW + other)
