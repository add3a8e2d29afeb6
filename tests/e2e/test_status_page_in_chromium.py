"""The status page as people meet it: a real exporter's, in a real browser."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.event.event import Risk
from tests.conftest import ExporterProcess, Start, eventually
from tests.e2e.browser import Tab, open_tab
from tests.e2e.conftest import Town

PERSONAL = ["ada@example.com", "192.0.2.99", "Loughborough", "Chrome 126"]
"""What the town's events and users have that is nobody else's business."""

CUT_OFF = """[...document.querySelectorAll("body, .card, th, td, li, summary, figure")]
    .filter(each => each.scrollWidth > each.clientWidth + 1).map(each => each.outerHTML.slice(0, 200))"""
BAR_OF_PASSED = "document.querySelector('.plot rect.good').getBoundingClientRect().width"
COLOURS = (
    "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector('.plot text')).fill]"
)
GROUNDS = {"light": ["rgb(246, 247, 249)", "rgb(27, 36, 48)"], "dark": ["rgb(18, 22, 28)", "rgb(228, 233, 240)"]}


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[Tab]:
    """Return a tab of a browser that ends with the test."""
    with open_tab(tmp_path) as opened:
        yield opened


def polled(town: Town, start: Start) -> ExporterProcess:
    """Return an exporter that has counted whatever happened in the town."""
    exporter = start()
    eventually(lambda: exporter.total("cognito_auth_recent_events") == town.truth, "the events")
    return exporter


def test_in_a_browser(town: Town, start: Start, tab: Tab) -> None:
    """At any width and scheme the page fits, is drawn, keeps its own policy, tells its numbers and nobody's secrets."""
    town.settle("ada@example.com")
    town.happen("ada@example.com", 5)
    town.happen(
        "ada@example.com", 2, response="Fail", risk=Risk("AccountTakeover", "High", compromised_credentials=False)
    )
    exporter = polled(town, start)
    for width, scheme in itertools.product((1280, 360, 320), ("light", "dark")):
        tab.show(exporter.url, width=width, scheme=scheme)
        assert tab.complaints == []
        assert tab.evaluate(CUT_OFF) == []
        assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") == 0
        assert tab.evaluate(BAR_OF_PASSED) > 100
        assert tab.evaluate(COLOURS) == GROUNDS[scheme]
        text = tab.evaluate("document.body.innerText")
        assert "7 events, 2 failed, 2 at high risk" in text
        assert not any(each in text for each in PERSONAL)
    told = exporter.get("/api/v1/status")
    assert told.json()["data"]["pools"][0]["recent"]["response"] == {"Pass": 5, "Fail": 2}
    assert not any(each in told.text + exporter.get("/").text for each in PERSONAL)


@pytest.mark.parametrize("width", [1280, 360])
def test_for_a_screen_reader(town: Town, start: Start, tab: Tab, width: int) -> None:
    """Headings, tables and plots are told by name, laid out as a table or as cards."""
    town.settle("ada")
    town.happen("ada", 5)
    tab.show(polled(town, start).url, width=width, scheme="light")
    headings = tab.nodes("heading")
    assert headings[:4] == ["cognito-auth-exporter", "What is wrong", "User pools", "Events of the last 1h"]
    assert [name[:15] for name in tab.nodes("table")] == ["Those in troubl", "Requests a seco"]
    assert tab.nodes("columnheader")[:3] == ["Pool", "State", "Users ok"]
    assert tab.nodes("rowheader")[0].split()[0] == "scripted"
    plots = ["".join(character for character in name if character.isprintable()) for name in tab.nodes("image")]
    assert [name.partition(" of ")[2] for name in plots] == ["scripted, last 1h"] * 4
    assert len(tab.nodes("link")) == 7


def test_without_countries(town: Town, start: Start, tab: Tab) -> None:
    """With `country: none` there is no plot of countries, rather than an empty one."""
    town.config.write_text(town.config.read_text().replace("metrics: {", "metrics: {country: none, "))
    town.settle("ada")
    town.happen("ada", 5)
    exporter = polled(town, start)
    tab.show(exporter.url, width=1280, scheme="light")
    assert len(tab.nodes("image")) == 3
    assert set(exporter.get("/api/v1/status").json()["data"]["pools"][0]["recent"]) == {
        "event_type",
        "response",
        "risk_level",
    }


def test_the_browser_tells_of_violations(town: Town, start: Start, tab: Tab) -> None:
    """What these tests rely on: a page that breaks its own policy does not go unheard."""
    tab.show(polled(town, start).url, width=1280, scheme="light")
    tab.evaluate("document.body.setAttribute('style', 'color: red')")
    assert tab.evaluate("getComputedStyle(document.body).color") == "rgb(27, 36, 48)"
    assert any("Content Security Policy" in str(complaint) for complaint in tab.complaints)


def test_trouble_is_seen_first(town: Town, start: Start, tab: Tab) -> None:
    """A pool without access is told of in the tab's title and at the top of the page, with what to do further down."""
    town.settle("ada")
    town.faults.inject("AccessDeniedException")
    exporter = start()
    eventually(lambda: "Critical" in exporter.get("/").text, "the trouble")
    tab.show(exporter.url, width=360, scheme="light")
    assert tab.complaints == []
    assert tab.evaluate("document.title") == "(1 down) cognito-auth-exporter"
    assert tab.evaluate("document.querySelector('.note.bad').getBoundingClientRect().bottom < 400")
    assert "give them the IAM policy in the README" in tab.evaluate("document.body.innerText")
    assert tab.evaluate(CUT_OFF) == []


def test_what_to_do_is_a_click_away(start: Start, tab: Tab) -> None:
    """The demonstration's page shows its plots, and its list of errors opens without a script."""
    exporter = start("demo")
    eventually(lambda: "<svg" in exporter.get("/").text, "plots")
    tab.show(exporter.url, width=1280, scheme="light")
    assert "No usable AWS credentials" not in tab.evaluate("document.body.innerText")
    tab.evaluate("document.querySelector('section:last-child summary').click()")
    assert "No usable AWS credentials" in tab.evaluate("document.body.innerText")
    assert tab.complaints == []
