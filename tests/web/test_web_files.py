"""The web configuration as it is now: changes count at once, a broken file loosens nothing, a slow disk costs little."""

import asyncio
import contextlib
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from structlog.testing import CapturingLogger

from exporter.configuration.errors import ConfigError
from exporter.web.web_config import WebConfig, load_web_config
from exporter.web.web_files import WebConfigError, WebConfigFiles
from tests.conftest import WAIT, eventually
from tests.web.certificates import Certificates, make_certificates

HASH = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"
PLAIN = "http_server_config: {headers: {X-Frame-Options: deny}}"
TLS = "tls_server_config: {cert_file: cert.pem, key_file: key.pem}"


class Place:
    """A web configuration file, what reads it, and what was logged."""

    def __init__(self, folder: Path, text: str, **options: object) -> None:
        self.file = folder / "web.yml"
        self.file.write_text(text)
        self.log = CapturingLogger()
        self.files = WebConfigFiles(self.file, self.log, **{"patience": WAIT, **options})  # type: ignore[arg-type]

    def logged(self) -> list[str]:
        """Return what was logged since this was called last: level, message, and what stands in its keys."""
        calls = [f"{call.method_name}: {call.args[0]} {' '.join(call.kwargs.values())}" for call in self.log.calls]
        self.log.calls.clear()
        return calls


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path, PLAIN)
    yield place
    place.files.close()


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return make_certificates(tmp_path)


@pytest.fixture
def secured(certificates: Certificates) -> Iterator[Place]:
    place = Place(certificates.folder, TLS)
    yield place
    place.files.close()


def test_a_change_counts_at_once(plain: Place) -> None:
    """New headers and users count for the next call; what changed is logged by its keys, without values."""
    assert plain.files.current().headers == {"X-Frame-Options": "deny"}
    plain.file.write_text(
        f"basic_auth_users: {{alice: {HASH}}}\nhttp_server_config: {{headers: {{X-XSS-Protection: 1}}}}"
    )
    now = plain.files.current()
    assert (now.headers, list(now.users)) == ({"X-XSS-Protection": "1"}, ["alice"])
    keys = "basic_auth_users, http_server_config.headers.X-Frame-Options, http_server_config.headers.X-XSS-Protection"
    assert plain.logged() == [f"info: the web configuration has changed {keys}"]


def test_nothing_is_read_without_a_change(tmp_path: Path) -> None:
    """Files that stay as they are are looked at, and not read again; nor is a broken one."""
    read: list[Path] = []

    def load(path: Path) -> WebConfig:
        read.append(path)
        return load_web_config(path)

    def reads(calls: int) -> int:
        before = len(read)
        for _ in range(calls):
            with suppress(WebConfigError):
                place.files.current()
        return len(read) - before

    place = Place(tmp_path, PLAIN, load=load)
    for text in ("broken", PLAIN):
        place.file.write_text(text)
        assert reads(1) == 1
        eventually(lambda: reads(1) == 0, "the file is older than a tick of the clock")
        assert reads(100) == 0
    place.files.close()


def test_a_torn_write_is_seen(plain: Place) -> None:
    """A file of the same size whose modification time was set back has still changed."""
    before = plain.file.stat()
    plain.file.write_text(PLAIN.replace("deny", "DENY"))
    os.utime(plain.file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert plain.file.stat().st_size == before.st_size
    with pytest.raises(WebConfigError):
        plain.files.current()


def test_a_broken_file_is_told_once(plain: Place) -> None:
    """While a file is broken every call says so, the log once; mended, it counts again, and the log says that too."""
    plain.file.write_text("basic_auth_users: {alice: secret}")
    for _ in range(3):
        with pytest.raises(WebConfigError, match=r"web.yml:1:27: basic_auth_users.alice: not a bcrypt hash"):
            plain.files.current()
    assert plain.files.last_good.headers == {"X-Frame-Options": "deny"}
    [told] = plain.logged()
    assert told.startswith("error: the web configuration is broken")
    assert "secret" not in told
    plain.file.write_text(PLAIN)
    assert plain.files.current().headers == {"X-Frame-Options": "deny"}
    assert plain.logged() == [f"info: the web configuration is good again {plain.file}"]


def test_a_file_that_goes_and_comes(plain: Place) -> None:
    """A file that is gone is broken; one put in its place counts."""
    plain.file.unlink()
    with pytest.raises(WebConfigError, match="No such file"):
        plain.files.current()
    plain.file.with_name("new").write_text("http_server_config: {headers: {X-XSS-Protection: 1}}")
    plain.file.with_name("new").rename(plain.file)
    assert plain.files.current().headers == {"X-XSS-Protection": "1"}


def test_new_certificates(secured: Place, certificates: Certificates) -> None:
    """A new certificate and key count for the next connection; between the two, the old ones do."""
    before = secured.files.security()
    assert before is not None
    renewed = certificates.ca.issue_cert("localhost")
    certificates.put("cert.pem", renewed.cert_chain_pems[0].bytes())
    assert secured.files.security() is before
    with pytest.raises(WebConfigError, match="does not belong to the certificate"):
        secured.files.current()
    secured.logged()
    certificates.put("key.pem", renewed.private_key_pem.bytes())
    assert secured.files.security() is not before
    assert secured.logged()[-1] == (
        "info: the web configuration has changed tls_server_config.cert_file, tls_server_config.key_file"
    )


def test_a_missing_file_is_waited_for(secured: Place, certificates: Certificates) -> None:
    """A file that is named and not there yet is looked for: once it comes, the configuration is good."""
    secured.file.write_text(TLS.replace("key.pem", "later.pem"))
    with pytest.raises(WebConfigError):
        secured.files.current()
    certificates.put("later.pem", certificates.server.private_key_pem.bytes())
    assert secured.files.current().tls is not None


@pytest.mark.parametrize(("before", "after"), [(PLAIN, TLS), (TLS, PLAIN)])
def test_tls_is_never_turned_on_or_off(before: str, after: str, certificates: Certificates) -> None:
    """Between TLS and none there is no change while the exporter runs: it is a mistake, and what was stays."""
    place = Place(certificates.folder, before)
    was = place.files.security()
    place.file.write_text(after)
    with pytest.raises(WebConfigError, match="restart"):
        place.files.current()
    with pytest.raises(WebConfigError, match="restart"):
        asyncio.run(place.files.reload())
    assert place.files.security() is was
    place.file.write_text(before)
    asyncio.run(place.files.reload())
    assert (place.files.current().tls is None) == (was is None)
    place.files.close()


def test_reload(plain: Place) -> None:
    """A reload reads at once and says every mistake; the last good one stays known, and calls say that it is broken."""
    asyncio.run(plain.files.reload())
    plain.file.write_text("a: 1\nb: 2")
    with pytest.raises(ConfigError) as caught:
        asyncio.run(plain.files.reload())
    assert len(caught.value.problems) == 2
    with pytest.raises(WebConfigError):
        plain.files.current()
    plain.file.write_text(PLAIN)
    asyncio.run(plain.files.reload())
    assert plain.files.current().headers == {"X-Frame-Options": "deny"}


def test_the_start_says_what_is_wrong(tmp_path: Path) -> None:
    """A file that is broken at the start is told with its place."""
    with pytest.raises(ConfigError, match=r"web.yml:1:1: foo: unknown key"):
        Place(tmp_path, "foo: 1")


def test_warnings_are_told_once(plain: Place) -> None:
    """What is applied more strictly or has no effect is told when it is new, not at each reading."""
    plain.file.write_text("http_server_config: {http2: true}")
    plain.files.current()
    assert plain.logged()[-1].startswith(
        "warning: the web configuration is not applied as it is written http2 has no effect"
    )
    plain.file.write_text("http_server_config: {http2: true, headers: {X-XSS-Protection: 1}}")
    plain.files.current()
    assert [told.partition(":")[0] for told in plain.logged()] == ["info"]


def test_a_disk_that_hangs(tmp_path: Path) -> None:
    """A disk that does not answer costs one wait; what was known counts meanwhile, and what it says, once it does."""
    answer, asked = threading.Event(), threading.Semaphore(0)

    def load(path: Path) -> WebConfig:
        if threading.current_thread() is not threading.main_thread():
            asked.release()
            assert answer.wait(WAIT)
        return load_web_config(path)

    place = Place(tmp_path, PLAIN, load=load, patience=0.01)
    place.file.write_text("http_server_config: {headers: {X-XSS-Protection: 1}}")
    eventually(lambda: place.files.current() and asked.acquire(blocking=False), "the file is read")
    place.logged()
    for _ in range(1000):
        assert place.files.current().headers == {"X-Frame-Options": "deny"}
    assert place.logged() == []
    with pytest.raises(WebConfigError, match=r"could not be read in 0\.2 s"):
        asyncio.run(place.files.reload())
    answer.set()
    eventually(lambda: place.files.current().headers == {"X-XSS-Protection": "1"}, "the new headers")
    place.files.close()


def test_whatever_goes_wrong_is_a_broken_file(tmp_path: Path) -> None:
    """An error that nobody foresaw is a broken file too: the process lives, and the next change is read."""

    def load(path: Path) -> WebConfig:
        if "unforeseen" in path.read_text():
            raise MemoryError
        return load_web_config(path)

    place = Place(tmp_path, PLAIN, load=load)
    place.file.write_text("# unforeseen")
    with pytest.raises(WebConfigError, match="MemoryError"):
        place.files.current()
    place.file.write_text(PLAIN)
    assert place.files.current().headers
    place.files.close()


def test_a_disk_that_failed_is_asked_again(tmp_path: Path) -> None:
    """A file that could not be read for a moment is read again, though it has not changed."""
    place = Place(tmp_path, PLAIN)
    place.file.write_text("http_server_config: {headers: {X-XSS-Protection: 1}}")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as opened:
        resource.setrlimit(resource.RLIMIT_NOFILE, (sum(1 for _ in Path("/proc/self/fd").iterdir()) + 8, limits[1]))
        try:
            with contextlib.suppress(OSError):
                while True:
                    opened.enter_context(open(os.devnull, encoding="utf-8"))  # noqa: PTH123 - a device
            with pytest.raises(WebConfigError, match="Too many open files"):
                place.files.current()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert place.files.current().headers == {"X-XSS-Protection": "1"}
    place.files.close()
