"""The registry and the formats it is served in."""

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import generate_latest as generate_text
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics


def new_registry() -> CollectorRegistry:
    """Return a registry with `process_*` and `python_info`, whose counters have no `_created` series."""
    disable_created_metrics()
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


def text(registry: CollectorRegistry) -> bytes:
    """Return the registry in the Prometheus text format 0.0.4."""
    return generate_text(registry)


def openmetrics(registry: CollectorRegistry) -> bytes:
    """Return the registry in OpenMetrics 1.0.0."""
    return bytes(generate_openmetrics(registry))
