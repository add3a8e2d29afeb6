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
    disabled: frozenset[str] = frozenset()
    answers: bool = False
    asked: list[str | None] = field(default_factory=list)

    def users(self, which: str | None, token: str | None) -> UserPage:
        """Return a page of a listing."""
        self.asked.append(which)
        answer = self.listings[which]
        if isinstance(answer, FetchError):
            raise answer
        at = int(token or 0)
        page = [ListedUser(name, CREATED, name not in self.disabled) for name in answer[at]]
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

    tuples: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in selectors.items()
    }
    chosen = Selectors.model_construct(None, **tuples)  # unchecked: a file may have been spoiled since
    return asyncio.run(
        discover(chosen, cast("EventSource", pool), request, read, take, answers=lambda: pool.answers)
    ), batches


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


def test_a_group_that_is_gone_has_no_members() -> None:
    """A group not found in a pool that answers matches nobody; in one that does not, it may be the pool that is gone."""
    gone = FetchError(Outcome.POOL_NOT_FOUND, "no")
    found, batches = followed(Pool({"old": gone, "admins": [["root"]]}, answers=True), groups=["old", "admins"])
    assert (names(batches), found.unmatched, found.complete) == ([["root"]], ["groups[0]"], True)
    found, batches = followed(Pool({"old": gone, "admins": [["root"]]}), groups=["old", "admins"])
    assert (names(batches), found.unmatched, found.complete) == ([["root"]], [], False)


def test_the_disabled_are_selected_only_by_their_status() -> None:
    """Who is disabled is in no group, filter or all; a filter that asks for a status itself says whom it wants."""
    listed = [["ada", "eve"]]
    wanted = ' status = "Disabled"'
    pool = Pool({"admins": listed, 'username ^= "e"': listed, wanted: [["eve"]], None: listed}, frozenset({"eve"}))
    selectors = {"groups": ["admins"], "filters": ['username ^= "e"', wanted], "all": True}
    assert names(followed(pool, **selectors)[1]) == [["ada"], ["ada"], ["eve"], ["ada"]]
    nobody = followed(Pool({"admins": [["eve"]]}, frozenset({"eve"})), groups=["admins"])[0]
    assert nobody.unmatched == ["groups[0]"]


class Forgetful(Pool):
    """A pool that takes no token back at some requests."""

    expired: int = 0

    def users(self, which: str | None, token: str | None) -> UserPage:
        """Return a page, or refuse the token."""
        if token == "2" and self.expired:
            self.expired -= 1
            raise FetchError(Outcome.INVALID_PARAMETER, "Invalid pagination token.")
        return super().users(which, token)


def test_an_expired_token_begins_a_listing_again() -> None:
    """A listing whose token is refused goes on from its beginning; whoever was found is found, and it is complete at the end."""
    pool = Forgetful({None: [["a"], ["b"], ["c"]]})
    pool.expired = 2
    found, batches = followed(pool, all=True)
    assert (found.complete, names(batches)) == (True, [["a"], ["b"], ["a"], ["b"], ["a"], ["b"], ["c"]])
    pool.expired = 3
    found, _ = followed(pool, all=True)
    assert [failure.outcome for failure in found.failures] == [Outcome.INVALID_PARAMETER]


def test_a_refused_filter_is_not_asked_for_again() -> None:
    """What is refused at the first page is the parameters, which asking again does not mend."""
    pool = Pool({'name = "a"': FetchError(Outcome.INVALID_PARAMETER, "no")})
    assert not followed(pool, filters=['name = "a"'])[0].complete
    assert len(pool.asked) == 1


def test_the_digest_follows_the_selectors_that_list(tmp_path: Path) -> None:
    """The digest is another one where other groups, filters or all are selected, and the same whatever names and the pool say."""
    file = tmp_path / "names.txt"
    file.write_text("root\n")

    def digest(listed: str = "ada", **more: Any) -> str:
        return followed(Pool({None: [[listed]], "admins": [["root"]]}), files=[file], **more)[0].digest

    first = digest(all=True)
    file.write_text("root\nadmin\n")
    assert digest("eve", all=True, exclude=["ada"], usernames=["joan"]) == first
    assert len({first, digest(groups=["admins"]), digest(groups=["admins"], all=True), digest()}) == 4
    assert digest(usernames=["joan"]) == ""


def test_a_repeated_token_ends_a_listing() -> None:
    """A listing whose token comes again is a selector that could not be followed; what it told is kept."""

    class Circling(Pool):
        def users(self, which: str | None, token: str | None) -> UserPage:
            return UserPage(super().users(which, token and "0").users, "same")

    found, batches = followed(Circling({None: [["ada"]]}), all=True)
    assert [failure.outcome for failure in found.failures] == [Outcome.MALFORMED]
    assert names(batches) == [["ada"], ["ada"]]
