"""Where lines go: files that are moved, cut or torn, disks that fill up, and places that are no files."""

import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exporter.event_log.sink import File, SinkError, _Lines, check


@pytest.fixture
def file(tmp_path: Path) -> Iterator[File]:
    """Return a sink over `log` in a folder; it is closed with the test."""
    made = File(tmp_path / "log")
    yield made
    made.close()


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Have files end at a size, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_tears_one_line_at_most(file: File, tmp_path: Path) -> None:
    """What fits is written and told in whole lines; once there is room the next line stands for itself."""
    with files_of_at_most(10), pytest.raises(SinkError) as caught:
        file.write(b"one\ntwo\nthree\nfour\n")
    assert caught.value.whole == 2
    with files_of_at_most(10), pytest.raises(SinkError) as caught:
        file.write(b"three\nfour\n")
    assert caught.value.whole == 0
    file.write(b"three\nfour\n")
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\nth\nthree\nfour\n"


def test_a_line_torn_by_a_kill_is_ended(file: File, tmp_path: Path) -> None:
    """A file that ends within a line is gone on with on a new one; one that ends with a line, or is empty, as it is."""
    for before in (b"whole\nto", b"whole\n", b""):
        (tmp_path / "log").write_bytes(before)
        file.write(b"next\n")
        file.close()
        ended = before + (b"\n" if before.endswith(b"to") else b"")
        assert (tmp_path / "log").read_bytes() == ended + b"next\n"


def test_the_file_at_the_path_is_written(file: File, tmp_path: Path) -> None:
    """Moved away, removed with its folder, replaced, or cut: lines go to what stands at the path then."""
    path = tmp_path / "log"
    file.write(b"1\n")
    path.rename(tmp_path / "moved")
    file.write(b"2\n")
    assert ((tmp_path / "moved").read_bytes(), path.read_bytes()) == (b"1\n", b"2\n")
    os.truncate(path, 0)
    file.write(b"3\n")
    assert path.read_bytes() == b"3\n"
    path.unlink()
    path.write_bytes(b"another's\n")
    file.write(b"4\n")
    assert path.read_bytes() == b"another's\n4\n"


def test_no_descriptor_is_left_behind(file: File, tmp_path: Path) -> None:
    """Rotations and refusals leave no file open that is not written."""
    before = len(list(Path("/dev/fd").iterdir()))
    for number in range(20):
        file.write(b"line\n")
        (tmp_path / "log").rename(tmp_path / str(number))
    (tmp_path / "log").mkdir()
    with pytest.raises(SinkError):
        file.write(b"line\n")
    file.close()
    assert len(list(Path("/dev/fd").iterdir())) == before


def make_pipe(path: Path) -> None:
    """Make a pipe that nobody reads."""
    os.mkfifo(path)


def make_database(path: Path) -> None:
    """Make what begins as a state does."""
    path.write_bytes(b"SQLite format 3\x00 and so on")


@pytest.mark.parametrize(
    ("make", "says"),
    [(Path.mkdir, "Is a directory"), (make_pipe, "write - for standard output"), (make_database, "a database")],
)
def test_what_is_no_log_is_refused(make: object, says: str, tmp_path: Path) -> None:
    """A folder, a pipe or a database is named, with what to do, is not waited for, and stays as it is."""
    path = tmp_path / "place"
    assert callable(make)
    make(path)
    before = path.stat()
    with pytest.raises(SinkError, match=says) as caught:
        check(path)
    assert str(path) in str(caught.value)
    after = path.stat()
    assert (after.st_mode, after.st_size, after.st_mtime) == (before.st_mode, before.st_size, before.st_mtime)


def test_a_pipe_with_a_reader_is_refused_too(tmp_path: Path) -> None:
    """A named pipe is refused whether somebody reads it or not."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(SinkError, match="not a regular file"):
        check(path)
    os.close(reading)


def test_check_makes_the_file_and_devices_are_taken(tmp_path: Path) -> None:
    """The check makes folder and file, readable by owner and group alone; a character device is as good as a file."""
    check(tmp_path / "deep" / "log")
    assert (tmp_path / "deep" / "log").stat().st_mode & 0o137 == 0
    check(Path(os.devnull))
    check("")
    with pytest.raises(SinkError, match="make room"):
        File(Path("/dev/full")).write(b"line\n")


def test_a_closed_standard_output_is_refused() -> None:
    """Where standard output is closed its number may be any file's, such as the state's: nothing is written to it."""
    code = "from exporter.event_log.sink import check; check('-')"
    script = f'exec "{sys.executable}" -c "{code}" >&-'
    ended = subprocess.run(["sh", "-c", script], stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 1
    assert "standard output is closed" in ended.stderr


def test_an_output_that_does_not_wait_is_waited_for() -> None:
    """A pipe set not to block by whoever made it takes all lines as its reader takes them."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    data = b"line\n" * 50_000
    thread = threading.Thread(target=_Lines(writing).write, args=(data,))
    thread.start()
    time.sleep(0.05)
    taken = b""
    while len(taken) < len(data):
        taken += os.read(reading, 1 << 16)
    thread.join(10)
    os.close(reading)
    os.close(writing)
    assert taken == data
