"""--web.config.file: a real exporter behind TLS and passwords, read again at run time, and a real Prometheus that gets in."""

import base64
import contextlib
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import bcrypt
import httpx
import pytest

from tests.conftest import ExporterProcess, Process, Start, eventually, free_port, need
from tests.web.certificates import Certificates, make_certificates

PASSWORD = "correct horse"
TLS = """
tls_server_config:
  cert_file: cert.pem
  key_file: key.pem
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.pem
  client_allowed_sans: [client.example]
http_server_config:
  headers: {X-Frame-Options: deny}
basic_auth_users:
  prometheus: HASH
"""
PLAIN = "basic_auth_users: {prometheus: HASH}\n"
SCRAPES = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: cognito
    scheme: https
    basic_auth: {{username: prometheus, password: {password}}}
    tls_config: {{ca_file: ca.pem, cert_file: client.pem, key_file: client-key.pem}}
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


def hashed(password: str = PASSWORD, cost: int = 4) -> str:
    """Return the hash of a password; its cost is the least unless a test is about that."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


def basic(password: str, user: str = "prometheus") -> dict[str, str]:
    """Return the header of a user with a password."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@dataclass
class Site:
    """A folder with a web configuration, its certificates and those of a client."""

    folder: Path
    certificates: Certificates

    @property
    def file(self) -> Path:
        """The web configuration file."""
        return self.folder / "web.yml"

    def write(self, text: str, *, cost: int = 4) -> None:
        """Write the web configuration."""
        self.file.write_text(text.replace("HASH", f"'{hashed(cost=cost)}'"))

    def context(self, *, known: bool = True) -> ssl.SSLContext:
        """Return a client's side of TLS, with a certificate or without."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        if known:
            context.load_cert_chain(self.folder / "client.pem", self.folder / "client-key.pem")
        return context

    def get(self, exporter: ExporterProcess, path: str = "/metrics", password: str = PASSWORD) -> httpx.Response:
        """Ask on a new connection."""
        url = f"https://127.0.0.1:{exporter.port}{path}"
        return httpx.get(url, headers=basic(password), verify=self.context(), timeout=10)

    def certificate(self, exporter: ExporterProcess) -> str:
        """Return the certificate that a new connection is met with."""
        plain = socket.create_connection(("127.0.0.1", exporter.port), timeout=10)
        with self.context().wrap_socket(plain, server_hostname="localhost") as client:
            return ssl.DER_cert_to_PEM_cert(client.getpeercert(binary_form=True) or b"")

    def is_up(self, exporter: ExporterProcess) -> bool:
        """Tell whether the exporter listens."""
        with contextlib.suppress(httpx.TransportError):
            return self.get(exporter).status_code == 200
        return False


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return a site with TLS, client certificates and a password."""
    made = Site(tmp_path, make_certificates(tmp_path))
    client = made.certificates.client
    made.certificates.put("client.pem", client.cert_chain_pems[0].bytes())
    made.certificates.put("client-key.pem", client.private_key_pem.bytes())
    made.write(TLS)
    return made


def test_prometheus_gets_in(site: Site, start: Start) -> None:
    """A real Prometheus with a client certificate and the password scrapes; without either nobody is answered."""
    exporter = start("demo", "--users=2", f"--web.config.file={site.file}")
    eventually(lambda: site.is_up(exporter), "the exporter")
    (site.folder / "prometheus.yml").write_text(SCRAPES.format(port=exporter.port, password=PASSWORD))
    url = f"http://127.0.0.1:{(port := free_port())}"
    program = need("prometheus", "apt-get install prometheus")
    flags = ["--config.file=prometheus.yml", "--storage.tsdb.path=tsdb", f"--web.listen-address=127.0.0.1:{port}"]
    prometheus = Process([program, *flags], site.folder)

    def up() -> bool:
        answer = httpx.get(f"{url}/api/v1/query", params={"query": 'up{job="cognito"}'}, timeout=10)
        result = answer.raise_for_status().json()["data"]["result"]  # a 503 while Prometheus starts
        return [each["value"][1] for each in result] == ["1"]

    try:
        eventually(up, "a scrape by Prometheus")
    finally:
        prometheus.close()
    with pytest.raises(httpx.TransportError):
        httpx.get(f"https://127.0.0.1:{exporter.port}/", verify=site.context(known=False), timeout=10)
    with pytest.raises(httpx.TransportError):
        exporter.get("/metrics")
    for path in ("/metrics", "/", "/api/v1/status", "/-/healthy", "/-/ready", "/nowhere"):
        answer = site.get(exporter, path, password="wrong")
        assert (answer.status_code, answer.headers["X-Frame-Options"]) == (401, "deny"), path
    assert PASSWORD not in exporter.output
    assert f"metrics:     https://127.0.0.1:{exporter.port}/metrics" in exporter.output
    assert exporter.end() == 0


def test_changes_count_for_the_next_connection(site: Site, start: Start) -> None:
    """New certificates, passwords and headers count at once, on kept connections too; a broken file is a 500, told once."""
    exporter = start("demo", "--users=2", f"--web.config.file={site.file}", "--web.enable-lifecycle")
    eventually(lambda: site.is_up(exporter), "the exporter")
    with httpx.Client(
        base_url=f"https://127.0.0.1:{exporter.port}", verify=site.context(), headers=basic(PASSWORD)
    ) as kept:
        assert kept.get("/-/healthy").status_code == 200
        site.write(TLS.replace("deny", "sameorigin"))
        assert kept.get("/-/healthy").headers["X-Frame-Options"] == "sameorigin"
        site.file.write_text("nonsense: 1")
        for _ in range(3):
            assert kept.get("/-/healthy").status_code == site.get(exporter).status_code == 500
        assert kept.post("/-/reload").status_code == 500
        site.write(TLS)
        assert kept.post("/-/reload").status_code == 200
    assert exporter.output.count("unknown key") == 1  # not once a request
    issued = site.certificates.ca.issue_cert("localhost", "127.0.0.1")
    site.certificates.put("key.pem", issued.private_key_pem.bytes())
    assert site.get(exporter).status_code == 500  # the certificate is still the old one
    site.certificates.put("cert.pem", issued.cert_chain_pems[0].bytes())
    assert site.get(exporter).status_code == 200
    assert site.certificate(exporter) == issued.cert_chain_pems[0].bytes().decode()
    site.write(PLAIN)
    assert site.get(exporter).status_code == 500
    assert "TLS cannot be turned on or off" in exporter.output
    assert exporter.end() == 0
    assert "Traceback" not in exporter.output


def test_reload_reads_the_web_configuration_too(site: Site, start: Start) -> None:
    """A mistake in the web configuration fails a reload with its place, as one in the configuration does."""
    site.write(PLAIN)
    exporter = start("demo", "--users=2", f"--web.config.file={site.file}")
    eventually(lambda: "started" in exporter.output, "the start")
    site.file.write_text("basic_auth_users: {prometheus: no-hash}")
    exporter.popen.send_signal(signal.SIGHUP)
    eventually(lambda: "the configuration was not reloaded" in exporter.output, "the failure")
    assert f"{site.file}:1:32: basic_auth_users.prometheus" in exporter.output
    assert exporter.end() == 0


def test_guessing_passwords_stalls_nobody(site: Site, start: Start) -> None:
    """While passwords are guessed whoever knows theirs is answered as before; nor does a check hold up the end."""
    site.write(PLAIN, cost=13)
    exporter = start("demo", "--users=2", f"--web.config.file={site.file}")
    eventually(lambda: exporter.get("/metrics", **basic(PASSWORD)).status_code == 200, "the exporter")
    guessing = threading.Event()
    codes: list[int] = []

    def guess(number: int) -> None:
        attempt = 0
        while not guessing.is_set():
            attempt += 1
            with contextlib.suppress(httpx.TransportError):
                codes.append(exporter.get("/metrics", **basic(f"guess {number} {attempt}")).status_code)

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    eventually(lambda: set(codes) == {401, 503}, "refusals, and a crowd that waits")
    for _ in range(10):
        assert exporter.get("/metrics", **basic(PASSWORD)).status_code == 200
    guessing.set()
    for thread in threads:
        thread.join(20)
    site.write(PLAIN, cost=4)
    assert exporter.get("/metrics", **basic(PASSWORD)).status_code == 200
    endless = hashed(cost=4).replace("$2b$04$", "$2b$22$")
    site.file.write_text(f"basic_auth_users: {{prometheus: '{endless}'}}")
    with pytest.raises(httpx.TimeoutException):
        httpx.get(f"{exporter.url}/metrics", headers=basic(PASSWORD), timeout=1)
    began = time.monotonic()
    assert exporter.end() == 0
    assert time.monotonic() - began < 5


def test_a_bad_file_ends_the_start_with_2(site: Site) -> None:
    """Mistakes in the web configuration are told with file, line and key, by the start (2) and by `check` (1)."""
    site.file.write_text("tls_server_config:\n  cert_file: cert.pem\n  key_file: other-key.pem\nbasic_auth_user: {}\n")
    config = site.folder / "config.yaml"
    config.write_text("user_pools: []\n")
    for arguments, status in ((["demo"], 2), (["check", f"--config.file={config}"], 1)):
        ended = subprocess.run(
            [sys.executable, "-m", "exporter", *arguments, f"--web.config.file={site.file}"],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert ended.returncode == status
        assert f'{site.file}:4:1: basic_auth_user: unknown key: did you mean "basic_auth_users"?' in ended.stderr
        assert (f"{config}:1:13: user_pools" in ended.stderr) == (status == 1)
        assert "Traceback" not in ended.stderr


def test_check_tells_what_is_not_applied_as_written(site: Site) -> None:
    """`check` finds a file good that lets nobody in, and says that it does not."""
    site.file.write_text("rate_limit: {interval: 1s, burst: 0}\nhttp_server_config: {http2: true}\n")
    config = site.folder / "config.yaml"
    config.write_text("user_pools: [{id: eu-west-1_A, users: {all: true}}]\n")
    checked = subprocess.run(
        [sys.executable, "-m", "exporter", "check", f"--config.file={config}", f"--web.config.file={site.file}"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (checked.returncode, f"{config}, {site.file}: good" in checked.stdout) == (0, True)
    assert f"{site.file}: rate_limit has a burst of 0: no request is answered\n" in checked.stderr
    assert f"{site.file}: http2 has no effect" in checked.stderr


def test_an_empty_name_is_no_web_configuration(start: Start) -> None:
    """An empty --web.config.file, the default of Prometheus exporters, means none."""
    exporter = start("demo", "--users=2", "--web.config.file=")
    eventually(lambda: exporter.get("/metrics").status_code == 200, "the exporter")
    assert exporter.end() == 0
