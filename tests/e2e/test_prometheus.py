"""A real Prometheus scrapes a real exporter and answers PromQL."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import ExporterProcess, Process, Start, eventually, free_port, need
from tests.e2e.conftest import Town

SCRAPES = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: cognito
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


class Prometheus(Process):
    """Prometheus with one exporter as its target."""

    def __init__(self, exporter: ExporterProcess, folder: Path) -> None:
        program = need("prometheus", "apt-get install prometheus")
        config = folder / "prometheus.yml"
        config.write_text(SCRAPES.format(port=exporter.port))
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        flags = [
            "--config.file",
            config,
            "--storage.tsdb.path",
            folder / "tsdb",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        super().__init__([program, *map(str, flags)], folder)

    def ask(self, query: str) -> list[dict[str, Any]]:
        """Return the result of an instant query."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=10).raise_for_status()
        result: list[dict[str, Any]] = answer.json()["data"]["result"]
        return result

    def value(self, query: str) -> float | None:
        """Return the value of a query with at most one result."""
        return next((float(each["value"][1]) for each in self.ask(query)), None)


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
    """Prometheus takes in each family as the type that it is served as, and drops no sample."""
    exporter, prometheus = observed
    town.happen("ada")
    eventually(lambda: prometheus.value("sum(cognito_auth_events_total)") == 1, "the event")
    served = {
        line.split()[2]: line.split()[3] for line in exporter.get("/metrics").text.splitlines() if line[:6] == "# TYPE"
    }

    def taken() -> bool:
        metadata = httpx.get(f"{prometheus.url}/api/v1/metadata", timeout=10).raise_for_status().json()["data"]
        types = {name.removesuffix("_total"): entries[0]["type"] for name, entries in metadata.items()}
        return all(
            types.get(name.removesuffix("_total")) == kind for name, kind in served.items() if "untyped" not in kind
        )

    eventually(taken, "all families", seconds=20)
    assert "Error on ingesting" not in prometheus.output
    assert prometheus.value('scrape_samples_scraped{job="cognito"}') == prometheus.value(
        'scrape_samples_post_metric_relabeling{job="cognito"}'
    )
