"""Answers that a crowd shares: made once a turn of the loop, and never older than the question."""

import asyncio

import pytest

from exporter.web.shared import Shared


def test_a_crowd_shares_and_nobody_gets_an_old_answer() -> None:
    """All who ask in one turn get one value, by what they ask for; who asks in a later turn gets a new one."""
    made: list[str] = []

    def make(key: str) -> str:
        made.append(key)
        return f"{key}{len(made)}"

    async def scene() -> list[list[str]]:
        shared = Shared(make)

        async def ask(key: str) -> str:
            return shared.get(key)

        crowds = (["a", "a", "b", "a"], ["a", "b", "b"])
        return [list(await asyncio.gather(*map(ask, crowd))) for crowd in crowds]

    assert asyncio.run(scene()) == [["a1", "a1", "b2", "a1"], ["a3", "b4", "b4"]]


def test_what_fails_is_tried_again() -> None:
    """A failure is kept for nobody."""
    failures = [ValueError("once")]

    def make(_: None) -> str:
        if failures:
            raise failures.pop()
        return "made"

    async def scene() -> str:
        shared = Shared(make)
        with pytest.raises(ValueError, match="once"):
            shared.get(None)
        return shared.get(None)

    assert asyncio.run(scene()) == "made"
