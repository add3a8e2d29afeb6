"""Faults of the machine: what is shown is durable and never falls, the trouble is told, and it ends without a restart."""

import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.conftest import Process, Start, eventually, need
from tests.e2e.conftest import Town

EVENTS = "cognito_auth_events_total"
FAILURES = "cognito_auth_exporter_ledger_commit_failures_total"
LAST_COMMIT = "cognito_auth_exporter_ledger_last_commit_timestamp_seconds"
TROUBLE = "the state cannot be used"
OVER = "the state can be used again"


class Scene:
    """An exporter whose state is in a folder of its own, and the highest total that it has shown."""

    def __init__(self, town: Town, start: Start, state: Path, env: Mapping[str, str] | None = None) -> None:
        self.town = town
        self.state = state
        self.wal = state.with_name(state.name + "-wal")
        self._start = start
        self._env = env
        town.configure(more=f"state: {{path: {state}}}\n")
        town.settle("ada", "bob")
        town.happen("ada", 3)
        self.shown = 0.0
        self.begin()
        self.until_exact()

    def begin(self) -> None:
        """Start an exporter."""
        self.exporter = self._start(f"--config.file={self.town.config}", env=self._env)

    def total(self) -> float:
        """Scrape, whatever the disk does, and see that the total has not fallen."""
        total = self.exporter.total(EVENTS)
        assert total >= self.shown
        self.shown = total
        return total

    def until_exact(self) -> None:
        """Wait until all that has happened is counted, and no more."""
        eventually(lambda: self.total() >= self.town.truth, "all events")
        assert self.total() == self.town.truth

    def until_trouble(self, says: str) -> None:
        """Wait until log, metrics and status say what is wrong; see that what is shown stands still, though more happens."""
        failures = self.exporter.total(FAILURES)
        eventually(lambda: self.exporter.total(FAILURES) >= failures + 1, "failures in the metrics")
        committed, before = self.exporter.total(LAST_COMMIT), self.total()
        self.town.happen("bob", 5)
        eventually(lambda: self.exporter.total(FAILURES) >= failures + 3, "more failures in the metrics")
        assert self.total() == before
        assert says in self.exporter.output
        problems = self.exporter.get("/api/v1/status").json()["data"]["problems"]
        assert any(says in problem["text"] for problem in problems)
        assert self.exporter.get("/-/healthy").status_code == 200
        assert committed == self.exporter.total(LAST_COMMIT)

    def until_over(self) -> None:
        """Wait until the trouble is over; see that each word of it was said once, and that the state is exact after a kill."""
        self.until_exact()
        eventually(lambda: OVER in self.exporter.output, "the end of the trouble in the log")
        said = [line.partition(TROUBLE)[2] for line in self.exporter.output.splitlines() if "level=error" in line]
        assert all(said), said
        assert len(set(said)) == len(said), said
        self.until_exact_after_a_kill()

    def until_exact_after_a_kill(self) -> None:
        """Kill the exporter, and see that the next one shows the same from its start."""
        self.exporter.end(signal.SIGKILL)
        self.begin()
        eventually(lambda: self.exporter.get("/metrics").status_code == 200, "a start")
        self.until_exact()


@pytest.fixture
def scene(town: Town, start: Start, tmp_path: Path) -> Scene:
    """Return an exporter that has counted some events."""
    return Scene(town, start, tmp_path / "state" / "state.db")


@contextmanager
def struck(scene: Scene, calls: str, fault: str) -> Iterator[None]:
    """Have these system calls on the state's files meet a fault, in the running process."""
    strace = need("strace", "install strace")
    paths = [argument for path in (scene.state, scene.wal) for argument in ("-P", str(path))]
    pid = str(scene.exporter.popen.pid)
    arguments = [strace, "-f", "-p", pid, *paths, "-e", f"trace={calls}", "-e", f"inject={calls}:{fault}"]
    tracer = Process(arguments, scene.town.config.parent)
    try:
        eventually(lambda: " attached" in tracer.output, "strace")
        yield
        tracer.end(signal.SIGINT)
    finally:
        tracer.close()


@pytest.mark.parametrize(
    ("calls", "fault", "says"),
    [
        ("pwrite64,write", "error=ENOSPC", "make room on the file system of state.path"),
        ("pwrite64,write", "error=EROFS", "disk I/O error"),
        ("fdatasync,fsync", "error=EIO", "disk I/O error"),
    ],
)
def test_a_disk_that_fails(calls: str, fault: str, says: str, scene: Scene) -> None:
    """While writes or syncs fail the last durable numbers are shown and the trouble is told once; then all is counted."""
    with struck(scene, calls, fault):
        scene.until_trouble(says)
    scene.until_over()


def test_a_slow_disk(scene: Scene) -> None:
    """A disk that takes a second for each sync holds up nobody but the counting, and nothing is lost."""
    with struck(scene, "fdatasync,fsync", "delay_enter=1000000"):
        for user in ("ada", "bob"):
            scene.town.happen(user, 5)
        scene.until_exact()
    assert scene.exporter.total(FAILURES) == 0
    scene.until_exact_after_a_kill()


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a file system of some megabytes."""
    folder.mkdir()
    mounted = subprocess.run(
        [need("mount", "install mount"), "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode != 0:
        need("root", f"no file system can be mounted here: {mounted.stderr!r}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk(town: Town, start: Start, tmp_path: Path) -> None:
    """On a disk that is full in fact the exporter waits for room, and goes on once there is some."""
    disk = tmp_path / "disk"
    with small_disk(disk):
        scene = Scene(town, start, disk / "state.db")
        town.happen("ada", 2000)  # more than the log beside the state has room for already
        fill(disk / "filler")
        scene.until_trouble("make room on the file system of state.path")
        (disk / "filler").unlink()
        scene.until_over()


def fill(filler: Path) -> None:
    """Write a file until the disk is full."""
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass


def remove(scene: Scene) -> None:
    """Remove the state file."""
    scene.state.unlink()


def remove_log(scene: Scene) -> None:
    """Remove the log beside the state file, where the latest commits are."""
    scene.wal.unlink()


def remove_all(scene: Scene) -> None:
    """Remove the whole folder."""
    shutil.rmtree(scene.state.parent)


@pytest.mark.parametrize("take_away", [remove, remove_log, remove_all])
def test_a_state_that_is_removed_is_written_anew(take_away: Callable[[Scene], None], scene: Scene) -> None:
    """A state that is removed while in use is put back whole: nothing is lost or counted twice, and a kill changes nothing."""
    take_away(scene)
    scene.town.happen("bob", 5)
    scene.until_exact()
    assert "it was written anew, nothing is lost" in scene.exporter.output
    assert sorted(path.name for path in scene.state.parent.iterdir() if path.suffix == ".db") == ["state.db"]
    assert scene.exporter.total(FAILURES) == 0
    scene.until_exact_after_a_kill()


@pytest.mark.parametrize("is_put_back", [True, False])
def test_a_state_that_is_replaced(scene: Scene, tmp_path: Path, *, is_put_back: bool) -> None:
    """A file put in the state's place is not touched; once the state is back, or its place is free, the counting goes on."""
    aside = tmp_path / "aside.db"
    scene.state.rename(aside)
    scene.state.write_bytes(b"another's")
    scene.until_trouble("another file is in the place of the state file")
    assert scene.state.read_bytes() == b"another's"
    if is_put_back:
        aside.rename(scene.state)
    else:
        scene.state.unlink()
    scene.until_over()


def test_no_descriptors_left(scene: Scene) -> None:
    """Without a free descriptor who is connected is served, it is said once, and newcomers are served once there are some."""
    pid = scene.exporter.popen.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    with httpx.Client(base_url=scene.exporter.url) as connected:
        assert connected.get("/-/healthy").status_code == 200
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(scene.exporter.url, timeout=1.5)
        scene.town.happen("bob", 5)
        assert connected.get("/metrics").status_code == 200
        eventually(lambda: "no connection can be accepted" in scene.exporter.output, "the trouble in the log")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    scene.until_exact()
    assert scene.exporter.output.count("no connection can be accepted") == 1
    assert "raceback" not in scene.exporter.output


def faketime(clock: Path, *, monotonic: bool) -> Mapping[str, str]:
    """Return the environment in which a process takes its time from a file, that of its monotonic clock too where asked for."""
    library = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
    if library is None:
        need("libfaketimeMT.so.1", "install faketime")
    clock.write_text("+0")
    stay = {} if monotonic else {"FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    return {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1", **stay}


def test_a_clock_that_jumps(town: Town, start: Start, tmp_path: Path) -> None:
    """A clock that is set two hours forward and then back behind the start costs and doubles no event."""
    clock = tmp_path / "clock"
    scene = Scene(town, start, tmp_path / "state.db", faketime(clock, monotonic=False))
    for offset in ("+2h", "-1h", "+0"):
        committed = scene.exporter.total(LAST_COMMIT)
        clock.write_text(offset)
        town.happen("bob", 5)
        scene.until_exact()
        assert abs(scene.exporter.total(LAST_COMMIT) - committed) > 1800
        assert scene.exporter.get("/-/healthy").status_code == 200
    assert scene.exporter.total(FAILURES) == 0


def test_a_process_that_is_stopped_for_minutes(town: Town, start: Start, tmp_path: Path) -> None:
    """What happens while the process stands still for ten minutes, all its clocks say, is counted when it goes on."""
    clock = tmp_path / "clock"
    scene = Scene(town, start, tmp_path / "state.db", faketime(clock, monotonic=True))
    scene.exporter.popen.send_signal(signal.SIGSTOP)
    town.happen("bob", 5)
    clock.write_text("+10m")
    scene.exporter.popen.send_signal(signal.SIGCONT)
    scene.until_exact()
    assert scene.exporter.get("/-/healthy").status_code == 200
    assert "level=error" not in scene.exporter.output
