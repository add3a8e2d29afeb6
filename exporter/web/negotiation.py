"""Which exposition a client gets: its `Accept` and `Accept-Encoding` headers by RFC 9110, section 12.5."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum

_LONGEST_HEADER = 4096  # characters; Prometheus 3 sends about 300
_ELEMENT = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_PARAMETER = re.compile(r'(?:[^;"]|"(?:[^"\\]|\\.)*"?)+')
_ALIASES = {"x-gzip": "gzip"}  # RFC 9110, section 8.4.1.3
_WEIGHT = re.compile(r"0?\.[0-9]{1,9}|0\.?|1(?:\.0{0,9})?")


class ExpositionFormat(Enum):
    """The two formats that are spoken; the value is the media type and the version."""

    TEXT = ("text/plain", "0.0.4")
    OPENMETRICS = ("application/openmetrics-text", "1.0.0")

    @property
    def content_type(self) -> str:
        """The `Content-Type` of this format.

        https://prometheus.io/docs/instrumenting/exposition_formats/ and
        https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md
        """
        media_type, version = self.value
        return f"{media_type}; version={version}; charset=utf-8"


class ContentCoding(StrEnum):
    """The codings that are spoken, by their names in `Content-Encoding`."""

    GZIP = "gzip"
    ZSTD = "zstd"


def choose_format(accept: str | None) -> ExpositionFormat:
    """Return the format that the `Accept` header wants.

    Each format has the weight of the most specific range that takes it in: its media type with its version, its media
    type without one, `type/*`, `*/*`. A range that asks for another version takes nothing in: it is neither a wish for
    the version we speak nor a refusal. The greater weight wins. Of equals OpenMetrics wins where its media type was
    written out, as Prometheus does, and text otherwise: whoever says only `*/*` (curl, a browser) may not know
    OpenMetrics. Text is also the answer to no header, to one that is too long or not to be understood, and to one that
    refuses both: a scrape is better than a 406.
    """
    text, openmetrics = _wish(accept, ExpositionFormat.TEXT), _wish(accept, ExpositionFormat.OPENMETRICS)
    if openmetrics.weight > text.weight:
        return ExpositionFormat.OPENMETRICS
    named = openmetrics.specificity >= _MEDIA_TYPE and openmetrics.weight > 0
    return ExpositionFormat.OPENMETRICS if named and openmetrics.weight == text.weight else ExpositionFormat.TEXT


def choose_coding(accept_encoding: str | None) -> ContentCoding | None:
    """Return the coding that is welcome most: one with a weight above 0 and no less than a named `identity`.

    Of equals zstd wins: it takes less time for fewer bytes. It has to be asked for by name, where `*` may mean gzip:
    whoever says only that may know no other.
    """
    weights = {_ALIASES.get(element.name, element.name): element.weight for element in _elements(accept_encoding)}
    gzip = weights.get("gzip", weights.get("*", 0.0))
    offers = {ContentCoding.ZSTD: weights.get("zstd", 0.0), ContentCoding.GZIP: gzip}
    coding = max(offers, key=offers.__getitem__)
    return coding if offers[coding] > 0 and offers[coding] >= weights.get("identity", 0.0) else None


@dataclass(frozen=True, slots=True)
class _Element:
    """One element of such a header: a media range or a coding, its parameters, and its weight `q`."""

    name: str
    parameters: Mapping[str, str]
    weight: float


@dataclass(frozen=True, slots=True, order=True)
class _Wish:
    """How specifically a format was asked for, and how much: ordered so that the most specific range wins."""

    specificity: int
    weight: float


_NOT_ASKED = _Wish(-1, 0.0)
_MEDIA_TYPE = 2  # from this specificity on the media type was written out


def _wish(accept: str | None, candidate: ExpositionFormat) -> _Wish:
    wishes = [_Wish(_specificity(element, candidate), element.weight) for element in _elements(accept)]
    return max([_NOT_ASKED, *wishes])


def _specificity(element: _Element, candidate: ExpositionFormat) -> int:
    """Return 0 for `*/*` to 3 for the media type with its version, and less than 0 for a range without this format."""
    media_type, version = candidate.value
    ranges = ("*/*", media_type.partition("/")[0] + "/*", media_type)
    if element.name not in ranges or element.parameters.get("version", version) != version:
        return -2
    return ranges.index(element.name) + ("version" in element.parameters)


def _elements(header: str | None) -> Iterator[_Element]:
    """Yield the elements that can be understood; one with a malformed weight cannot."""
    if header is None or len(header) > _LONGEST_HEADER:
        return
    for element in _ELEMENT.findall(header):
        name, *rest = _PARAMETER.findall(element) or [""]
        parameters = dict(_parameter(text) for text in rest)
        weight = parameters.pop("q", "1")
        if _WEIGHT.fullmatch(weight):
            yield _Element(name.strip().lower(), parameters, float(weight))


def _parameter(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip().lower(), value.strip().strip('"')
