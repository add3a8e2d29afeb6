"""The pump: takes lines from the ledger's outbox to a sink, in a thread of its own, and tells the outbox what is written."""

import asyncio
import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from structlog.typing import FilteringBoundLogger

from exporter.event_log.sink import Sink, SinkError
from exporter.ledger.ledger import CommitError
from exporter.ledger.writer import Writer

_BATCH = 500  # lines, some hundred kilobytes
_IDLE = 3.0  # seconds without news, after which what is written is deleted from the state
_PATIENCE = 10.0  # seconds for one batch, after which it is said that nobody takes it
_LAST_CHANCE = 1.0  # seconds at the stop, within which a batch may begin
_GRACE = 0.25  # seconds more for that batch to end: left behind, it would be written again
_FIRST_WAIT = 1.0  # seconds until it is tried again after a failure, twice as long each time
_LONGEST_WAIT = 30.0

_Lines = Sequence[tuple[int, str]]


class EventLogObserver(Protocol):
    """Hears how the event log is doing."""

    def event_log_lines(self, number: int) -> None:
        """Note that so many lines were written."""
        ...

    def event_log_failed(self) -> None:
        """Note that lines could not be written, or that nobody took them in time."""
        ...

    def event_log_pending(self, number: int) -> None:
        """Note how many lines are committed and not known to be written."""
        ...


class Pump:
    """Writes lines to one sink from `start` to `stop`. A sink that fails or blocks keeps nothing but the lines waiting."""

    def __init__(self, sink: Sink, writer: Writer, observer: EventLogObserver, logger: FilteringBoundLogger) -> None:
        self._sink = sink
        self._writer = writer
        self._observer = observer
        self._logger = logger
        self._thread = ThreadPoolExecutor(1, "event-log")
        self._news = asyncio.Event()
        self._stopping = asyncio.Event()
        self._in_trouble = False
        self._wait = _FIRST_WAIT
        self._running: asyncio.Task[None] | None = None
        self._ends_at: float | None = None
        """When no batch begins any more, by the event loop's clock; None while not stopping."""

    def start(self) -> None:
        """Begin with what the outbox holds."""
        self._running = asyncio.create_task(self._run())

    def wake(self) -> None:
        """Look at the outbox: a commit may have put something in."""
        self._news.set()

    async def stop(self) -> None:
        """Write what can be written within a second; what is left stays in the outbox. A thread that hangs is left behind."""
        self._ends_at = asyncio.get_running_loop().time() + _LAST_CHANCE
        self._stopping.set()
        self._news.set()
        if self._running is not None:
            await asyncio.wait({self._running}, timeout=_LAST_CHANCE + _GRACE)
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
        await self._forget()
        self._thread.submit(self._sink.close)
        self._thread.shutdown(wait=False)

    async def _run(self) -> None:
        while not self._is_over() and await self._step():
            pass

    def _is_over(self) -> bool:
        return self._ends_at is not None and asyncio.get_running_loop().time() >= self._ends_at

    async def _step(self) -> bool:
        """Write one batch, or wait for one; tell whether to go on."""
        self._news.clear()  # before the look: what comes after it is news
        try:
            lines = await self._writer.outbox(lambda outbox: outbox.read(_BATCH))
            if lines:
                return await self._write(lines) or await self._wait_after_failure()
        except Exception as error:  # noqa: BLE001 - the lines stay in the state, and are tried again
            self._trouble(f"its lines cannot be taken from the state: {error!r}")
            return await self._wait_after_failure()
        return not self._stopping.is_set() and await self._idle()

    async def _idle(self) -> bool:
        """Wait for news; where none come, personal data is not left in the state: no poll's transaction deletes it."""
        try:
            await asyncio.wait_for(self._news.wait(), _IDLE)
        except TimeoutError:
            await self._forget()
        return True

    async def _forget(self) -> None:
        with contextlib.suppress(CommitError):  # a later transaction deletes it
            await self._writer.outbox(lambda outbox: outbox.forget())

    async def _write(self, lines: _Lines) -> bool:
        """Write lines and tell the outbox; tell whether all were written."""
        data = b"".join(line.encode() + b"\n" for _, line in lines)
        whole = len(lines)
        try:
            await self._write_in_thread(data)
        except SinkError as error:
            self._trouble(str(error))
            whole = error.whole
        else:
            self._healed()
        if whole:
            number = lines[whole - 1][0]
            await self._writer.outbox(lambda outbox: outbox.wrote(number))
            self._observer.event_log_lines(whole)
        self._observer.event_log_pending(self._writer.pending_lines)
        return whole == len(lines)

    async def _write_in_thread(self, data: bytes) -> None:
        writing = asyncio.get_running_loop().run_in_executor(self._thread, self._sink.write, data)
        _, hanging = await asyncio.wait({writing}, timeout=_PATIENCE)
        if hanging:
            self._trouble("nobody takes its lines: whoever reads it, or the file system, hangs")
        await writing

    def _trouble(self, error: str) -> None:
        self._observer.event_log_failed()
        if not self._in_trouble:
            self._logger.error(
                "the event log fails; its lines are kept in the state, and it is tried again", error=error
            )
        self._in_trouble = True

    def _healed(self) -> None:
        if self._in_trouble:
            self._logger.info("the event log is written again")
        self._in_trouble, self._wait = False, _FIRST_WAIT

    async def _wait_after_failure(self) -> bool:
        if self._stopping.is_set():
            return False
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), self._wait)
        self._wait = min(2 * self._wait, _LONGEST_WAIT)
        return True
