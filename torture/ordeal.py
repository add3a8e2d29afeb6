"""What all scenarios are made of: lives that begin and are ended, moments drawn at random, and the judgement at the end."""

import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from bench.process import wait_until
from torture.life import Life, Place
from torture.town import Town
from torture.traced import Strike
from torture.truth import Key, differences
from torture.watcher import Watcher

_LONGEST_START = 60.0
_LONGEST_WAY = 120.0  # seconds from the last event to exact counters
_STILL = 2.0  # seconds over which they stay so
_STARTING, _SERVING = 1.5, 2.0  # seconds from the start, and from the first scrape, within which kills come
_EARLY = 0.3  # share of kills that come while it starts
_SHOWN = 20  # lines of what is wrong


class Broken(Exception):  # noqa: N818 - what is broken is a promise
    """A promise that was not kept; the text says which, and how it shows."""


@dataclass(slots=True)
class Tally:
    """What came of a scenario; `lowest` and `highest` are the counted events at a kill, as a share of those there were."""

    kills: int = 0
    aimed: int = 0
    """Kills that came where the scenario wanted them."""
    lowest: float = 1.0
    highest: float = 0.0

    def kill(self, share: float, *, is_aimed: bool) -> None:
        """Note a kill."""
        self.kills += 1
        self.aimed += is_aimed
        self.lowest, self.highest = min(self.lowest, share), max(self.highest, share)


class Ordeal:
    """One scenario under way: its town, its place on disk, and whoever watches."""

    def __init__(self, town: Town, place: Place, watcher: Watcher, rng: random.Random) -> None:
        self.town = town
        self.place = place
        self.rng = rng
        self.tally = Tally()
        self._watcher = watcher
        self._lives = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lives.close()

    # -- lives -------------------------------------------------------------------------------------------------------------------

    def start(self, strike: Strike | None = None, *, anew: bool = False) -> Life:
        """Begin a life, in a state made `anew` or in the one there is."""
        self._watcher.rest()
        if anew:
            self.place.forget()
        life = self.start_another(strike)
        self._watcher.watch(life.port, anew=anew)
        return life

    def start_another(self, strike: Strike | None = None) -> Life:
        """Begin a life beside the one that is watched."""
        life = Life(self.place, strike)
        self._lives.callback(life.close)
        return life

    def watch(self, life: Life, *, anew: bool = False) -> None:
        """Scrape this one of several lives."""
        self._watcher.watch(life.port, anew=anew)

    @property
    def has_answer(self) -> bool:
        """Tell whether the life that is watched has been scraped."""
        return self._watcher.has_answer

    def await_answer(self, life: Life) -> None:
        """Wait until a life has been scraped."""
        wait_until(lambda: self._watcher.has_answer or life.has_ended, "the first scrape", _LONGEST_START, 0.005)
        self.refuse_end(life)

    def linger(self, life: Life) -> None:
        """Wait for a random moment of a life, some while it starts and others once it is scraped."""
        if self.rng.random() < _EARLY:
            time.sleep(self.rng.uniform(0.0, _STARTING))
        else:
            self.await_answer(life)
            time.sleep(self.rng.uniform(0.0, _SERVING))

    def kill(self, life: Life, *, is_aimed: bool | None = None) -> None:
        """Kill a life that runs; without a word about the aim, one that comes before all is counted is what is wanted."""
        self.refuse_end(life)
        life.kill()
        self._note(life, is_aimed)

    def await_strike(self, life: Life, *, at_end: bool) -> None:
        """Let a strike end a life: `at_end` as it is asked to end, once it has counted something."""
        before = self._watcher.record.total
        if at_end:
            wait_until(lambda: self._watcher.record.total > before or life.has_ended, "an event", _LONGEST_WAY)
            life.end()
        wait_until(lambda: life.has_ended, "the strike", _LONGEST_WAY, 0.005)
        if life.status != -signal.SIGKILL:
            raise Broken(f"no strike came, and the exporter ended with {life.status}:\n{life.output}")
        self._note(life, is_aimed=True)

    def _note(self, life: Life, is_aimed: bool | None) -> None:
        life.close()
        share = self._watcher.record.total / self.town.events
        self.tally.kill(share, is_aimed=share < 1.0 if is_aimed is None else is_aimed)
        self.refuse_wrong()

    def end(self, life: Life) -> None:
        """End a life as a service manager does."""
        self._watcher.rest()
        life.end()
        if life.status != 0:
            raise Broken(f"the exporter ended with {life.status}:\n{life.output}")
        life.close()

    # -- judgement ---------------------------------------------------------------------------------------------------------------

    def refuse_end(self, life: Life) -> None:
        """Raise `Broken` where a life has ended by itself."""
        if life.has_ended:
            raise Broken(f"the exporter has ended with {life.status}:\n{life.output}")

    def refuse_wrong(self) -> None:
        """Raise `Broken` where a scrape has shown what it must not."""
        if self._watcher.record.wrong:
            raise Broken("\n".join(self._watcher.record.wrong[:_SHOWN]))

    def become_exact(self, *, anew: bool = False) -> Life:
        """Begin a life that counts all there is, exactly, and goes on to show that; return it."""
        life = self.start(anew=anew)
        self.await_exact(life)
        return life

    def await_exact(self, life: Life) -> None:
        """Wait until the counters are the truth, and see that they stay so while users are polled."""
        truth = self.town.truth()
        try:
            wait_until(lambda: self._is_over(life, truth), "exact counters", _LONGEST_WAY)
        except TimeoutError as error:
            raise Broken(self._said(f"{error}:", truth, life)) from error
        time.sleep(_STILL)
        self.refuse_wrong()
        self.refuse_end(life)
        if not self._is_exact(truth):
            raise Broken(self._said("counters went on:", truth, life))

    def _is_over(self, life: Life, truth: Mapping[Key, int]) -> bool:
        return life.has_ended or bool(self._watcher.record.wrong) or self._is_exact(truth)

    def _is_exact(self, truth: Mapping[Key, int]) -> bool:
        return not differences(self._watcher.record.shown, truth)

    def _said(self, what: str, truth: Mapping[Key, int], life: Life) -> str:
        wrong = differences(self._watcher.record.shown, truth)
        return "\n".join([what, *wrong[:_SHOWN], f"{len(wrong)} label sets in all", life.output])

    def finish(self) -> Tally:
        """See that all is exact in the end, that the exporter ends as it should, and that its file is whole."""
        self.end(self.become_exact())
        with closing(sqlite3.connect(self.place.state)) as connection:
            verdict = Counter(connection.execute("PRAGMA integrity_check"))
        if verdict != Counter([("ok",)]):
            raise Broken(f"the state file is not whole: {', '.join(map(str, verdict))}")
        return self.tally
