"""What is wrong at this moment, the worst first: what the status page and its JSON begin with."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from exporter.schedule.status import BudgetStatus, PoolStatus, Status
from exporter.web.words import duration, rate

Severity = Literal["critical", "warning"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, in words; `pools` names those that it is about, none where it is about the exporter."""

    severity: Severity
    text: str
    pools: tuple[str, ...] = ()


def is_down(pool: PoolStatus) -> bool:
    """Tell whether the pool has failed to answer; before its first answer it is neither up nor down."""
    return not pool.up and bool(pool.errors)


def is_stale(pool: PoolStatus, status: Status) -> bool:
    """Tell whether somebody has waited longer for a poll than anybody should."""
    return pool.oldest_poll is not None and status.now - pool.oldest_poll > status.max_staleness


_POOL_CHECKS: Sequence[tuple[Severity, str, Callable[[PoolStatus, Status], bool]]] = (
    ("critical", "No answers from AWS, see the last errors", lambda pool, _: is_down(pool)),
    ("warning", "No answer yet", lambda pool, _: not pool.up and not pool.errors),
    ("warning", "Polls of some users fail, see the last errors", lambda pool, _: pool.users.get("failing", 0) > 0),
    ("warning", "Somebody has waited longer for a poll than polling.max_staleness", is_stale),
    ("warning", "Some selected users do not exist", lambda pool, _: pool.users.get("not_found", 0) > 0),
)
"""Severity, text, and whether it is true of a pool; the worst first."""

_SELECTOR_CHECKS: Sequence[tuple[str, Callable[[PoolStatus], Sequence[str]]]] = (
    ("Selectors could not be followed, see the last errors", lambda pool: pool.unfollowed_selectors),
    ("Selectors match nobody", lambda pool: pool.unmatched_selectors),
)
"""Text, and the paths of a pool that it is about."""

_MOST_PATHS = 5


def problems(status: Status) -> tuple[Problem, ...]:
    """Return what is wrong, the worst first."""
    found = [*_of_the_exporter(status), *_of_the_pools(status), *_of_the_selectors(status)]
    return tuple(sorted(found, key=lambda problem: problem.severity != "critical"))


def worst_first(status: Status) -> Sequence[PoolStatus]:
    """Return the pools, those in trouble first, else as configured."""
    return sorted(status.pools, key=lambda pool: _rank(pool, status))


def _rank(pool: PoolStatus, status: Status) -> int:
    checks = (rank for rank, (_, _, is_true) in enumerate(_POOL_CHECKS) if is_true(pool, status))
    are_selectors_good = not any(paths_of(pool) for _, paths_of in _SELECTOR_CHECKS)
    return next(checks, len(_POOL_CHECKS) + are_selectors_good)


def _of_the_exporter(status: Status) -> Iterator[Problem]:
    if status.stuck is not None:
        yield Problem("critical", f"Polling is stuck: {status.stuck}")
    if status.state_error is not None:
        text = f"The state cannot be used, nothing more is counted and what was counted is shown: {status.state_error}"
        yield Problem("critical", text)
    if status.reload_error is not None:
        text = f"The last reload failed, the configuration before it is in use: {status.reload_error}"
        yield Problem("critical", text)
    if not status.ready:
        yield Problem("warning", "Not ready: the users to poll are not known yet.")
    for budget in status.budgets:
        if budget.needed > budget.budget:
            yield Problem("warning", _too_small(budget, status.max_staleness))
        elif budget.allowed < budget.budget:
            yield Problem("warning", _throttled(budget))


def _of_the_pools(status: Status) -> Iterator[Problem]:
    for severity, text, is_true in _POOL_CHECKS:
        pools = tuple(pool.name for pool in status.pools if is_true(pool, status))
        if pools:
            yield Problem(severity, text, pools)


def _of_the_selectors(status: Status) -> Iterator[Problem]:
    for text, paths_of in _SELECTOR_CHECKS:
        paths = [path for pool in status.pools for path in paths_of(pool)]
        if paths:
            shown = ", ".join(paths[:_MOST_PATHS]) + (
                f" and {len(paths) - _MOST_PATHS} more" if paths[_MOST_PATHS:] else ""
            )
            yield Problem("warning", f"{text}: {shown}", tuple(pool.name for pool in status.pools if paths_of(pool)))


def _too_small(budget: BudgetStatus, max_staleness: float) -> str:
    return (
        f"Polling everybody within {duration(max_staleness)} takes {rate(budget.needed)} requests a second of "
        f"{budget.account}, its budget is {rate(budget.budget)}: raise polling.requests_per_second "
        "as far as the AWS quota goes, or polling.max_staleness, or select fewer users. "
        f"As it is, a user may wait {duration(budget.longest_wait)} for a poll, busy ones less."
    )


def _throttled(budget: BudgetStatus) -> str:
    return (
        f"AWS has throttled {budget.account}: {rate(budget.allowed)} of {rate(budget.budget)} requests a second "
        "may be spent now. This comes back by itself within minutes."
    )
