"""The whole way, from a request to a number on disk, against boto3 alone."""

from collections.abc import Iterator

from bench import delay, ingest, throughput
from bench.table import Row

_PART = "end_to_end"


def rows(quick: bool) -> Iterator[Row]:
    """Measure throughput, ingest and delay."""
    yield from throughput.rows(_PART, throughput.QUICK if quick else throughput.Plan())
    yield from ingest.rows(_PART, ingest.QUICK if quick else ingest.Plan())
    yield from delay.rows(_PART, delay.QUICK if quick else delay.Plan())
