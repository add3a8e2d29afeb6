"""The plots of recent events."""

import re
from xml.etree import ElementTree as ET

import pytest

from exporter.event.labels import FIELDS
from exporter.schedule.status import DIMENSIONS, Recent, by_dimension
from exporter.web.plots import DIMENSIONS_SHOWN, Bar, bars, plots
from tests.web.statuses import NO_EVENTS, RECENT

HOSTILE = ["<b>&\"'", "W" * 80, "\u202egnortsr", "عربي " * 16, "東京都" * 26, "e\u0301" * 80, "]]>", "a\nb"]


def drawn(recent: Recent, pool: str = "customers") -> ET.Element:
    """Return the plots as XML, which they are too."""
    return ET.fromstring(plots(pool, "pool-1-recent", recent, 3600.0))


def words(text: str | None) -> str:
    """Return the text without the marks that isolate names in it."""
    return re.sub("[\u2068\u2069]", "", text or "")


def test_dimensions_are_those_of_the_status() -> None:
    """Whatever is counted is drawn, and the values that have colours are the API's own words."""
    assert tuple(DIMENSIONS_SHOWN) == DIMENSIONS
    assert set(DIMENSIONS_SHOWN["response"].tones) == set(FIELDS["response"])
    assert set(DIMENSIONS_SHOWN["risk_level"].tones) == {*FIELDS["risk_level"], "None"}


@pytest.mark.parametrize(
    ("dimension", "counts", "expected"),
    [
        ("event_type", {}, []),
        ("event_type", {"B": 1, "A": 1, "C": 5}, [Bar("C", 5), Bar("A", 1), Bar("B", 1)]),
        (
            "response",
            {"Other": 9, "Fail": 2},
            [Bar("Pass", 0, "good"), Bar("Fail", 2, "bad"), Bar("InProgress", 0, "warn"), Bar("Other", 9)],
        ),
        (
            "risk_level",
            {"None": 7, "Unknown": 1},
            [Bar("High", 0, "bad"), Bar("Medium", 0, "warn"), Bar("Low", 0), Bar("None", 7, "none"), Bar("Unknown", 1)],
        ),
        ("country", {f"C{each}": 1 for each in range(8)}, [Bar(f"C{each}", 1) for each in range(8)]),
        (
            "country",
            {f"C{each:02}": 1 for each in range(20)},
            [*(Bar(f"C{each:02}", 1) for each in range(8)), Bar("12 more", 12, "none")],
        ),
    ],
)
def test_bars(dimension: str, counts: dict[str, int], expected: list[Bar]) -> None:
    """Words with a meaning keep their place and colour, others go by number and name, and no plot grows without end."""
    assert list(bars(DIMENSIONS_SHOWN[dimension], counts)) == expected


def test_numbers_in_words() -> None:
    """Who does not see a plot is told its numbers, and of whom and when they are."""
    pictures = drawn(RECENT).findall(".//svg[@role='img']")
    told = [(words(picture.findtext("title")), words(picture.findtext("desc"))) for picture in pictures]
    assert told[1] == ("Responses of customers, last 1h", "Pass: 80; Fail: 17; InProgress: 3.")
    assert told[3] == ("Countries of customers, last 1h", "DE: 60; FR: 40.")
    for picture in pictures:
        assert picture.get("aria-labelledby") == picture.find("title").get("id")  # type: ignore[union-attr]
        assert picture.get("aria-describedby") == picture.find("desc").get("id")  # type: ignore[union-attr]


def test_lengths_are_shares_of_the_greatest() -> None:
    """A bar's length is its number; a small one is seen, and nothing is not."""
    counts = {"Pass": 1_000_000, "Fail": 250_000, "InProgress": 1}
    [picture] = drawn({"event_type": {"A": 1}, "response": counts}).findall(
        ".//svg[@aria-labelledby='pool-1-recent-response-title']"
    )
    widths = {rect.get("class"): rect.get("width") for rect in picture.iter("rect")}
    assert widths == {"track": "100%", "good": "100%", "bad": "25%", "warn": "0.75%"}
    quiet = drawn({"event_type": {"A": 1}, "response": {"Pass": 1}})
    assert quiet.find(".//rect[@class='bad']").get("width") == "0%"  # type: ignore[union-attr]


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_fits(name: str) -> None:
    """A name of any length, script and direction is cut to what fits, escaped, and turns nothing beside it."""
    root = drawn({"event_type": {name: 3}, "country": {name: 3}}, pool=name)
    texts = [text.text or "" for text in root.iter("text") if text.get("class") is None]
    assert len(texts) == 2
    for text in texts:
        assert (text[0], text[-1]) == ("\u2068", "\u2069")
        assert name.startswith(words(text).rstrip("…"))
        assert sum(1 for character in words(text) if character != "\u0301") <= 30
    assert name in words(root.find(".//svg[@role='img']").findtext("desc"))  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("recent", "expected"),
    [(None, "Not known yet: no poll has been answered."), (NO_EVENTS, "No events in the last 1h.")],
)
def test_nothing_to_draw(recent: Recent | None, expected: str) -> None:
    """Where there is nothing to draw a sentence says why, and none of it looks like a zero that nobody counted."""
    assert expected in plots("customers", "a", recent, 3600.0)
    assert "<svg" not in plots("customers", "a", recent, 3600.0)


def test_no_style_of_its_own() -> None:
    """The policy forbids what is not in the stylesheet: no element brings a style."""
    assert not re.search(r" (style|on\w+|fill)=", plots("customers", "a", RECENT, 3600.0))


@pytest.mark.parametrize("with_country", [True, False])
def test_by_dimension(with_country: bool) -> None:
    """Each event counts once in each dimension; without countries there is no such dimension, not an empty one."""
    events = {("SignIn", "Pass", "Low", "DE"): 2, ("SignIn", "Fail", "Low", "FR"): 3}
    counted = by_dimension(
        {labels if with_country else labels[:-1]: number for labels, number in events.items()},
        with_country=with_country,
    )
    expected = {"event_type": {"SignIn": 5}, "response": {"Pass": 2, "Fail": 3}, "risk_level": {"Low": 5}}
    assert counted == (expected | {"country": {"DE": 2, "FR": 3}} if with_country else expected)
    assert set(by_dimension({}, with_country=with_country)) == set(counted)
