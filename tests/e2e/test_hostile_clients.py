"""A real exporter among hostile and careless clients: Prometheus is answered, and what they took comes back."""

import ssl
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.conftest import Start, eventually
from tests.web.certificates import make_certificates

SECONDS = 8
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Prometheus:
    """Who scrapes: the scheme, the exporter's flags for it, and whom to trust."""

    scheme: str
    flags: list[str]
    verify: ssl.SSLContext | bool


class Watch:
    """What a process holds, as the kernel says."""

    def __init__(self, process_id: int) -> None:
        self._proc = Path("/proc") / str(process_id)

    def descriptors(self) -> int:
        """Return how many are open."""
        return sum(1 for _ in (self._proc / "fd").iterdir())

    def most_memory(self) -> int:
        """Return how much memory it has had at most, in MiB."""
        lines = (self._proc / "status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) // 1024


@pytest.fixture(params=["http", "https"])
def prometheus(request: pytest.FixtureRequest, tmp_path: Path) -> Prometheus:
    """Return who scrapes, and by what configuration."""
    if request.param == "http":
        return Prometheus("http", [], verify=False)
    make_certificates(tmp_path)
    web = tmp_path / "web.yml"
    web.write_text("tls_server_config: {cert_file: cert.pem, key_file: key.pem}")
    return Prometheus("https", [f"--web.config.file={web}"], ssl.create_default_context(cafile=tmp_path / "ca.pem"))


def test_scrapes_among_hostile_clients(prometheus: Prometheus, start: Start) -> None:
    """While thousands of clients stay silent, drip, talk nonsense and do not read, scrapes are answered; all is given back."""
    exporter = start("demo", "--users=25", *prometheus.flags)
    eventually(lambda: "started" in exporter.output, "the exporter")
    watch = Watch(exporter.popen.pid)
    before = watch.descriptors(), watch.most_memory()
    target = f"127.0.0.1:{exporter.port}"
    hostile = subprocess.Popen([sys.executable, "-m", "tests.e2e.hostile", target, str(SECONDS)], cwd=ROOT)
    try:
        answers, most_descriptors = scrape_while(hostile, f"{prometheus.scheme}://{target}", prometheus.verify, watch)
    finally:
        hostile.kill()
        hostile.wait(10)
    print(f"{len(answers)} scrapes, median {statistics.median(answers):.3f} s, longest {max(answers):.3f} s")
    assert most_descriptors > before[0] + 200, "there was no attack"
    assert watch.most_memory() - before[1] < 200
    eventually(lambda: watch.descriptors() < before[0] + 50, "the descriptors back", seconds=15)
    assert "Traceback" not in exporter.output


def scrape_while(
    hostile: subprocess.Popen[bytes], url: str, verify: ssl.SSLContext | bool, watch: Watch
) -> tuple[list[float], int]:
    """Scrape as Prometheus does, its connection kept, until the attack ends.

    Return how long each answer took, in seconds, and how many descriptors the exporter had at most.
    """
    taken, descriptors = [], []
    with httpx.Client(base_url=url, verify=verify, timeout=5) as client:
        while hostile.poll() is None:
            began = time.monotonic()
            taken.append(scrape(client) - began)
            descriptors.append(watch.descriptors())
            time.sleep(0.1)
    return taken, max(descriptors)


def scrape(client: httpx.Client) -> float:
    """Scrape once and return when it was answered; a kept connection that was closed meanwhile is opened anew, as Go does."""
    for attempt in range(3):
        try:
            answer = client.get("/metrics")
        except httpx.TransportError:
            if attempt == 2:
                raise
        else:
            assert answer.status_code == 200, answer.text
            break
    return time.monotonic()
