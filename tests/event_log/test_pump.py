"""The pump between a real ledger and real files: what is told as written is on the disk, and nothing is written twice in vain."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from exporter.event.line import EventLine
from exporter.event_log.pump import Pump
from exporter.event_log.sink import File
from exporter.fetch.source import ListedUser
from exporter.ledger.sqlite import SqliteLedger
from exporter.ledger.writer import Writer
from exporter.users.discovery import start_rule
from tests.event_log.test_sink import files_of_at_most
from tests.ledger.test_writer import NOW, POOL, SETTINGS, A, poll_of

LINE = EventLine({}, "plain", b"key")


class Stage:
    """A ledger in memory, its writer, and what a pump has told; an `EventLogObserver`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = self.failures = self.pending = 0
        ledger = SqliteLedger(":memory:", SETTINGS, NOW)
        ledger.configure(SETTINGS, LINE)
        self.ledger = ledger
        self.writer = Writer(ledger, lambda _: None, lambda: NOW, structlog.get_logger())

    def event_log_lines(self, number: int) -> None:
        """Note that so many lines were written."""
        self.lines += number

    def event_log_failed(self) -> None:
        """Note a failure."""
        self.failures += 1

    def event_log_pending(self, number: int) -> None:
        """Note how many lines wait."""
        self.pending = number

    def pump(self) -> Pump:
        """Return a pump to the file."""
        return Pump(File(self.path), self.writer, self, structlog.get_logger())

    async def count(self, *ids: str) -> None:
        """Count these events."""
        await self.writer.record(poll_of(A, 0, *ids))

    def kept(self) -> int:
        """Return how many lines the state holds."""
        return int(self.ledger._db.execute("SELECT count(*) FROM event_line").fetchone()[0])

    def ids(self) -> list[str]:
        """Return the ids in the whole lines of the file."""
        return [json.loads(line)["event_id"] for line in self.path.read_text().splitlines() if line.endswith("}")]


def play(path: Path, scene: Callable[[Stage], Awaitable[None]]) -> None:
    """Run a scene while the writer writes."""

    async def run() -> None:
        stage = Stage(path)
        await stage.writer.select(POOL, [ListedUser("a", None)], began=NOW, start=start_rule("beginning"))
        writing = asyncio.create_task(stage.writer.run())
        try:
            await scene(stage)
        finally:
            stage.writer.close()
            await writing
            await stage.writer.finish()

    asyncio.run(asyncio.wait_for(run(), 60))


async def until(look: Callable[[], bool]) -> None:
    """Wait until something is so."""
    while not look():  # noqa: ASYNC110 - it looks at files and at what a thread does
        await asyncio.sleep(0.01)


def test_a_stop_writes_what_there_is(tmp_path: Path) -> None:
    """What was counted up to a stop is in the file after it, in order and once, and no longer in the state."""
    ids = [f"e{number}" for number in range(1800)]

    async def scene(stage: Stage) -> None:
        pump = stage.pump()
        pump.start()
        await stage.count(*ids)
        await pump.stop()
        assert (stage.ids(), stage.lines, stage.pending, stage.kept()) == (ids, 1800, 0, 0)

    play(tmp_path / "log", scene)


def test_a_full_disk_repeats_no_whole_line(tmp_path: Path) -> None:
    """Of a batch that the disk took in part, what was whole is not written again; the torn line is."""
    ids = [f"e{number}" for number in range(300)]

    async def scene(stage: Stage) -> None:
        pump = stage.pump()
        with files_of_at_most(50_000):
            await stage.count(*ids)
            pump.start()
            await until(lambda: stage.pending > 0)  # told last, after the failure and what was whole
            assert stage.failures > 0
            assert 0 < stage.lines < 300
            assert stage.pending == 300 - stage.lines
        await until(lambda: stage.pending == 0)
        assert stage.ids() == ids
        await pump.stop()

    play(tmp_path / "log", scene)


def test_a_stop_leaves_what_cannot_be_written(tmp_path: Path) -> None:
    """While the file cannot be written a stop does not wait for it; the lines stay, and the next pump writes them."""

    async def scene(stage: Stage) -> None:
        stage.path.mkdir()
        pump = stage.pump()
        pump.start()
        await stage.count("a", "b")
        pump.wake()
        await until(lambda: stage.failures > 0)
        await asyncio.wait_for(pump.stop(), 2)
        assert stage.kept() == 2
        stage.path.rmdir()
        again = stage.pump()
        again.start()
        await until(lambda: stage.pending == 0)
        await again.stop()
        assert stage.ids() == ["a", "b"]

    play(tmp_path / "log", scene)


def test_written_lines_go_when_nothing_happens(tmp_path: Path) -> None:
    """With no polls to take them along, written lines leave the state after some seconds."""

    async def scene(stage: Stage) -> None:
        pump = stage.pump()
        pump.start()
        await stage.count("a")
        pump.wake()
        await until(lambda: stage.lines == 1)
        assert stage.kept() == 1
        await asyncio.wait_for(until(lambda: stage.kept() == 0), 10)
        await pump.stop()

    play(tmp_path / "log", scene)
