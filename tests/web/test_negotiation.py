"""Who gets which format, and who gets it compressed."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.negotiation import ContentCoding, ExpositionFormat, choose_coding, choose_format

TEXT, OPENMETRICS = ExpositionFormat.TEXT, ExpositionFormat.OPENMETRICS
GZIP, ZSTD = ContentCoding.GZIP, ContentCoding.ZSTD

# What these send: https://github.com/prometheus/prometheus, scrape/scrape.go; the weights of 3.x count down from 0.6, of 2.49
# and later from 0.5, whatever is asked for first.
_PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_2_PROTOBUF = (
    f"{_PROTOBUF},application/openmetrics-text;version=1.0.0;q=0.8,"
    "application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_2_49 = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3_UNDERSCORES = PROMETHEUS_3.replace("allow-utf-8", "underscores")
PROMETHEUS_3_PROTOBUF = (
    f"{_PROTOBUF};q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
PROMETHEUS_3_TEXT_ALONE = "text/plain;version=0.0.4;q=0.6,*/*;q=0.5"
PROMETHEUS_3_NEW_TEXT_ALONE = "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,*/*;q=0.5"
PROMETHEUS_3_TEXT_FIRST = (
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,"
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.4,*/*;q=0.3"
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (PROMETHEUS_2, OPENMETRICS),
        (PROMETHEUS_3, OPENMETRICS),
        (PROMETHEUS_3_PROTOBUF, OPENMETRICS),
        (PROMETHEUS_2_PROTOBUF, OPENMETRICS),
        (PROMETHEUS_2_49, OPENMETRICS),
        (PROMETHEUS_3_UNDERSCORES, OPENMETRICS),
        (PROMETHEUS_3_TEXT_ALONE, TEXT),
        (PROMETHEUS_3_NEW_TEXT_ALONE, TEXT),
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
        ("gzip", GZIP),  # Prometheus
        ("GZIP", GZIP),
        ("x-gzip", GZIP),
        ("gzip, deflate, br", GZIP),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", GZIP),
        ("*", GZIP),
        ("gzip;q=0.001", GZIP),
        ("gzip, identity", GZIP),
        ("*;q=0, gzip", GZIP),
        ("gzip, deflate, br, zstd", ZSTD),  # a browser
        ("deflate, gzip, br, zstd", ZSTD),  # curl --compressed
        ("br, zstd", ZSTD),
        ("ZSTD", ZSTD),
        ("zstd;q=0.5, gzip", GZIP),
        ("zstd;q=0.9, gzip;q=0.5", ZSTD),
        ("zstd;q=0, *", GZIP),
        ("gzip;q=0, *;q=0.5, zstd;q=0.1", ZSTD),
        ("zstd;q=0, gzip;q=0", None),
        ("zstd;q=0.5, identity", None),
        (None, None),
        ("", None),
        ("identity", None),
        ("gzip;q=0", None),
        ("gzip;q=0.0, *", None),
        ("*;q=0", None),
        ("gzip;q=0.5, identity", None),
        ("identity;q=0.7, *;q=0.5", None),
        ("br", None),
        ("notgzip", None),
        ("gzip;q=x", None),
    ],
)
def test_coding(accept_encoding: str | None, expected: ContentCoding | None) -> None:
    """Compressed is what the client prefers compressed, by the coding it prefers, never what it refuses."""
    assert choose_coding(accept_encoding) is expected


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
    assert choose_coding(header) in {None, GZIP, ZSTD}


@pytest.mark.parametrize("unit", ['"', '"\\', "\\", ",", ";", "=", ';q="', ',"', "a;", '\\"'])
def test_cost_is_linear(unit: str) -> None:
    """No header of any length costs a noticeable time, however its quotes are left open."""
    header = "gzip;" + unit * (4000 // len(unit))
    started = time.thread_time()
    for text in (header, header * 10):
        choose_format(text)
        choose_coding(text)
    assert time.thread_time() - started < 1  # of the processor; what is not linear takes minutes
