"""Follows the selectors that list: groups, filters, everybody."""

from dataclasses import dataclass
from functools import partial

from exporter.commands.asking import GROUP, Asking
from exporter.commands.gathered import LONGEST, Gathered, Patience
from exporter.commands.numbers import counted, duration_text
from exporter.commands.report import Finding, Mark
from exporter.fetch.outcome import FetchError, Outcome
from exporter.fetch.source import FULL_PAGE
from exporter.users.discovery import Listing

_MOST_PAGES = 100  # of one listing


@dataclass(slots=True)
class _Listed:
    users: int = 0
    disabled: int = 0
    pages: int = 0
    ended: bool = False


class ListingCheck:
    """Follows the listings of one pool, to their ends or as far as a check goes; `gathered` takes in whom they show."""

    def __init__(self, asking: Asking, gathered: Gathered, patience: Patience) -> None:
        self._asking = asking
        self._gathered = gathered
        self._patience = patience

    def follow(self, listing: Listing, estimate: int | None = None) -> Finding:
        """Return what is found of a selector; where there is an `estimate`, one page is looked at. Raises `PoolEnds`."""
        place = f"users.{listing.place}"
        if self._patience.is_over:
            self._gathered.whole = False
            return Finding(Mark.SKIPPED, place, f"not followed: the check has taken {duration_text(LONGEST)}")
        listed = _Listed()
        try:
            self._list(listing, listed, _MOST_PAGES if estimate is None else 1)
        except FetchError as error:
            self._gathered.whole = False
            return _unlisted(place, listing.operation, error)
        if estimate is not None and not listed.ended:
            self._gathered.estimate = estimate
            self._gathered.pages += -(-estimate // FULL_PAGE)
            return Finding(Mark.GOOD, place, f"about {counted(estimate, 'user')}, as Cognito estimates")
        self._gathered.whole &= listed.ended
        self._gathered.pages += listed.pages
        return _matches(place, listing.operation, listed)

    def _list(self, listing: Listing, listed: _Listed, most_pages: int) -> None:
        token: str | None = None
        tokens: set[str] = set()
        while not listed.pages or (listed.pages < most_pages and not self._patience.is_short):
            page = self._asking.ask(listing.operation, partial(listing.page_at, token))
            selected = [user.username for user in page.users if listing.matches(user)]
            self._gathered.take(selected)
            listed.users += len(selected)
            listed.disabled += len(page.users) - len(selected)
            listed.pages += 1
            token = page.next_token
            if token is None:
                listed.ended = True
                return
            if token in tokens:
                raise FetchError(Outcome.MALFORMED, f"{listing.operation} repeated a token")
            tokens.add(token)


def _unlisted(place: str, operation: str, error: FetchError) -> Finding:
    """Return what is to be said of a selector that could not be followed."""
    if error.outcome is Outcome.NOT_AUTHORIZED:
        return Finding(Mark.SKIPPED, place, f"{operation} is denied")
    if error.outcome is Outcome.POOL_NOT_FOUND:
        return Finding(Mark.MISTAKE, place, "no such group")
    return Finding(Mark.MISTAKE, place, f"cannot be followed: {error}")


def _matches(place: str, operation: str, listed: _Listed) -> Finding:
    """Return what is to be said of a selector by whom it lists."""
    others = f"; {listed.disabled:,} more are disabled, and left out" if listed.disabled else ""
    if listed.ended and not listed.users:
        text = "exists and has no members: it matches nobody" if operation == GROUP else "matches nobody"
        return Finding(Mark.WARNING, place, ("matches nobody" if others else text) + others)
    text = counted(listed.users, "user")
    if not listed.ended:
        text = f"at least {text}; the listing was not followed further"
    return Finding(Mark.GOOD, place, text + others)
