"""What walks ask before they begin, and which are under way: all who ask meanwhile are answered together."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from exporter.ledger.ledger import NEVER, CommitError, Ledger, Lookout


class Walks:
    """The walks that are under way, and the polls not yet written, by the commit after which they began (`Lookout.began`)."""

    def __init__(self) -> None:
        self._number: Counter[int] = Counter()

    def begin(self, began: int) -> None:
        """Take one more that began after this commit."""
        self._number[began] += 1

    def end(self, began: int) -> None:
        """Let go of one of them."""
        self._number[began] -= 1
        if not self._number[began]:
            del self._number[began]

    @property
    def oldest(self) -> int:
        """The commit after which the oldest of them began, 0 where there is none."""
        return min(self._number, default=0)


@dataclass(frozen=True, slots=True)
class _Asking:
    user: int
    now: float
    clock_set_at: float
    lookout: "asyncio.Future[Lookout]"


class Lookouts:
    """Asks the ledger, in its thread, what walks have to know; a walk that is told is under way until somebody ends it."""

    def __init__(self, ledger: Ledger, thread: Executor, walks: Walks) -> None:
        self._ledger = ledger
        self._thread = thread
        self._walks = walks
        self._asking: list[_Asking] = []
        self._answering: asyncio.Task[None] | None = None

    async def ask(self, user: int, now: float, clock_set_at: float = NEVER) -> Lookout:
        """Return what a walk has to know that begins now. Raises `CommitError` where the state cannot be read."""
        asking = _Asking(user, now, clock_set_at, asyncio.get_running_loop().create_future())
        self._asking.append(asking)
        if self._answering is None:
            self._answering = asyncio.ensure_future(self._answer_all())
        try:
            return await asking.lookout
        except asyncio.CancelledError:
            if asking.lookout.done() and not asking.lookout.cancelled():  # answered, and nobody there to end the walk
                self._walks.end(asking.lookout.result().began)
            raise

    async def _answer_all(self) -> None:
        """Answer all at once who ask meanwhile: a turn of the ledger's thread costs more than an answer."""
        try:
            while self._asking:
                batch, self._asking = self._asking, []
                for asking, answer in zip(batch, await self._answers(batch), strict=True):
                    self._tell(asking, answer)
        finally:
            self._answering = None

    async def _answers(self, batch: Sequence[_Asking]) -> Sequence[Lookout | Exception]:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._read_all, batch)
        except Exception as error:  # noqa: BLE001 - nobody is to wait for ever
            return [error] * len(batch)

    def _read_all(self, batch: Sequence[_Asking]) -> list[Lookout | Exception]:
        return [self._read(asking) for asking in batch]

    def _read(self, asking: _Asking) -> Lookout | Exception:
        try:
            return self._ledger.look_out(asking.user, asking.now, asking.clock_set_at)
        except CommitError:  # nor can the others be answered
            raise
        except Exception as error:  # noqa: BLE001 - it is raised where the answer is waited for
            return error

    def _tell(self, asking: _Asking, answer: Lookout | Exception) -> None:
        if asking.lookout.cancelled():
            return
        if isinstance(answer, Exception):
            asking.lookout.set_exception(answer)
        else:
            self._walks.begin(answer.began)
            asking.lookout.set_result(answer)
