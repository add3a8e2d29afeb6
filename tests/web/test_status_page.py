"""The page that an operator opens first."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from exporter.fetch.outcome import Outcome
from exporter.schedule.advice import ADVICE
from exporter.schedule.status import ErrorStatus, Status
from exporter.web.status_page import StatusPage
from exporter.web.words import duration
from tests.web.statuses import BUDGET, DENIED, NO_EVENTS, NOW, POOL, RECENT, STATUS

PAGE = StatusPage(
    telemetry_path="/metrics", api_path="/api/v1/status", healthy_path="/-/healthy", ready_path="/-/ready"
)


class Page(HTMLParser):
    """The text of a page, its tags, its links and its labelled cells."""

    def __init__(self, status: Status) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str | None] = []
        self.source = PAGE.render(status)
        self._open: list[str] = []
        self._text: list[str] = []
        self.feed(self.source)
        self.text = " ".join(" ".join(self._text).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._open.append(tag)
        self.links += [value for name, value in attrs if name == "href"]

    def handle_endtag(self, tag: str) -> None:
        while self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self._text.append(data)


def with_pool(**facts: Any) -> Status:
    """Return a status in which all is well but for what is given of its one pool."""
    return replace(STATUS, pools=(replace(POOL, **facts),))


def with_budget(**facts: Any) -> Status:
    """Return a status in which all is well but for what is given of its one budget."""
    return replace(STATUS, budgets=(replace(BUDGET, **facts),))


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (STATUS, ["As of 2026-11-24 02:31:01 UTC . Reload Version 1.2.3, up for 1d 2h.", "Last errors None since"]),
        (STATUS, ["What is wrong Nothing: 1 pool with 12,852 users, nobody has waited for a poll longer than 15m."]),
        (
            STATUS,
            [
                "customers eu-west-1_Ab129faBb eu-west-1/default Answers 12,840 12 0 0 5m 12s ago of 15m",
                "1s ago 18s 7 1.75/s 3.25/s spent",
            ],
        ),
        (STATUS, ["Events of the last 1h customers 100 events, 17 failed, 2 at high risk Event types"]),
        (STATUS, ["eu-west-1/default Enough 5 5 3.25 1.75 3.5"]),
        (replace(STATUS, ready=False), ["Warning: Not ready: the users to poll are not known yet."]),
        (replace(STATUS, stuck="no poll for 10m"), ["Critical: Polling is stuck: no poll for 10m"]),
        (replace(STATUS, reload_error="x.yaml:1:1"), ["Critical: The last reload failed", "is in use: x.yaml:1:1"]),
        (
            with_pool(up=False, errors=(DENIED,)),
            ["(1 down) cognito-auth-exporter", "Critical: No answers from AWS, see the last errors: customers", "Down"],
        ),
        (with_pool(up=False), ["Warning: No answer yet: customers", "eu-west-1/default No answer yet"]),
        (
            with_pool(users={"ok": 1, "failing": 2}),
            ["Warning: Polls of some users fail, see the last errors: customers"],
        ),
        (with_pool(users={"ok": 1, "not_found": 2}), ["Warning: Some selected users do not exist: customers"]),
        (with_pool(oldest_poll=NOW - 901), ["longer for a poll than polling.max_staleness: customers", "15m 1s ago"]),
        (
            with_pool(unmatched_selectors=("user_pools[0].users.groups[0]", "user_pools[0].users.usernames[7]")),
            [
                "Warning: Selectors match nobody: user_pools[0].users.groups[0], user_pools[0].users.usernames[7]: customers"
            ],
        ),
        (
            with_pool(unfollowed_selectors=tuple(f"user_pools[0].users.filters[{number}]" for number in range(7))),
            [
                "Warning: Selectors could not be followed, see the last errors:",
                "users.filters[4] and 2 more: customers",
            ],
        ),
        (with_pool(region="eu-central-1"), ["eu-west-1_Ab129faBb in eu-central-1"]),
        (with_pool(threat_protection="AUDIT"), ["Answers AUDIT"]),
        (with_pool(oldest_poll=None, newest_poll=None, lag_seconds=None), ["unknown never unknown"]),
        (with_pool(recent=None), ["customers unknown Not known yet: no poll has been answered."]),
        (with_pool(recent=NO_EVENTS), ["customers 0 events, 0 failed, 0 at high risk No events in the last 1h."]),
        (with_budget(spent=None), ["7 unknown", "Enough 5 5 unknown unknown 3.5"]),
        (with_budget(spent=5.5), ["Enough 5 5 5.5 0 3.5"]),
        (
            with_budget(allowed=2.5),
            ["Throttled 5 2.5 3.25 0 3.5", "Warning: AWS has throttled eu-west-1/default: 2.5 of 5"],
        ),
        (
            with_budget(needed=7.25),
            ["Too small", "Warning: Polling everybody within 15m takes 7.25 requests a second of eu-west-1/default"],
        ),
        (
            with_pool(errors=(DENIED,)),
            [
                "1m 15s ago 2026-11-24 02:29:46 UTC customers ListUsers not_authorized AccessDeniedException The credentials"
            ],
        ),
        (
            with_pool(errors=(replace(DENIED, path="user_pools[1].credentials"),)),
            ["AccessDeniedException user_pools[1].credentials The credentials"],
        ),
        (with_pool(errors=(replace(DENIED, at=NOW - 90), DENIED)), ["The latest first. When", "02:29:46 UTC, 2 times"]),
    ],
)
def test_what_is_shown(status: Status, shown: list[str]) -> None:
    """Each fact of the status is on the page, in words."""
    text = Page(status).text
    for expected in shown:
        assert expected in text


def test_latest_error_first() -> None:
    """The errors of all pools are in one list, the latest first."""
    older = replace(DENIED, at=NOW - 3600, outcome="timeout")
    pools = (replace(POOL, errors=(older,)), replace(POOL, name="staff", errors=(DENIED,)))
    text = Page(replace(STATUS, pools=pools)).text.partition("Last errors")[2]
    assert text.index("not_authorized") < text.index("timeout")


def test_advice_for_every_outcome() -> None:
    """Whatever goes wrong, one sentence says what to do about it; an outcome not heard of sends to the log."""
    assert set(ADVICE) == set(Outcome) - {Outcome.OK}
    unheard = replace(DENIED, outcome="unheard_of")
    assert "unheard_of AccessDeniedException See the log" in Page(with_pool(errors=(unheard,))).text


def test_every_value_is_escaped() -> None:
    """No name and no message can bring HTML into the page."""
    evil = "<script>alert('1')</script>\" onload=\"x"
    recent = {dimension: {evil: 1} for dimension in RECENT}
    pool = replace(POOL, name=evil, pool_id=evil, region=evil, account=evil, threat_protection=evil, recent=recent)
    error = ErrorStatus(at=NOW, operation=evil, outcome=evil, message=evil)
    status = replace(
        STATUS,
        version=evil,
        pools=(replace(pool, up=False, errors=(error,)),),
        budgets=(replace(BUDGET, account=evil, needed=9.0),),
        stuck=evil,
        reload_error=evil,
    )
    page = Page(status)
    assert "script" not in page.tags
    assert "onload=" not in re.sub(r"onload=&quot;", "", page.source)
    assert page.text.count("<script>alert('1')</script>") >= 20


def test_dollars_stay() -> None:
    """A name that looks like the template's own language is only a name."""
    assert "$title ${x} $$" in Page(with_pool(name="$title ${x} $$")).text


def test_nothing_but_its_own_style() -> None:
    """The policy allows the page's own style and nothing else, and the page needs nothing else."""
    page = Page(STATUS)
    [style] = re.findall(r"<style>(.*?)</style>", page.source, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = PAGE.headers["Content-Security-Policy"]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
    assert not {"script", "img", "link", "iframe"} & set(page.tags)
    assert " style=" not in page.source


def test_headers() -> None:
    """The page is neither framed, guessed at, told of, nor stored."""
    expected = {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    assert expected.items() <= PAGE.headers.items()


def test_links() -> None:
    """The other paths are a click away, below a proxy's prefix too, and so are what to do and the page anew."""
    assert Page(STATUS).links == [
        "./",
        "./metrics",
        "./api/v1/status",
        "./-/healthy",
        "./-/ready",
        "#errors",
        "#advice",
    ]


def test_links_within_the_page_lead_somewhere() -> None:
    """Each id is there once, and whatever points to one finds it."""
    pools = tuple(replace(POOL, name=f"pool {number}", up=False, errors=(DENIED,)) for number in range(3))
    source = Page(replace(STATUS, pools=pools)).source
    ids = re.findall(r' id="([^"]+)"', source)
    assert len(ids) == len(set(ids))
    wanted = re.findall(r'(?:href="#|aria-(?:labelledby|describedby)=")([^"]+)"', source)
    assert set(wanted) <= set(ids)
    assert {"pool-1", "pool-3", "pool-3-recent-country-title"} <= set(wanted)


def test_headings_and_tables() -> None:
    """There is one first heading, none is left out, and every table has a caption."""
    tags = Page(replace(STATUS, pools=(replace(POOL, errors=(DENIED,)),))).tags
    assert [tag for tag in tags if re.fullmatch(r"h\d", tag)] == ["h1", "h2", "h2", "h2", "h3", "h2", "h2", "h2"]
    assert tags.count("caption") == tags.count("table") == 3


@pytest.mark.parametrize(("number", "are_open"), [(1, 1), (3, 3), (4, 0), (100, 0)])
def test_many_pools(number: int, are_open: int) -> None:
    """Plots of a few pools are open, those of many are a click away; the pools in trouble are first everywhere."""
    healthy = [replace(POOL, name=f"pool-{each:03}") for each in range(number - 1)]
    down = replace(POOL, name="in trouble", up=False, errors=(DENIED,))
    page = Page(replace(STATUS, pools=(*healthy, down)))
    assert page.source.count('<details class="card" open>') == are_open
    assert page.tags.count("figure") == 4 * number
    assert re.findall(r"(in trouble|pool-\d\d\d)</bdi>", page.source)[:2].count("in trouble") == 2


def test_a_problem_of_many_pools_is_one_line() -> None:
    """What is wrong stays readable at a glance: ten pools are named, the others are counted."""
    pools = tuple(replace(POOL, name=f"pool-{each:03}", up=False, errors=(DENIED,)) for each in range(100))
    page = Page(replace(STATUS, pools=pools))
    assert "pool-008 , pool-009 , 90 more." in page.text
    assert page.text.count("Critical:") == 1
    assert "The latest 50 of 100." in page.text


PAIRS = [
    *((text, ground, 4.5) for text in ("text", "quiet", "link") for ground in ("ground", "card")),
    *((kind, f"{kind}-ground", 4.5) for kind in ("good", "warn", "bad")),
    *(("text", "warn-ground", 4.5), ("quiet", "warn-ground", 4.5)),  # the row that a link has led to
    *(
        (f"bar-{tone}", ground, 3.0)
        for tone in ("plain", "good", "bad", "warn", "none")
        for ground in ("card", "track")
    ),
]
"""Custom properties of the stylesheet that stand on each other, and the least contrast: WCAG 2.2, 1.4.3 and 1.4.11."""


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour (https://www.w3.org/TR/WCAG22/#dfn-relative-luminance)."""
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    shares = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(scheme: str) -> None:
    """Text and bars can be told from what they stand on, by day and by night."""
    light, dark = (block for block in re.findall(r":root \{(.*?)\}", PAGE.render(STATUS), re.DOTALL))
    colours = dict(re.findall(r"--([\w-]+): (#\w+)", {"light": light, "dark": dark}[scheme]))
    assert {name for pair in PAIRS for name in pair[:2]} == set(colours) - {"line"}
    for text, ground, least in PAIRS:
        darker, lighter = sorted((luminance(colours[text]), luminance(colours[ground])))
        assert (lighter + 0.05) / (darker + 0.05) >= least, (text, ground)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"),
        (0, "0s"),
        (0.4, "0s"),
        (59.6, "1m"),
        (61, "1m 1s"),
        (3600, "1h"),
        (3659, "1h"),
        (5400, "1h 30m"),
        (86400 * 12 + 3600 * 5, "12d 5h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    """A length of time is said in its two largest units."""
    assert duration(seconds) == text
