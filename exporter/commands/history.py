"""`events`: reads one user's latest events, as the exporter reads them."""

from dataclasses import dataclass, field

from exporter.commands.numbers import counted
from exporter.commands.requests import Requests
from exporter.event.event import AuthEvent
from exporter.fetch.outcome import FetchError, Outcome
from exporter.fetch.source import FULL_PAGE, EventSource
from exporter.fetch.walk import IN_PROGRESS


@dataclass(slots=True)
class History:
    """The latest events of a user, each id once.

    `damaged` counts entries that could not be read; `cut` tells that `max_pages` was reached before there were enough events.
    """

    events: dict[str, AuthEvent] = field(default_factory=dict)
    damaged: int = 0
    cut: bool = False

    def newest(self, limit: int) -> list[AuthEvent]:
        """Return so many events at most, newest first."""
        return sorted(self.events.values(), key=lambda event: event.created, reverse=True)[:limit]

    def gaps(self) -> list[str]:
        """Return sentences that tell what is not there."""
        damaged = f"{counted(self.damaged, 'entry', 'entries')} could not be read and left out"
        cut = "the history goes on below polling.max_pages"
        return [text for text, is_so in ((damaged, self.damaged), (cut, self.cut)) if is_so]

    def take(self, event: AuthEvent) -> None:
        """Take an event in; one shown twice keeps its latest answer, a final one before one in progress."""
        known = self.events.get(event.event_id)
        if known is None or known.response == IN_PROGRESS or event.response != IN_PROGRESS:
            self.events[event.event_id] = event


def read_history(source: EventSource, requests: Requests, username: str, limit: int, max_pages: int) -> History:
    """Read pages, newest first, until `limit` events are known or the history ends. Raises `FetchError`."""
    history, size = History(), min(limit, FULL_PAGE)  # a token is not known to be good for pages of another size
    token, tokens = None, set[str]()
    for _ in range(max_pages):
        page = requests.make(lambda at=token: source.auth_events(username, at, size))  # type: ignore[misc]
        for event in page.events:
            history.take(event)
        history.damaged += len(page.damaged)
        token = page.next_token
        if token is None or len(history.events) >= limit:
            return history
        if token in tokens:
            raise FetchError(Outcome.MALFORMED, "AdminListUserAuthEvents repeated a NextToken")
        tokens.add(token)
    history.cut = True
    return history
