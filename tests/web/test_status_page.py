"""The page that an operator opens first."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from exporter.fetch.outcome import Outcome
from exporter.schedule.status import BudgetStatus, ErrorStatus, PoolStatus, Status
from exporter.web.status_page import ADVICE, StatusPage, duration

NOW = 1_795_487_461.0
POOL = PoolStatus(
    name="customers",
    pool_id="eu-west-1_Ab129faBb",
    region="eu-west-1",
    account="eu-west-1/default",
    up=True,
    users={"ok": 12840, "waiting": 12, "not_found": 3, "failing": 0},
    oldest_poll=NOW - 312,
    newest_poll=NOW - 1,
    lag_seconds=18.4,
    in_progress=7,
    errors=(),
)
BUDGET = BudgetStatus(account="eu-west-1/default", budget=5.0, allowed=5.0, needed=3.5, longest_wait=900.0)
STATUS = Status(
    version="1.2.3",
    now=NOW,
    started=NOW - 93784,
    pools=(POOL,),
    budgets=(BUDGET,),
    max_staleness=900.0,
    ready=True,
    stuck=None,
    reload_error=None,
)
DENIED = ErrorStatus(at=NOW - 75, operation="ListUsers", outcome="not_authorized", message="AccessDeniedException")
PAGE = StatusPage(telemetry_path="/metrics", healthy_path="/-/healthy", ready_path="/-/ready")


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


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (STATUS, ["Version 1.2.3, up for 1d 2h.", "Ready.", "Last errors None."]),
        (
            STATUS,
            [
                "customers eu-west-1_Ab129faBb Answers 12,840 12 3 0 5m 12s ago of at most 15m",
                "1s ago 18s 7 3.5/s of 5/s",
            ],
        ),
        (STATUS, ["eu-west-1/default 5 5 3.5 Enough"]),
        (replace(STATUS, ready=False), ["Not ready: the users to poll are not known yet."]),
        (replace(STATUS, stuck="no poll for 10m"), ["Polling is stuck: no poll for 10m"]),
        (replace(STATUS, reload_error="x.yaml:1:1"), ["The last reload failed", "is in use: x.yaml:1:1"]),
        (replace(STATUS, pools=(replace(POOL, up=False),)), ["(1 down) cognito-auth-exporter", "Down"]),
        (replace(STATUS, pools=(replace(POOL, region="eu-central-1"),)), ["eu-west-1_Ab129faBb in eu-central-1"]),
        (
            replace(STATUS, pools=(replace(POOL, oldest_poll=None, newest_poll=None, lag_seconds=None),)),
            ["never of at most 15m never none yet"],
        ),
        (replace(STATUS, budgets=(replace(BUDGET, allowed=2.5),)), ["5 2.5 3.5 Throttled"]),
        (
            replace(STATUS, budgets=(replace(BUDGET, needed=7.25),)),
            ["Too small", "takes 7.25 requests a second of eu-west-1/default, its budget is 5"],
        ),
        (
            replace(STATUS, pools=(replace(POOL, errors=(DENIED,)),)),
            [
                "1m 15s ago",
                "UTC customers ListUsers not_authorized AccessDeniedException The credentials may not do this",
            ],
        ),
        (
            replace(STATUS, pools=(replace(POOL, errors=(replace(DENIED, path="user_pools[1].credentials"),)),)),
            ["AccessDeniedException user_pools[1].credentials The credentials"],
        ),
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
    pools = (replace(POOL, errors=(older,)), replace(POOL, errors=(DENIED,)))
    text = Page(replace(STATUS, pools=pools)).text
    assert text.index("not_authorized") < text.index("timeout")


def test_advice_for_every_outcome() -> None:
    """Whatever goes wrong, one sentence says what to do about it; an outcome not heard of sends to the log."""
    assert set(ADVICE) == set(Outcome) - {Outcome.OK}
    unheard = replace(DENIED, outcome="unheard_of")
    assert "See the log" in Page(replace(STATUS, pools=(replace(POOL, errors=(unheard,)),))).text


def test_every_value_is_escaped() -> None:
    """No name and no message can bring HTML into the page."""
    evil = "<script>alert('1')</script>\" onload=\"x"
    pool = replace(POOL, name=evil, pool_id=evil, region=evil, account=evil)
    error = ErrorStatus(at=NOW, operation=evil, outcome=evil, message=evil)
    status = replace(
        STATUS,
        version=evil,
        pools=(replace(pool, errors=(error,)),),
        budgets=(replace(BUDGET, account=evil, needed=9.0),),
        stuck=evil,
        reload_error=evil,
    )
    page = Page(status)
    assert "script" not in page.tags
    assert "onload=" not in re.sub(r"onload=&quot;", "", page.source)
    assert page.text.count("<script>alert('1')</script>") >= 9


def test_dollars_stay() -> None:
    """A name that looks like the template's own language is only a name."""
    assert "$title ${x} $$" in Page(replace(STATUS, pools=(replace(POOL, name="$title ${x} $$"),))).text


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
    """The other paths are a click away, below a proxy's prefix too."""
    assert Page(STATUS).links[:3] == ["./metrics", "./-/healthy", "./-/ready"]


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
