"""Who gets which format, and who gets it compressed."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.negotiation import ExpositionFormat, accepts_gzip, choose_format

TEXT, OPENMETRICS = ExpositionFormat.TEXT, ExpositionFormat.OPENMETRICS

# scrape/scrape.go of Prometheus 2.x and model/acceptHeader of 3.x
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
PROMETHEUS_3_PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6," + PROMETHEUS_3
)
PROMETHEUS_3_TEXT_FIRST = (
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,"
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.4,*/*;q=0.1"
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (PROMETHEUS_2, OPENMETRICS),
        (PROMETHEUS_3, OPENMETRICS),
        (PROMETHEUS_3_PROTOBUF, OPENMETRICS),
        (PROMETHEUS_3_TEXT_FIRST, TEXT),
        (BROWSER, TEXT),
        (None, TEXT),
        ("", TEXT),
        ("*/*", TEXT),
        ("text/*", TEXT),
        ("text/plain", TEXT),
        ("text/plain;version=0.0.4", TEXT),
        ("text/plain;version=1.0.0", TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        ("Application/OpenMetrics-Text; Version=1.0.0; charset=utf-8", OPENMETRICS),
        ('application/openmetrics-text;version="1.0.0"', OPENMETRICS),
        ("application/openmetrics-text;version=0.0.1", TEXT),
        ("application/openmetrics-text;version=2.0.0", TEXT),
        ("application/openmetrics-text;version=2.0.0,*/*;q=0.1", TEXT),
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;q=0,*/*", TEXT),
        ("application/openmetrics-text, text/plain", OPENMETRICS),
        ("text/plain, application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text;q=0.5, text/plain;q=0.6", TEXT),
        ("application/openmetrics-text;q=0.5, */*;q=0.8", TEXT),
        ("application/openmetrics-text;version=1.0.0;q=0.2,application/openmetrics-text;q=0.9,text/plain;q=0.5", TEXT),
        ("text/plain;q=0, */*", OPENMETRICS),
        ("text/plain;q=0", TEXT),
        ("application/json", TEXT),
        ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", TEXT),
        ("application/openmetrics-text;q=high", TEXT),
        ("application/openmetrics-text;q=2", TEXT),
        ("application/openmetrics-text;q=-1", TEXT),
        ('application/openmetrics-text;note="a,b;q=1";q=0.1, text/plain;q=0.2', TEXT),
        (";;,,;q=,=", TEXT),
        ("application/openmetrics-text," + "x" * 5000, TEXT),
    ],
)
def test_format(accept: str | None, expected: ExpositionFormat) -> None:
    """The format is the one that the header weighs highest, of the two we speak."""
    assert choose_format(accept) is expected


def test_content_types() -> None:
    """Whatever is asked for, only these two are said: Prometheus 3 refuses what it does not know."""
    assert [one.content_type for one in ExpositionFormat] == [
        "text/plain; version=0.0.4; charset=utf-8",
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
    ]


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("gzip, deflate, br", True),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", True),
        ("*", True),
        ("gzip;q=0.001", True),
        ("gzip, identity", True),
        ("*;q=0, gzip", True),
        (None, False),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip;q=0.0, *", False),
        ("*;q=0", False),
        ("gzip;q=0.5, identity", False),
        ("identity;q=0.7, *;q=0.5", False),
        ("br, zstd", False),
        ("notgzip", False),
        ("gzip;q=x", False),
    ],
)
def test_gzip(accept_encoding: str | None, expected: bool) -> None:
    """Compressed is what the client prefers compressed, never what it refuses."""
    assert accepts_gzip(accept_encoding) is expected


HEADERS = st.one_of(
    st.text(max_size=300),
    st.lists(
        st.sampled_from(
            ["application/openmetrics-text", "text/plain", "*/*", "gzip", ";", ",", "=", "q", "0.5", '"', "\\", " "]
        ),
        max_size=60,
    ).map("".join),
)


@given(HEADERS)
def test_no_header_is_an_error(header: str) -> None:
    """Whatever a client sends, there is an answer."""
    assert choose_format(header) in ExpositionFormat
    assert accepts_gzip(header) in {True, False}


@pytest.mark.parametrize("unit", ['"', '"\\', "\\", ",", ";", "=", ';q="', ',"', "a;", '\\"'])
def test_cost_is_linear(unit: str) -> None:
    """No header of any length costs a noticeable time, however its quotes are left open."""
    header = "gzip;" + unit * (4000 // len(unit))
    started = time.perf_counter()
    for text in (header, header * 10):
        choose_format(text)
        accepts_gzip(text)
    assert time.perf_counter() - started < 0.25
