"""Discovery: selectors followed as a stream, in the order that sets starts right, whatever some of them meet."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, cast

from exporter.configuration.models import Selectors
from exporter.fetch.outcome import FetchError, Outcome
from exporter.fetch.source import EventSource, ListedUser, UserPage
from exporter.users.discovery import BATCH, Discovery, discover

CREATED = datetime(2026, 1, 31, tzinfo=UTC)
Answer = Sequence[Sequence[str]] | FetchError
"""The names on each page of a listing, or why there are none."""


@dataclass
class Pool:
    """A source that answers listings from a table, by group or filter (None is all)."""

    listings: dict[str | None, Answer]
    asked: list[str | None] = field(default_factory=list)

    def users(self, which: str | None, token: str | None) -> UserPage:
        """Return a page of a listing."""
        self.asked.append(which)
        answer = self.listings[which]
        if isinstance(answer, FetchError):
            raise answer
        at = int(token or 0)
        page = [ListedUser(name, CREATED) for name in answer[at]]
        return UserPage(page, str(at + 1) if at + 1 < len(answer) else None)

    users_in_group = users


def followed(pool: Pool, **selectors: Any) -> tuple[Discovery, list[list[ListedUser]]]:
    """Follow selectors; return what came of them, and the batches that were handed over."""
    batches: list[list[ListedUser]] = []

    async def request(_: str, call: Callable[[], UserPage]) -> UserPage:
        return call()

    async def read(call: Callable[[], Sequence[str]]) -> Sequence[str]:
        return call()

    async def take(users: Sequence[ListedUser]) -> None:
        batches.append(list(users))

    chosen = Selectors.model_construct(None, **selectors)  # unchecked: a file may have been spoiled since
    return asyncio.run(discover(chosen, cast("EventSource", pool), request, read, take)), batches


def names(batches: Sequence[Sequence[ListedUser]]) -> list[list[str]]:
    """Return the names in each batch."""
    return [[user.username for user in batch] for batch in batches]


def test_listings_come_page_by_page_and_before_names(tmp_path: Path) -> None:
    """Each page is handed over by itself; whoever is named and listed is listed first, with the creation."""
    file = tmp_path / "names.txt"
    file.write_text("root\nada\n")
    pool = Pool({"admins": [["root"], []], None: [["ada", "bob"], ["eve"]]})
    found, batches = followed(pool, usernames=["ada"], files=[file], groups=["admins"], all=True)
    assert names(batches) == [["root"], ["ada", "bob"], ["eve"], ["ada"], ["root", "ada"]]
    assert [batch[0].created is None for batch in batches] == [False, False, False, True, True]
    assert (found.complete, found.unmatched) == (True, [])


def test_exclude_beats_every_selector(tmp_path: Path) -> None:
    """Who is excluded is in no batch, and a batch of nobody is not handed over."""
    file = tmp_path / "names.txt"
    file.write_text("bot\n")
    pool = Pool({"admins": [["bot", "root"]], None: [["bot"], ["eve"]]})
    found, batches = followed(
        pool, usernames=["bot"], files=[file], groups=["admins"], all=True, exclude=["bot", "absent"]
    )
    assert names(batches) == [["root"], ["eve"]]
    assert (found.complete, found.unmatched) == (True, [])


def test_a_selector_that_fails_keeps_no_other_back(tmp_path: Path) -> None:
    """Failures are told with their place, one that every selector of the operation would meet is not asked for again."""
    file = tmp_path / "names.txt"
    file.write_text("root\ntwo words\n")
    refused = FetchError(Outcome.NOT_AUTHORIZED, "no")
    pool = Pool(
        {"admins": refused, "staff": [["x"]], 'name = "a"': FetchError(Outcome.SERVER_ERROR, "5xx"), None: [["eve"]]}
    )
    found, batches = followed(
        pool, usernames=["ada"], files=[file], groups=["admins", "staff"], filters=['name = "a"'], all=True
    )
    assert names(batches) == [["eve"], ["ada"]]
    assert not found.complete
    failures = [(failure.selector, failure.outcome) for failure in found.failures]
    assert failures == [
        ("groups[0]", Outcome.NOT_AUTHORIZED),
        ("groups[1]", Outcome.NOT_AUTHORIZED),
        ("filters[0]", Outcome.SERVER_ERROR),
        ("files[0]", Outcome.OTHER),
    ]
    assert "names.txt:2" in found.failures[-1].message
    assert "staff" not in pool.asked


def test_who_matches_nobody_is_told(tmp_path: Path) -> None:
    """Selectors that were followed and name nobody are told by their place."""
    file = tmp_path / "names.txt"
    file.write_text("# nobody\n")
    found, batches = followed(Pool({"admins": [[], []]}), files=[file], groups=["admins"])
    assert (batches, found.unmatched, found.complete) == ([], ["groups[0]", "files[0]"], True)


def test_a_long_file_comes_in_batches(tmp_path: Path) -> None:
    """A file of more names than fit is handed over a batch at a time, in its order."""
    file = tmp_path / "names.txt"
    everybody = [f"user{number}" for number in range(2 * BATCH + 1)]
    file.write_text("\n".join(everybody))
    _, batches = followed(Pool({}), files=[file], usernames=everybody[: BATCH + 1])
    assert [len(batch) for batch in batches] == [BATCH, 1, BATCH, BATCH, 1]
    assert list(chain.from_iterable(names(batches[2:]))) == everybody


def test_a_repeated_token_ends_a_listing() -> None:
    """A listing whose token comes again is a selector that could not be followed; what it told is kept."""

    class Circling(Pool):
        def users(self, which: str | None, token: str | None) -> UserPage:
            return UserPage(super().users(which, token and "0").users, "same")

    found, batches = followed(Circling({None: [["ada"]]}), all=True)
    assert [failure.outcome for failure in found.failures] == [Outcome.MALFORMED]
    assert names(batches) == [["ada"], ["ada"]]
