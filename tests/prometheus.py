"""A real Prometheus in a process of its own, for tests."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.conftest import ExporterProcess, Process, free_port, need


def job(name: str, port: int, **more: Any) -> dict[str, Any]:
    """Return a scrape job for one target on this machine."""
    return {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}], **more}


class Prometheus(Process):
    """Prometheus with one exporter as its target every second; `jobs` is what else is to be scraped, `more` the rest."""

    def __init__(
        self,
        exporter: ExporterProcess,
        folder: Path,
        jobs: Sequence[Mapping[str, Any]] = (),
        interval: str = "1s",
        **more: Any,
    ) -> None:
        program = need("prometheus", "apt-get install prometheus")
        document = {
            "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
            "scrape_configs": [job("cognito", exporter.port), *jobs],
            **more,
        }
        config = folder / "prometheus.yml"
        config.write_text(yaml.safe_dump(document))
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        flags = [
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        super().__init__([program, *flags], folder)

    def get(self, path: str, **params: str) -> Any:
        """Return the data of an answer of the HTTP API; ValueError has what Prometheus says of a bad query."""
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=params, timeout=10)
        if answer.status_code in {400, 422}:
            message = f"{params}: {answer.json()['error']}"
            raise ValueError(message)
        return answer.raise_for_status().json()["data"]  # while it starts it is not ready, as an error of HTTP

    def ask(self, query: str) -> list[dict[str, Any]]:
        """Return the result of an instant query."""
        result: list[dict[str, Any]] = self.get("query", query=query)["result"]
        return result

    def ask_over(self, query: str, minutes: float) -> list[dict[str, Any]]:
        """Return the result of a query over the last minutes, in steps of two seconds."""
        now = time.time()
        span = {"start": f"{now - 60 * minutes:.0f}", "end": f"{now:.0f}", "step": "2"}
        result: list[dict[str, Any]] = self.get("query_range", query=query, **span)["result"]
        return result

    def value(self, query: str) -> float | None:
        """Return the value of a query with at most one result."""
        return next((float(each["value"][1]) for each in self.ask(query)), None)
