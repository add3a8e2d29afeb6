"""Passwords: who is admitted, and that neither cost nor load tells more, or takes more, than it must."""

import asyncio
import base64
import threading
from collections import Counter
from collections.abc import Iterator, Mapping

import bcrypt
import pytest

from exporter.web.bcrypt_hash import BcryptHash, parse_bcrypt_hash
from exporter.web.passwords import Passwords, Verdict
from tests.conftest import WAIT


def hashed(password: str, salt: str = "a", cost: int = 4) -> BcryptHash:
    return parse_bcrypt_hash(
        bcrypt.hashpw(password.encode(), b"$2b$%02d$" % cost + (salt * 21 + "u").encode()).decode()
    )


USERS = {"alice": hashed("a:b"), "bob": hashed("ü" * 36, "b", 5), "": hashed("", "c", 6)}


def basic(text: str | bytes, scheme: str = "Basic") -> bytes:
    content = text.encode() if isinstance(text, str) else text
    return f"{scheme} ".encode() + base64.b64encode(content)


class Counting:
    """bcrypt itself, its calls counted; it waits where it is told to."""

    def __init__(self) -> None:
        self.costs: list[int] = []
        self.open = threading.Event()
        self.open.set()

    def __call__(self, found: BcryptHash, password: bytes) -> bool:
        self.costs.append(found.cost)
        assert self.open.wait(WAIT)
        return found.matches(password)


@pytest.fixture
def check() -> Counting:
    return Counting()


@pytest.fixture
def passwords(check: Counting) -> Iterator[Passwords]:
    made = Passwords(check=check)
    yield made
    check.open.set()
    made.close()


def ask(
    passwords: Passwords, *headers: bytes, users: Mapping[str, BcryptHash] = USERS, client: str = "192.0.2.1"
) -> Verdict:
    return asyncio.run(passwords.verdict(headers, users, client))


@pytest.mark.parametrize(
    "header", [basic("alice:a:b"), basic("alice:a:b", "bASIC"), basic("bob:" + "ü" * 36), basic(":")]
)
def test_the_right_password_is_admitted_and_remembered(header: bytes, passwords: Passwords, check: Counting) -> None:
    """A right password costs bcrypt once; from then on it costs none, whatever comes in between."""
    assert ask(passwords, header) is Verdict.ADMITTED
    assert ask(passwords, basic("alice:wrong")) is Verdict.REFUSED
    assert ask(passwords, header) is Verdict.ADMITTED
    assert len(check.costs) == 2


REFUSED_AT_ONCE = {
    "none": [],
    "two": [basic("alice:a:b"), basic("alice:a:b")],
    "another scheme": [basic("alice:a:b", "Bearer")],
    "no scheme": [base64.b64encode(b"alice:a:b")],
    "nothing": [b""],
    "not base64": [b"Basic alice:a:b"],
    "no padding": [basic("alice:a:b1").rstrip(b"=")],
    "not UTF-8": [basic(b"alice:\xff")],
    "no colon": [basic("alice")],
    "73 bytes": [basic("alice:" + "x" * 73)],
    "74 bytes in 37 letters": [basic("alice:" + "ü" * 37)],
    "NUL": [basic("alice:a:b\0")],
}


@pytest.mark.parametrize("headers", REFUSED_AT_ONCE.values(), ids=REFUSED_AT_ONCE)
def test_what_can_never_be_right_costs_nothing(headers: list[bytes], passwords: Passwords, check: Counting) -> None:
    """What is refused for its form is refused at once, whoever it names."""
    assert ask(passwords, *headers) is Verdict.REFUSED
    assert check.costs == []


def test_wrong_passwords_are_never_remembered(passwords: Passwords, check: Counting) -> None:
    """Each wrong password costs bcrypt each time, for a known name and an unknown one alike."""
    for header in (basic("alice:wrong"), basic("nobody:wrong")) * 2:
        assert ask(passwords, header) is Verdict.REFUSED
    assert len(check.costs) == 4


def test_unknown_names_cost_what_known_ones_cost(passwords: Passwords, check: Counting) -> None:
    """An unknown name costs one check of a configured cost, always the same for that name; over many names, all costs."""
    for number in range(40):
        for _ in range(2):
            assert ask(passwords, basic(f"nobody-{number}:x")) is Verdict.REFUSED
    assert check.costs[::2] == check.costs[1::2]
    assert set(check.costs) == {4, 5, 6}


def test_an_unknown_name_is_refused_even_with_the_other_ones_password(passwords: Passwords) -> None:
    """The hash that an unknown name is checked against admits nobody, not even who knows its password."""
    only = {"alice": USERS["alice"]}
    assert ask(passwords, basic("nobody:a:b"), users=only) is Verdict.REFUSED
    assert ask(passwords, basic("alice:a:b"), users=only) is Verdict.ADMITTED
    assert ask(passwords, basic("nobody:a:b"), users=only) is Verdict.REFUSED


def test_a_changed_hash_forgets(passwords: Passwords, check: Counting) -> None:
    """A new hash is checked anew; a name taken out is refused, though another one has the same hash."""
    assert ask(passwords, basic("alice:a:b")) is Verdict.ADMITTED
    assert ask(passwords, basic("alice:a:b"), users={"alice": hashed("new")}) is Verdict.REFUSED
    assert ask(passwords, basic("alice:a:b"), users={"alice": hashed("a:b", "d")}) is Verdict.ADMITTED
    assert ask(passwords, basic("alice:a:b"), users={"bob": USERS["alice"]}) is Verdict.REFUSED
    assert len(check.costs) == 4


def test_the_same_checks_share_one(passwords: Passwords, check: Counting) -> None:
    """The same credentials asked for many times at once cost bcrypt once, also where who asked first has left."""

    async def crowd() -> list[Verdict]:
        check.open.clear()
        asked = [asyncio.create_task(passwords.verdict([basic("alice:a:b")], USERS, "192.0.2.1")) for _ in range(50)]
        await asyncio.sleep(0)
        asked[0].cancel()
        check.open.set()
        return await asyncio.gather(*asked[1:])

    assert asyncio.run(crowd()) == [Verdict.ADMITTED] * 49
    assert len(check.costs) == 1


def test_waiting_is_bounded(passwords: Passwords, check: Counting) -> None:
    """4 checks of one address wait, and 32 in all; whoever is beyond is told, and a remembered password never waits."""

    async def crowd() -> list[Verdict]:
        known = basic("alice:a:b")
        assert await passwords.verdict([known], USERS, "192.0.2.1") is Verdict.ADMITTED
        check.open.clear()
        asked = [
            asyncio.create_task(passwords.verdict([basic(f"alice:{number}")], USERS, f"192.0.2.{number // 5}"))
            for number in range(50)
        ]
        await asyncio.sleep(0)
        assert await passwords.verdict([known], USERS, "192.0.2.1") is Verdict.ADMITTED
        check.open.set()
        verdicts = await asyncio.gather(*asked)
        assert await passwords.verdict([basic("bob:x")], USERS, "192.0.2.1") is Verdict.REFUSED
        return verdicts

    verdicts = asyncio.run(crowd())
    assert Counter(verdicts) == {Verdict.REFUSED: 32, Verdict.BUSY: 18}
    assert all(Verdict.REFUSED in verdicts[number : number + 5] for number in range(0, 50, 5)), (
        "each address has a place"
    )
    assert len(check.costs) == 1 + 32 + 1


@pytest.mark.parametrize("address", ["198.51.100.7", "2001:db8:0:1::7", "::ffff:198.51.100.7", "not an address", ""])
def test_a_newcomer_is_checked_before_a_crowd(passwords: Passwords, check: Counting, address: str) -> None:
    """Whoever comes from an address of which nobody waits gets a place and a turn, however many guess elsewhere."""

    async def crowd() -> Verdict:
        check.open.clear()
        guesses = [
            asyncio.create_task(
                passwords.verdict([basic(f"bob:{number}")], USERS, f"2001:db8:0:{2 + number % 9}::{number}")
            )
            for number in range(90)
        ]
        await asyncio.sleep(0)
        newcomer = asyncio.create_task(passwords.verdict([basic("alice:a:b")], USERS, address))
        await asyncio.sleep(0)
        check.open.set()
        verdict = await newcomer
        await asyncio.gather(*guesses)
        return verdict

    assert asyncio.run(crowd()) is Verdict.ADMITTED
    assert len(check.costs) == 32
    assert check.costs.index(USERS["alice"].cost) < 2 + 9 + 2, "behind more than one check of each other site"


def test_many_who_ask_the_same_are_bounded(passwords: Passwords, check: Counting) -> None:
    """Of very many requests with one wrong password only so many wait for its check."""

    async def crowd() -> list[Verdict]:
        check.open.clear()
        asked = [
            asyncio.create_task(passwords.verdict([basic("alice:wrong")], USERS, f"192.0.2.{number}"))
            for number in range(200)
        ]
        await asyncio.sleep(0)
        check.open.set()
        return list(await asyncio.gather(*asked))

    assert Counter(asyncio.run(crowd())) == {Verdict.REFUSED: 128, Verdict.BUSY: 72}
    assert len(check.costs) == 1


def test_what_is_remembered_is_bounded(check: Counting) -> None:
    """Of one right password too many the one that was used longest ago is forgotten."""
    passwords = Passwords(check=check, most_remembered=4)
    users = dict.fromkeys("01234", USERS["alice"])
    for name in ["0", *users]:
        assert ask(passwords, basic(f"{name}:a:b"), users=users) is Verdict.ADMITTED
    assert len(check.costs) == 5
    for name, more in (("2", 0), ("0", 1)):
        assert ask(passwords, basic(f"{name}:a:b"), users=users) is Verdict.ADMITTED
        assert len(check.costs) == 5 + more
    passwords.close()


def test_asyncio_keeps_its_threads(passwords: Passwords) -> None:
    """Checks run in threads of their own: what else asyncio has threads for never waits behind them."""
    assert ask(passwords, basic("alice:a:b")) is Verdict.ADMITTED
    assert any(thread.name.startswith("bcrypt") for thread in threading.enumerate())
    assert not any(thread.name.startswith("asyncio") for thread in threading.enumerate())
