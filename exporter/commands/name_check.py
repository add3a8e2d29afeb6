"""Looks up the users that a pool's selectors name, and learns by it whether auth events can be read."""

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from exporter.commands.asking import AUTH_EVENTS, DESCRIBE, Asking
from exporter.commands.gathered import Gathered, Patience
from exporter.commands.numbers import counted
from exporter.commands.report import Finding, Mark, Report
from exporter.configuration.errors import ConfigError
from exporter.configuration.models import Selectors
from exporter.configuration.users_file import check_users_file, numbered_names
from exporter.fetch.outcome import FetchError, Outcome
from exporter.fetch.source import EventSource

_MOST_LOOKUPS = 100  # of names, in one pool
_TAKES = "It takes the Plus plan, and the mode AUDIT or ENFORCED"
_MODES = {
    "ENFORCED": (Mark.GOOD, "ENFORCED"),
    "AUDIT": (Mark.GOOD, "AUDIT: risks are told, and nobody is kept out"),
    "OFF": (Mark.MISTAKE, f"OFF: no auth events are recorded. {_TAKES}"),
}
_SAID = frozenset({Outcome.NOT_AUTHORIZED, Outcome.THREAT_PROTECTION_OFF})
"""Outcomes of which a finding of their own tells."""

_VERDICTS = _FOUND, _ABSENT, _FAULTY, _UNASKED = "found", "not found", "could not be looked up", "not looked up"

_Named = tuple[str, str, str]
"""(place in the configuration, place in a file or nothing, user name)"""


class Protection:
    """Says whether a pool's threat protection is on: as the pool describes itself, else as answers show."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.is_told = False
        self._is_mistake = False

    def tell(self, mode: str) -> None:
        """Say the mode, once."""
        if not self.is_told:
            self.is_told = True
            mark, text = _MODES.get(mode, (Mark.GOOD, f"{mode}: auth events can be read"))
            self._found(mark, text)

    def refused(self, error: FetchError) -> None:
        """Say, once, that events are refused for want of threat protection, whatever the pool says of itself."""
        if not self.is_told:
            self.tell("OFF")
        if not self._is_mistake:
            self._found(Mark.MISTAKE, f"not in effect, whatever the pool says of itself: {error}. {_TAKES}")

    def _found(self, mark: Mark, text: str) -> None:
        self._is_mistake |= mark is Mark.MISTAKE
        self._report.found(Finding(mark, "threat protection", text))


class NameCheck:
    """Looks up names of one pool by asking for an event of each, up to a bound: that bills nobody, as `AdminGetUser` would."""

    def __init__(
        self,
        source: EventSource,
        asking: Asking,
        gathered: Gathered,
        patience: Patience,
        protection: Protection,
        report: Report,
    ) -> None:
        self._source = source
        self._asking = asking
        self._gathered = gathered
        self._patience = patience
        self._protection = protection
        self._report = report
        self._lookups = 0

    def run(self, selectors: Selectors) -> None:
        """Look up user names, then the lines of files; where there are none, ask for whom a listing has shown.

        Raises `PoolEnds`.
        """
        if selectors.usernames:
            names = ((f"users.usernames[{index}]", "", name) for index, name in enumerate(selectors.usernames))
            self._look_up("users.usernames", names)
        for index, path in enumerate(selectors.files):
            self._look_up_file(f"users.files[{index}]", path)
        if not self._lookups:
            self._ask_for_anybody()
        if not self._protection.is_told and AUTH_EVENTS in self._asking.allowed:
            text = f"not known: allow {DESCRIBE}, or select a user who exists"
            self._report.found(Finding(Mark.NOTE, "threat protection", text))

    def _look_up_file(self, place: str, path: Path) -> None:
        try:
            check_users_file(path)
            self._look_up(place, _lines(place, path))
        except ConfigError as error:
            self._gathered.whole = False
            self._report.found(Finding(Mark.MISTAKE, place, str(error)))

    def _look_up(self, selector: str, named: Iterable[_Named]) -> None:
        """Look up as many as may be of a selector's names, and say what was found."""
        verdicts: Counter[str] = Counter()
        for place, line, name in named:
            if name in self._gathered.excluded:
                continue
            verdict = self._verdict(place, line, name)
            verdicts[verdict] += 1
            if verdict != _ABSENT:
                self._gathered.names.add(name)
        self._report.found(_looked_up(selector, verdicts))

    def _verdict(self, place: str, line: str, name: str) -> str:
        """Return what AWS knows of a user; an absent one and a fault are said."""
        if self._lookups >= _MOST_LOOKUPS or self._patience.is_short or AUTH_EVENTS in self._asking.refused:
            return _UNASKED
        self._lookups += 1
        try:
            self._ask_for_events(name)
        except FetchError as error:
            if error.outcome in _SAID:
                return _UNASKED
            is_absent = error.outcome is Outcome.USER_NOT_FOUND
            text = "no such user" if is_absent else f"cannot be looked up: {error}"
            self._report.found(Finding(Mark.MISTAKE, place, line + text))
            return _ABSENT if is_absent else _FAULTY
        return _FOUND

    def _ask_for_anybody(self) -> None:
        try:
            self._ask_for_events(self._gathered.someone or f"nobody-{uuid.uuid4()}")
        except FetchError as error:
            if error.outcome not in _SAID | {Outcome.USER_NOT_FOUND}:
                self._report.found(Finding(Mark.MISTAKE, AUTH_EVENTS, f"gives no events: {error}"))

    def _ask_for_events(self, name: str) -> None:
        """Ask for a user's newest event, and say what that tells of the threat protection."""
        try:
            self._asking.ask(AUTH_EVENTS, lambda: self._source.auth_events(name, None, 1))
        except FetchError as error:
            if error.outcome is Outcome.THREAT_PROTECTION_OFF:
                self._protection.refused(error)
            raise
        self._protection.tell("on")


def _lines(place: str, path: Path) -> Iterator[_Named]:
    return ((place, f"{path.name}:{number}: ", name) for number, name in numbered_names(path))


def _looked_up(place: str, verdicts: Mapping[str, int]) -> Finding:
    """Return what is to be said of a selector by what AWS knows of its names."""
    names = sum(verdicts.values())
    if not names:
        return Finding(Mark.WARNING, place, "names nobody")
    told = ", ".join(f"{verdicts[verdict]:,} {verdict}" for verdict in _VERDICTS if verdict in verdicts)
    mark = Mark.SKIPPED if verdicts.get(_UNASKED) == names else Mark.GOOD if _FOUND in verdicts else Mark.NOTE
    return Finding(mark, place, f"{counted(names, 'name')}: {told}")
