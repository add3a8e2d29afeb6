"""All families in the formats they are served in, whole or a part of them by name."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import Metric

from exporter.metrics import rendering
from exporter.metrics.families import Family, unit_of
from exporter.metrics.series import Block

Section = tuple[Family, Sequence[Block]]
"""A family and its lines."""


class Exposition:
    """Puts together what is served: `process_*` and `python_info`, and the sections of each source."""

    def __init__(self, *sources: Callable[[], Iterable[Section]]) -> None:
        self._sources = sources
        self._headers: dict[tuple[str, bool], bytes] = {}
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        PlatformCollector(registry=self._process)

    def text(self, names: Collection[str] | None = None) -> bytes:
        """Return the Prometheus text format 0.0.4; of names alone, where given: those of families or of samples."""
        return b"".join(self._parts(names, openmetrics=False))

    def openmetrics(self, names: Collection[str] | None = None) -> bytes:
        """Return OpenMetrics 1.0.0; of names alone, where given: those of families or of samples."""
        return b"".join((*self._parts(names, openmetrics=True), rendering.END))

    def _parts(self, names: Collection[str] | None, *, openmetrics: bool) -> Iterator[bytes]:
        metrics = (_with_unit(metric) for metric in self._process.collect())
        yield rendering.render(
            (metric for metric in metrics if _is_asked(_names_of(metric), names)), openmetrics=openmetrics
        )
        for source in self._sources:
            for family, blocks in source():
                yield from self._section(family, blocks, names, openmetrics=openmetrics)

    def _section(
        self, family: Family, blocks: Iterable[Block], names: Collection[str] | None, *, openmetrics: bool
    ) -> Iterator[bytes]:
        if _is_asked((family.name, family.name.removesuffix("_total")), names):
            yield self._header(family, openmetrics=openmetrics)
            yield from (block.lines(openmetrics=openmetrics) for block in blocks)
        elif names is not None and (samples := [name for name in family.samples if name in names]):
            yield self._header(family, openmetrics=openmetrics)
            yield from (_only(samples, block.lines(openmetrics=openmetrics)) for block in blocks)

    def _header(self, family: Family, *, openmetrics: bool) -> bytes:
        key = family.name, openmetrics
        if key not in self._headers:
            self._headers[key] = rendering.header(family, openmetrics=openmetrics)
        return self._headers[key]


def _is_asked(family: Iterable[str], names: Collection[str] | None) -> bool:
    """Tell whether a family is asked for as a whole, by its name in either format."""
    return names is None or any(name in names for name in family)


def _names_of(metric: Metric) -> Iterable[str]:
    return (metric.name, f"{metric.name}_total") if metric.type == "counter" else (metric.name,)


def _only(samples: Iterable[str], lines: bytes) -> bytes:
    """Return the lines of samples with these names."""
    begins = tuple(f"{name}{mark}".encode() for name in samples for mark in "{ ")
    return b"".join(line + b"\n" for line in lines.split(b"\n") if line.startswith(begins))


def _with_unit(metric: Metric) -> Metric:
    metric.unit = unit_of(metric.name)
    return metric
