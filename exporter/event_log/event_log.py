"""The event log of a running exporter: follows what the configuration says of it."""

import asyncio
import contextlib
from pathlib import Path
from typing import Literal

from structlog.typing import FilteringBoundLogger

from exporter.event_log.pump import EventLogObserver, Pump
from exporter.event_log.sink import sink_for
from exporter.ledger.ledger import CommitError
from exporter.ledger.writer import Writer


class EventLog:
    """Writes the lines of counted events to where the configuration says, or drops them where it says nowhere."""

    def __init__(self, writer: Writer, observer: EventLogObserver, logger: FilteringBoundLogger) -> None:
        self._writer = writer
        self._observer = observer
        self._logger = logger
        self._path: Path | Literal["", "-"] = ""
        self._pump: Pump | None = None
        self._changing = asyncio.Lock()
        self._ended = False

    async def follow(self, path: Path | Literal["", "-"]) -> None:
        """Write there from now on; the ledger makes lines, or no longer makes any, already."""
        async with self._changing:
            if path != self._path:
                await self._stop()
            if path == "":
                await self._drop()
            elif self._pump is None and not self._ended:
                self._pump = Pump(sink_for(path), self._writer, self._observer, self._logger)
                self._pump.start()
            self._path = path
            self._observer.event_log_pending(self._writer.pending_lines)

    def wake(self) -> None:
        """Look for lines: there has been a commit."""
        if self._pump is not None:
            self._observer.event_log_pending(self._writer.pending_lines)
            self._pump.wake()

    async def end(self) -> None:
        """Write what can be written within a second, and leave the rest to the next start."""
        self._ended = True
        async with self._changing:
            await self._stop()

    async def _stop(self) -> None:
        pump, self._pump = self._pump, None
        if pump is not None:
            await pump.stop()

    async def _drop(self) -> None:
        dropped = await self._writer.outbox(lambda outbox: outbox.drop())
        if dropped:
            self._logger.warning("the event log is off; lines that were not written yet are dropped", lines=dropped)
            with contextlib.suppress(CommitError):  # a later transaction deletes them
                await self._writer.outbox(lambda outbox: outbox.forget())
