"""Checks one pool: that it exists, its threat protection, the IAM actions it takes, and whom its selectors name."""

from exporter.commands.asking import DESCRIBE, Asking, PoolEnds
from exporter.commands.gathered import Gathered, Patience, Population
from exporter.commands.listing_check import ListingCheck
from exporter.commands.name_check import NameCheck, Protection
from exporter.commands.report import Finding, Mark, Report
from exporter.commands.requests import Time
from exporter.configuration.models import Selectors
from exporter.fetch.outcome import FetchError, Outcome
from exporter.fetch.source import EventSource
from exporter.users.discovery import listings

ALL_ELSE = Finding(Mark.SKIPPED, "all else", "cannot be told before that is mended")


class PoolCheck:
    """The check of one pool, whose findings go to `report`."""

    def __init__(self, selectors: Selectors, source: EventSource, asking: Asking, report: Report, time: Time) -> None:
        self._selectors = selectors
        self._source = source
        self._asking = asking
        self._report = report
        self._protection = Protection(report)
        self._gathered = Gathered(frozenset(selectors.exclude))
        patience = Patience(time)
        self._listings = ListingCheck(asking, self._gathered, patience)
        self._names = NameCheck(source, asking, self._gathered, patience, self._protection, report)

    def run(self) -> Population:
        """Check all there is to check, and return how many users were found."""
        try:
            estimate = self._describe()
            for listing in listings(self._selectors, self._source):
                self._report.found(self._listings.follow(listing, estimate if listing.place == "all" else None))
            self._names.run(self._selectors)
        except PoolEnds:
            self._gathered.whole = False
            self._report.found(ALL_ELSE)
        return self._gathered.population

    def _describe(self) -> int | None:
        """Say what the pool says of itself, and return how many users it estimates to have."""
        try:
            description = self._asking.ask(DESCRIBE, self._source.describe)
        except FetchError as error:
            if error.outcome is not Outcome.NOT_AUTHORIZED:
                text = f"what it says of itself cannot be read: {error}"
                self._report.found(Finding(Mark.NOTE, "user pool", text))
            return None
        self._report.found(Finding(Mark.GOOD, "user pool", "exists"))
        if description.threat_protection is not None:
            self._protection.tell(description.threat_protection)
        return description.estimated_users
