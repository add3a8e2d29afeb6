"""A real Prometheus scrapes a real exporter and answers PromQL."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from exporter.event.event import Context
from tests.conftest import ExporterProcess, Start, eventually
from tests.e2e.conftest import Town
from tests.prometheus import Prometheus, job


@pytest.fixture
def observed(town: Town, start: Start, tmp_path: Path) -> Iterator[tuple[ExporterProcess, Prometheus]]:
    """Yield an exporter that holds new series for some scrapes, and the Prometheus that scrapes it."""
    town.configure(hold="4s")
    town.settle("ada", "grace")
    exporter = start()
    eventually(lambda: exporter.get("/-/ready").status_code == 200, "the exporter")
    prometheus = Prometheus(exporter, tmp_path)
    try:
        eventually(lambda: prometheus.value('up{job="cognito"}') == 1, "a scrape")
        yield exporter, prometheus
    finally:
        prometheus.close()


def test_prometheus_sees_every_first_step(town: Town, observed: tuple[ExporterProcess, Prometheus]) -> None:
    """Totals by PromQL are exact, and `increase()` sees an event that is the first of its series."""
    _, prometheus = observed
    town.happen("ada", 3)
    town.happen("grace", 2, response="Fail")
    eventually(lambda: prometheus.value("sum(cognito_auth_events_total)") == 5, "the total")
    for response in ("Pass", "Fail"):
        stepped = f'changes(cognito_auth_events_total{{response="{response}"}}[1m]) > 0'
        eventually(lambda query=stepped: prometheus.value(query) == 1, f"the first step of {response}")  # type: ignore[misc]
        risen = f'increase(cognito_auth_events_total{{response="{response}"}}[1m]) > 0'
        assert prometheus.value(risen) is not None
    assert prometheus.value('cognito_auth_up{user_pool="scripted"}') == 1
    assert prometheus.value("sum(cognito_auth_exporter_users)") == 2
    assert prometheus.value(
        'histogram_quantile(0.5, cognito_auth_exporter_event_lag_seconds_bucket{user_pool="scripted"})'
    )


def test_prometheus_has_every_family(town: Town, observed: tuple[ExporterProcess, Prometheus]) -> None:
    """Prometheus takes in each family as the type that it is served as, with its unit, and drops no sample."""
    exporter, prometheus = observed
    town.happen("ada")
    eventually(lambda: prometheus.value("sum(cognito_auth_events_total)") == 1, "the event")
    served = {
        line.split()[2]: line.split()[3] for line in exporter.get("/metrics").text.splitlines() if line[:6] == "# TYPE"
    }

    def taken() -> bool:
        metadata = prometheus.get("metadata")
        types = {name.removesuffix("_total"): entries[0]["type"] for name, entries in metadata.items()}
        units = {name: entries[0]["unit"] for name, entries in metadata.items()}
        told = units.get("cognito_auth_last_event_timestamp_seconds")  # by OpenMetrics alone
        return told == "seconds" and all(
            types.get(name.removesuffix("_total")) == kind for name, kind in served.items() if "untyped" not in kind
        )

    eventually(taken, "all families", seconds=20)
    assert "Error on ingesting" not in prometheus.output
    assert prometheus.value('scrape_samples_scraped{job="cognito"}') == prometheus.value(
        'scrape_samples_post_metric_relabeling{job="cognito"}'
    )


class TextAlone(BaseHTTPRequestHandler):
    """Asks the exporter for text whatever Prometheus wants, which is OpenMetrics where it has the choice."""

    exporter: ExporterProcess

    def do_GET(self) -> None:
        """Answer with what the exporter does."""
        answer = self.exporter.get(self.path, Accept="text/plain; version=0.0.4")
        self.send_response(answer.status_code)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def text_of(exporter: ExporterProcess) -> Iterator[int]:
    """Serve the exporter's text on a port of its own."""
    handler = type("TextOfExporter", (TextAlone,), {"exporter": exporter})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            serving.join(10)


def test_prometheus_takes_both_formats_alike(town: Town, start: Start, tmp_path: Path) -> None:
    """By the text format Prometheus has the same series with the same values as by OpenMetrics."""
    town.settle("ada", "grace")
    town.happen("ada", 3)
    nowhere = Context(None, None, None, None, 'Land "of" \\ back\nslash')
    town.happen("grace", 2, response="Fail", context=nowhere)
    exporter = start()
    eventually(lambda: exporter.total("cognito_auth_events_total") == 5, "the events")
    with text_of(exporter) as port:
        prometheus = Prometheus(exporter, tmp_path, [job("text", port)])

        def series(scraped: str) -> dict[frozenset[tuple[str, str]], str]:
            query = f'{{job="{scraped}", __name__=~"cognito_auth_(events|risk|recent|user_pool|up|challenges).*"}}'
            return {
                frozenset((name, value) for name, value in each["metric"].items() if name not in {"job", "instance"}): (
                    each["value"][1]
                )
                for each in prometheus.ask(query)
            }

        try:
            eventually(lambda: series("text") and series("text") == series("cognito"), "the same series")
            assert len(series("text")) > 50
        finally:
            prometheus.close()
    assert "Error on ingesting" not in prometheus.output
