"""The status page: what an operator opens first. Made on the server, without scripts, every value escaped."""

import base64
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files

from exporter.fetch.outcome import Outcome
from exporter.schedule.status import BudgetStatus, ErrorStatus, PoolStatus, Status
from exporter.web.markup import Cell, Html, fill, join, mark, marked, table, two_lines

_UNKNOWN = "none yet"

ADVICE: Mapping[str, str] = {
    Outcome.THROTTLED: "AWS takes fewer requests than the budget allows, and the exporter has slowed down: lower "
    "polling.requests_per_second, or have the quota of user pool read requests raised.",
    Outcome.USER_NOT_FOUND: "A selected user does not exist: correct it in the configuration or the users file.",
    Outcome.POOL_NOT_FOUND: "There is no such user pool: check its id, region and credentials.",
    Outcome.NOT_AUTHORIZED: "The credentials may not do this: give them the IAM policy in the README.",
    Outcome.THREAT_PROTECTION_OFF: "Switch threat protection on for this pool: without it there are no auth events.",
    Outcome.INVALID_PARAMETER: "Check the filters, groups and user names selected in this pool.",
    Outcome.SERVER_ERROR: "A fault of Cognito's own; it is tried again. If it lasts, look at the AWS Health Dashboard.",
    Outcome.TIMEOUT: "No answer within polling.request_timeout: check the network and any proxy on the way.",
    Outcome.CONNECTION: "No connection to AWS: check DNS, routes, proxies, VPC endpoints and endpoint_url.",
    Outcome.MALFORMED: "The answer was not what Cognito sends: check endpoint_url and what stands between.",
    Outcome.CREDENTIALS: "No usable AWS credentials: check the profile, the role and this process's environment.",
    Outcome.OTHER: "See the log for this pool; --log.level=debug says more.",
}
"""What to do about an error, by its outcome."""


class StatusPage:
    """Renders the page; `headers` go with it."""

    def __init__(self, *, telemetry_path: str, healthy_path: str, ready_path: str) -> None:
        folder = files("exporter.web")
        self._template = folder.joinpath("status_page.html").read_text(encoding="utf-8")
        style = folder.joinpath("status_page.css").read_text(encoding="utf-8")
        self._constants: Mapping[str, str] = {
            "style": Html(style),
            # relative: behind a proxy the page may be below a prefix
            "telemetry_path": f".{telemetry_path}",
            "healthy_path": f".{healthy_path}",
            "ready_path": f".{ready_path}",
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
        return fill(
            self._template,
            **self._constants,
            title=f"{_worst(status)}cognito-auth-exporter",
            version=status.version,
            uptime=duration(status.now - status.started),
            now=_time(status.now),
            notes=_notes(status),
            max_staleness=duration(status.max_staleness),
            pools=_pools(status),
            budgets=_budgets(status.budgets),
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
    down = sum(not pool.up for pool in status.pools)
    return f"({down} down) " if down else ""


def _notes(status: Status) -> Html:
    return join(fill('<li class="$kind">$text</li>', kind=kind, text=text) for kind, text in _all_notes(status))


def _all_notes(status: Status) -> Iterator[tuple[str, str]]:
    if status.stuck is not None:
        yield "bad", f"Polling is stuck: {status.stuck}"
    if status.reload_error is not None:
        yield "bad", f"The last reload failed, the configuration before it is in use: {status.reload_error}"
    for budget in status.budgets:
        if budget.needed > budget.budget:
            yield "warn", _short_budget(budget, status.max_staleness)
    yield ("good", "Ready.") if status.ready else ("warn", "Not ready: the users to poll are not known yet.")


def _short_budget(budget: BudgetStatus, max_staleness: float) -> str:
    return (
        f"Polling everybody within {duration(max_staleness)} takes {_rate(budget.needed)} requests a second of "
        f"{budget.account}, its budget is {_rate(budget.budget)}: raise polling.requests_per_second "
        "as far as the AWS quota goes, or polling.max_staleness, or select fewer users. "
        f"As it is, a user may wait {duration(budget.longest_wait)} for a poll, busy ones less."
    )


def _whereabouts(pool: PoolStatus) -> str:
    """Return the pool's id, and its Region where the id does not begin with it."""
    return pool.pool_id if pool.pool_id.startswith(f"{pool.region}_") else f"{pool.pool_id} in {pool.region}"


def _users(pool: PoolStatus, state: str, wrong: str) -> str:
    count = pool.users.get(state, 0)
    return marked(bool(wrong) and count > 0, wrong, f"{count:,}")


def _age(pool: PoolStatus, status: Status) -> str:
    """Return the stalest user's age, marked where it is beyond `max_staleness`."""
    late = pool.oldest_poll is not None and status.now - pool.oldest_poll > status.max_staleness
    of = f"of at most {duration(status.max_staleness)}"
    return two_lines(marked(late, "warn", _ago(pool.oldest_poll, status.now)), of)


def _need(pool: PoolStatus, status: Status) -> str:
    """Return what the pool's account needs of its budget; pools of one account share it."""
    for budget in status.budgets:
        if budget.account == pool.account:
            need = marked(budget.needed > budget.allowed, "warn", f"{_rate(budget.needed)}/s")
            return two_lines(need, f"of {_rate(budget.allowed)}/s")
    return _UNKNOWN


_POOL_COLUMNS: Sequence[tuple[str, str, Callable[[PoolStatus, Status], str]]] = (
    ("", "Pool", lambda pool, _: two_lines(pool.name, _whereabouts(pool))),
    ("", "State", lambda pool, _: mark("good", "Answers") if pool.up else mark("bad", "Down")),
    ("number", "Users ok", lambda pool, _: _users(pool, "ok", "")),
    ("number", "Waiting", lambda pool, _: _users(pool, "waiting", "")),
    ("number", "Not found", lambda pool, _: _users(pool, "not_found", "warn")),
    ("number", "Failing", lambda pool, _: _users(pool, "failing", "bad")),
    ("number", "Stalest poll", _age),
    ("number", "Newest poll", lambda pool, status: _ago(pool.newest_poll, status.now)),
    ("number", "Event lag", lambda pool, _: _UNKNOWN if pool.lag_seconds is None else duration(pool.lag_seconds)),
    ("number", "In progress", lambda pool, _: f"{pool.in_progress:,}"),
    ("number", "Budget needed", _need),
)
"""Class, heading, and the cell of a pool."""


def _pools(status: Status) -> Html:
    headings = [(kind, heading) for kind, heading, _ in _POOL_COLUMNS]
    return table(headings, ([(kind, cell(pool, status)) for kind, _, cell in _POOL_COLUMNS] for pool in status.pools))


def _budgets(budgets: Iterable[BudgetStatus]) -> Html:
    headings = [("", "Account"), ("number", "Budget"), ("number", "Allowed now"), ("number", "Needed"), ("", "State")]
    return table(headings, (_budget_cells(budget) for budget in budgets))


def _budget_cells(budget: BudgetStatus) -> Sequence[Cell]:
    rates = [("number", _rate(rate)) for rate in (budget.budget, budget.allowed, budget.needed)]
    return [("", budget.account), *rates, ("", _budget_state(budget))]


def _budget_state(budget: BudgetStatus) -> Html:
    if budget.needed > budget.budget:
        return mark("warn", "Too small")
    return mark("warn", "Throttled") if budget.allowed < budget.budget else mark("good", "Enough")


def _errors(status: Status) -> Html:
    """Return the errors of all pools, the latest first."""
    errors = [(pool, error) for pool in status.pools for error in pool.errors]
    if not errors:
        return Html('<p class="quiet">None.</p>')
    latest_first = sorted(errors, key=lambda pair: pair[1].at, reverse=True)
    headings = [("", heading) for heading in ("When", "Pool", "Request", "What AWS said", "What to do")]
    return table(headings, (_error_cells(pool, error, status.now) for pool, error in latest_first))


def _error_cells(pool: PoolStatus, error: ErrorStatus, now: float) -> Sequence[Cell]:
    return [
        ("", two_lines(f"{duration(now - error.at)} ago", _time(error.at))),
        ("of-pool", pool.name),
        ("request", two_lines(error.operation, error.outcome)),
        ("", two_lines(error.message, error.path) if error.path else error.message),
        ("advice", ADVICE.get(error.outcome, ADVICE[Outcome.OTHER])),
    ]


_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def duration(seconds: float) -> str:
    """Return a length of time in its two largest units, as `1h 30m`; negative ones, of clocks that differ, as `0s`."""
    rest = max(0, round(seconds))
    for (large, large_unit), (small, small_unit) in itertools.pairwise(_UNITS):
        if rest >= large:
            few = rest % large // small
            return f"{rest // large}{large_unit}" + (f" {few}{small_unit}" if few else "")
    return f"{rest}s"


def _ago(at: float | None, now: float) -> str:
    return "never" if at is None else f"{duration(now - at)} ago"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _rate(per_second: float) -> str:
    return f"{per_second:,.2f}".rstrip("0").rstrip(".")
