"""Says, in plain sentences, what an account's budget gives and what `max_staleness` takes."""

from collections.abc import Sequence

from exporter.commands.gathered import Population
from exporter.commands.numbers import counted, duration_text, number_text
from exporter.commands.report import Finding, Mark, Report
from exporter.configuration.models import Polling

_QUOTA = 50.0
"""Requests a second of the category UserResourceRead, by default: https://docs.aws.amazon.com/cognito/latest/developerguide/quotas.html"""

_LITTLE = 0.01
"""The share of the budget up to which what discovery takes is left out."""

_LISTING_SHARE = 0.5
"""The share of the budget that listings take at most, as `exporter.schedule.budget` has it."""

_MUCH = 0.5
"""The share of the quota above which the application that shares it may be in need."""


def check_budget(account: str, populations: Sequence[Population], polling: Polling, report: Report) -> None:
    """Say how often the users of all pools of an account can be polled."""
    users, whole = sum(each.users for each in populations), all(each.whole for each in populations)
    if users:
        report.found(_enough(account, users, populations, polling))
    elif whole:
        report.found(Finding(Mark.WARNING, account, "nobody is selected"))
    else:
        report.found(Finding(Mark.SKIPPED, account, "how many users are selected is not known"))
    _check_share(account, polling.requests_per_second, report)


def _enough(account: str, users: int, populations: Sequence[Population], polling: Polling) -> Finding:
    """Return the sentence that tells whether the budget holds `max_staleness`."""
    rate = polling.requests_per_second
    discovery = _discovery(populations, polling)
    every = users / max(rate - discovery, rate * (1 - _LISTING_SHARE))
    wanted, needed = duration_text(polling.max_staleness), number_text(users / polling.max_staleness + discovery)
    who = f"{_number_words(populations)}{counted(users, 'user')} at {number_text(rate)} requests/s"
    if _as_said(needed) > rate:
        verb = "is" if users == 1 else "are"
        text = f"{who} {verb} polled every {duration_text(every)}; for {wanted} you need {needed} requests/s"
        return Finding(Mark.WARNING, account, text + _discovery_words(discovery, ", {} of them for discovery"))
    why = " (min_interval)" if every <= polling.min_interval else ""
    often = duration_text(min(max(every, polling.min_interval), polling.max_staleness))
    text = f"{who}: everybody can be polled every {often}{why}; max_staleness ({wanted}) is held"
    whole = all(each.whole for each in populations)
    text += _discovery_words(discovery, "; discovery takes {} requests/s")
    return Finding(Mark.GOOD if whole else Mark.NOTE, account, text)


def _discovery(populations: Sequence[Population], polling: Polling) -> float:
    """Return the requests a second that discovery takes, nothing where that is little."""
    rate = sum(each.pages for each in populations) / polling.discovery_interval
    return rate if rate > polling.requests_per_second * _LITTLE else 0.0


def _as_said(number: str) -> float:
    """Return a number as it was said, rounded: whoever takes the advice is not to be warned again."""
    return float(number.replace(",", ""))


def _discovery_words(discovery: float, words: str) -> str:
    return words.format(number_text(discovery)) if discovery else ""


def _number_words(populations: Sequence[Population]) -> str:
    if not all(each.whole for each in populations):
        return "at least "
    return "about " if any(each.rough for each in populations) else ""


def _check_share(account: str, rate: float, report: Report) -> None:
    """Say where the budget is a large part of what the application itself may be in need of."""
    if rate <= _MUCH * _QUOTA:
        return
    text = (
        f"{number_text(rate)} requests/s are {rate / _QUOTA:.0%} of AWS's default quota of {_QUOTA:.0f} for UserResourceRead, "
        "which the application shares: beyond it, users get no confirmation codes"
    )
    report.found(Finding(Mark.WARNING if rate > _QUOTA else Mark.NOTE, account, text))
