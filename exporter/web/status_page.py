"""The status page: what an operator opens first. Made on the server, without scripts, every value escaped."""

import base64
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files

from exporter.schedule.advice import ADVICE
from exporter.schedule.status import BudgetStatus, ErrorStatus, PoolStatus, Status
from exporter.web.markup import Cell, Html, fill, join, mark, marked, table, two_lines
from exporter.web.plots import plots
from exporter.web.problems import Problem, is_down, is_stale, problems, worst_first
from exporter.web.words import ago, duration, many, rate, utc

_UNKNOWN = "unknown"
_MOST_NAMED = 10  # pools beside a problem; the table has them all, first
_MOST_OPEN = 3  # pools whose plots are shown unasked
_MOST_ERRORS = 50
_SEVERITY_CLASSES = {"critical": "bad", "warning": "warn"}


class StatusPage:
    """Renders the page; `headers` go with it."""

    def __init__(self, *, telemetry_path: str, api_path: str, healthy_path: str, ready_path: str) -> None:
        folder = files("exporter.web")
        self._template = folder.joinpath("status_page.html").read_text(encoding="utf-8")
        style = folder.joinpath("status_page.css").read_text(encoding="utf-8")
        self._constants: Mapping[str, str] = {
            "style": Html(style),
            # relative: behind a proxy the page may be below a prefix
            "telemetry_path": f".{telemetry_path}",
            "api_path": f".{api_path}",
            "healthy_path": f".{healthy_path}",
            "ready_path": f".{ready_path}",
            "advice": _all_advice(),
        }
        self.headers: Mapping[str, str] = {
            "Content-Security-Policy": _content_security_policy(style),
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }

    def render(self, status: Status) -> str:
        """Return the page as HTML."""
        anchors = {pool.name: f"pool-{number}" for number, pool in enumerate(status.pools, 1)}
        return fill(
            self._template,
            **self._constants,
            title=f"{_worst(status)}cognito-auth-exporter",
            version=status.version,
            uptime=duration(status.now - status.started),
            machine_time=datetime.fromtimestamp(status.now, UTC).isoformat(timespec="seconds"),
            now=utc(status.now),
            problems=_problems(status, anchors),
            pools=_pools(status, anchors),
            recent_window=duration(status.recent_window),
            recent=_recent(status, anchors),
            budgets=_budgets(status),
            errors=_errors(status),
        )


def _content_security_policy(style: str) -> str:
    """Allow this one style and nothing else (https://www.w3.org/TR/CSP3/)."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _worst(status: Status) -> str:
    """Return what the title of the browser's tab begins with: trouble is seen there too."""
    down = sum(is_down(pool) for pool in status.pools)
    return f"({down} down) " if down else ""


# -- what is wrong -------------------------------------------------------------------------------------------------------------


def _problems(status: Status, anchors: Mapping[str, str]) -> Html:
    found = problems(status)
    if not found:
        return fill('<p class="note good">Nothing: $what.</p>', what=_all_well(status))
    items = join(_problem(problem, anchors) for problem in found)
    return fill('<ul class="notes">$items</ul>', items=items)


def _all_well(status: Status) -> str:
    users = sum(sum(pool.users.values()) for pool in status.pools)
    longest = duration(status.max_staleness)
    return f"{many(len(status.pools), 'pool')} with {many(users, 'user')}, nobody has waited for a poll longer than {longest}"


def _problem(problem: Problem, anchors: Mapping[str, str]) -> Html:
    kind = _SEVERITY_CLASSES[problem.severity]
    template = '<li class="note $kind"><strong>$severity:</strong> $text</li>'
    text = fill("$text$pools", text=problem.text, pools=_named(problem.pools, anchors))
    return fill(template, kind=kind, severity=problem.severity.capitalize(), text=text)


def _named(pools: Sequence[str], anchors: Mapping[str, str]) -> Html:
    """Return the pools' names, each a link to its row."""
    if not pools:
        return Html()
    links = (fill('<a href="#$anchor"><bdi>$name</bdi></a>', anchor=anchors[name], name=name) for name in pools)
    shown = [link for link, _ in zip(links, range(_MOST_NAMED), strict=False)]
    more = [fill("$number more", number=str(len(pools) - len(shown)))] if len(pools) > len(shown) else []
    return Html(": " + ", ".join([*shown, *more]) + ".")


# -- pools ---------------------------------------------------------------------------------------------------------------------


def _whereabouts(pool: PoolStatus) -> str:
    """Return the pool's id, and its Region where the id does not begin with it."""
    return pool.pool_id if pool.pool_id.startswith(f"{pool.region}_") else f"{pool.pool_id} in {pool.region}"


def _budget_left(pool: PoolStatus, status: Status) -> str:
    """Return what is left of the pool's budget, which pools of one account and Region share."""
    found = next((budget for budget in status.budgets if budget.account == pool.account), None)
    if found is None or found.spent is None or found.left is None:
        return _UNKNOWN
    return two_lines(f"{rate(found.left)}/s", f"{rate(found.spent)}/s spent")


def _state(pool: PoolStatus) -> Html:
    """Return whether the pool answers, and its threat protection where known."""
    not_up = mark("bad", "Down") if is_down(pool) else mark("warn", "No answer yet")
    state = mark("good", "Answers") if pool.up else not_up
    return two_lines(state, pool.threat_protection) if pool.threat_protection else state


def _users(pool: PoolStatus, state: str, wrong: str) -> str:
    count = pool.users.get(state, 0)
    return marked(bool(wrong) and count > 0, wrong, f"{count:,}")


def _age(pool: PoolStatus, status: Status) -> str:
    """Return the stalest user's age, marked where it is beyond `max_staleness`."""
    if pool.oldest_poll is None:
        return _UNKNOWN
    of = f"of {duration(status.max_staleness)}"
    return two_lines(marked(is_stale(pool, status), "warn", ago(pool.oldest_poll, status.now)), of)


_POOL_COLUMNS: Sequence[tuple[str, str, Callable[[PoolStatus, Status], str]]] = (
    ("", "State", lambda pool, _: _state(pool)),
    ("number", "Users ok", lambda pool, _: _users(pool, "ok", "")),
    ("number", "Waiting", lambda pool, _: _users(pool, "waiting", "")),
    ("number", "Not found", lambda pool, _: _users(pool, "not_found", "warn")),
    ("number", "Failing", lambda pool, _: _users(pool, "failing", "warn")),
    ("number", "Stalest user", _age),
    ("number", "Newest poll", lambda pool, status: ago(pool.newest_poll, status.now)),
    ("number", "Event lag", lambda pool, _: _UNKNOWN if pool.lag_seconds is None else duration(pool.lag_seconds)),
    ("number", "In progress", lambda pool, _: f"{pool.in_progress:,}"),
    ("number", "Budget left", _budget_left),
)
"""Class, heading, and the cell of a pool, after its name."""


def _pools(status: Status, anchors: Mapping[str, str]) -> Html:
    headings = [("", "Pool"), *((kind, heading) for kind, heading, _ in _POOL_COLUMNS)]
    caption = (
        "Those in trouble first. Under each name are its id and the budget that it spends. "
        "Event lag is from an event's creation to its being counted, for the latest."
    )
    return table(caption, headings, (_pool_cells(pool, status, anchors) for pool in worst_first(status)))


def _pool_cells(pool: PoolStatus, status: Status, anchors: Mapping[str, str]) -> Sequence[Cell]:
    name = fill('<bdi id="$anchor">$name</bdi>', anchor=anchors[pool.name], name=pool.name)
    first = two_lines(two_lines(name, _whereabouts(pool)), pool.account)
    return [("", first), *((kind, cell(pool, status)) for kind, _, cell in _POOL_COLUMNS)]


# -- recent events -------------------------------------------------------------------------------------------------------------


def _recent(status: Status, anchors: Mapping[str, str]) -> Html:
    are_open = len(status.pools) <= _MOST_OPEN
    return join(_pool_plots(pool, status, anchors, is_open=are_open) for pool in worst_first(status))


def _pool_plots(pool: PoolStatus, status: Status, anchors: Mapping[str, str], *, is_open: bool) -> Html:
    return fill(
        '<details class="card"$open><summary><h3><bdi>$name</bdi></h3> <span class="quiet">$digest</span></summary>'
        "$plots</details>",
        open=Html(" open") if is_open else "",
        name=pool.name,
        digest=_digest(pool),
        plots=plots(pool.name, f"{anchors[pool.name]}-recent", pool.recent, status.recent_window),
    )


def _digest(pool: PoolStatus) -> str:
    """Return in words what the plots show, for whoever leaves them closed."""
    if pool.recent is None:
        return _UNKNOWN
    failed = pool.recent["response"].get("Fail", 0)
    high = pool.recent["risk_level"].get("High", 0)
    return f"{many(sum(pool.recent['response'].values()), 'event')}, {failed:,} failed, {high:,} at high risk"


# -- budgets -------------------------------------------------------------------------------------------------------------------


def _budgets(status: Status) -> Html:
    numbers = ("Budget", "Allowed now", "Spent", "Left", "Needed")
    headings = [("", "Account and Region"), ("", "State"), *(("number", heading) for heading in numbers)]
    caption = (
        "Requests a second of one account in one Region: what the configuration gives, what may be spent after throttling, "
        "what the last minute has spent and what that leaves, and what it takes to poll everybody within "
        f"{duration(status.max_staleness)}."
    )
    return table(caption, headings, (_budget_cells(budget) for budget in status.budgets))


def _budget_cells(budget: BudgetStatus) -> Sequence[Cell]:
    rates = (budget.budget, budget.allowed, budget.spent, budget.left, budget.needed)
    numbers = (("number", _UNKNOWN if each is None else rate(each)) for each in rates)
    return [("", budget.account), ("", _budget_state(budget)), *numbers]


def _budget_state(budget: BudgetStatus) -> Html:
    if budget.needed > budget.budget:
        return mark("warn", "Too small")
    return mark("warn", "Throttled") if budget.allowed < budget.budget else mark("good", "Enough")


# -- errors --------------------------------------------------------------------------------------------------------------------


def _errors(status: Status) -> Html:
    """Return the errors of all pools, the latest first; what came again and again is one row."""
    rows = _repeated((pool.name, error) for pool in status.pools for error in pool.errors)
    if not rows:
        return Html('<p class="quiet">None since the start.</p>')
    latest_first = sorted(rows, key=lambda row: row[1].at, reverse=True)[:_MOST_ERRORS]
    headings = [("", heading) for heading in ("When", "Pool", "Request", "What AWS said", "What to do")]
    caption = "The latest first." if len(rows) <= _MOST_ERRORS else f"The latest {_MOST_ERRORS} of {len(rows)}."
    return table(caption, headings, (_error_cells(*row, now=status.now) for row in latest_first))


def _repeated(errors: Iterable[tuple[str, ErrorStatus]]) -> Sequence[tuple[str, ErrorStatus, int]]:
    """Return for errors that differ only in their time the pool's name, the latest, and how many there are."""
    alike: dict[tuple[str, ErrorStatus], list[ErrorStatus]] = defaultdict(list)
    for name, error in errors:
        alike[name, replace(error, at=0.0)].append(error)
    return [(name, max(same, key=lambda error: error.at), len(same)) for (name, _), same in alike.items()]


def _error_cells(name: str, error: ErrorStatus, times: int, *, now: float) -> Sequence[Cell]:
    when = utc(error.at) + (f", {times} times" if times > 1 else "")
    return [
        ("", two_lines(ago(error.at, now), when)),
        ("of-pool", fill("<bdi>$name</bdi>", name=name)),
        ("request", two_lines(error.operation, error.outcome)),
        ("message", two_lines(error.message, error.path) if error.path else error.message),
        ("advice", error.advice),
    ]


def _all_advice() -> Html:
    return join(
        fill("<dt>$outcome</dt><dd>$advice</dd>", outcome=outcome, advice=advice) for outcome, advice in ADVICE.items()
    )
