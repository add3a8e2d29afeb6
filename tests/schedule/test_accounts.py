"""The engine and whose account it spends: one budget for an account and Region, whatever the credentials are."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs
from structlog.typing import EventDict

from exporter.configuration.models import Config, UserPool
from exporter.fetch.outcome import FetchError, Outcome, StandInError
from exporter.fetch.source import Caller
from exporter.schedule.accounts import Accounts, Payer, payer_of
from exporter.schedule.budget import Budget
from exporter.schedule.engine import Engine
from tests.schedule.test_engine import Source, Stage

DENIED = FetchError(Outcome.NOT_AUTHORIZED, "GetCallerIdentity: AccessDenied", "credentials.profile")
ONE, TWO = "111122223333", "222233334444"


class Account(Source):
    """Credentials of which STS tells the account, or fails; it hangs until it may tell."""

    def __init__(self, tells: str | FetchError) -> None:
        super().__init__()
        self.tells = tells
        self.times_asked = 0
        self.may_tell = threading.Event()
        self.may_tell.set()
        self.may_answer.set()

    def caller(self) -> Caller:
        """Tell who asks."""
        self.times_asked += 1
        self.may_tell.wait(30)
        if isinstance(self.tells, FetchError):
            raise self.tells
        return Caller(self.tells, "arn:aws:iam::1:user/test")


class World(Stage):
    """An engine of one pool for each profile."""

    def __init__(self, folder: Path, sources: Mapping[str, Account]) -> None:
        super().__init__(folder)
        self.sources = sources
        self.accounts = Accounts()
        self.budgets: dict[str, Budget] = {}
        self.regroupings = 0
        self.config = Config.model_validate(
            {
                "user_pools": [
                    {"id": f"eu-west-1_{name}", "name": name, "credentials": {"profile": name}, "users": {"usernames": [name]}}
                    for name in sources
                ],
                "polling": {"min_interval": "1s", "requests_per_second": 50.0, "request_timeout": "2s"},
                "state": {"path": ":memory:"},
            }
        )  # fmt: skip
        self.engine = self.new_engine()

    def new_engine(self) -> Engine:
        """Return an engine as a start or a reload makes it."""

        def regroup() -> None:
            self.regroupings += 1

        self.around.stop.clear()
        return Engine(
            self.config, lambda pool, _: self.sources[pool.name], self.budgets, self.around,
            accounts=self.accounts, regroup=regroup,
        )  # fmt: skip

    async def reload(self) -> None:
        """Put another engine in the place of the one there is."""
        former = self.engine
        await former.stop()
        self.engine = self.new_engine()
        await self.engine.start(former.pollers)

    @property
    def names(self) -> list[str]:
        """The accounts that budgets are spent of."""
        return sorted(budget.account for budget in self.engine.budgets())

    def is_polled(self, *names: str) -> bool:
        """Tell whether each of these pools has been polled."""
        return all(self.sources[name].asked[name] for name in names)


Scene = Callable[[World], Awaitable[None]]


def play(folder: Path, scene: Scene, **tells: str | FetchError) -> list[EventDict]:
    """Run a scene with these accounts by profile; return what is logged."""
    structlog.reset_defaults()
    with capture_logs() as logs:
        world = World(folder, {name: Account(told) for name, told in tells.items()})

        async def whole(_: Stage) -> None:
            await scene(world)

        try:
            asyncio.run(world.play(whole))
        finally:
            for source in world.sources.values():
                source.may_tell.set()
    return logs


@pytest.fixture(autouse=True)
def _usual_logs() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_profiles_of_one_account_share_its_budget(tmp_path: Path) -> None:
    """Two profiles of one account are polled by one budget, a third of another account by its own."""

    async def scene(world: World) -> None:
        await world.until(lambda: world.is_polled("a", "b", "c"))
        assert world.names == [f"{ONE}/eu-west-1", f"{TWO}/eu-west-1"]
        assert [pool.account for pool in world.engine.pools()] == [
            f"{account}/eu-west-1" for account in (ONE, ONE, TWO)
        ]
        assert world.engine.stuck is None

    play(tmp_path, scene, a=ONE, b=ONE, c=TWO)


def test_an_account_not_told_is_told_apart(tmp_path: Path) -> None:
    """Where STS refuses, pools are polled all the same, by a budget of their credentials; the log says so once, without alarm."""

    async def scene(world: World) -> None:
        await world.until(lambda: world.is_polled("a", "b", "c"))
        assert world.names == [f"{ONE}/eu-west-1", "b/eu-west-1", "c/eu-west-1"]
        await world.reload()
        assert world.names == [f"{ONE}/eu-west-1", "b/eu-west-1", "c/eu-west-1"]

    logs = play(tmp_path, scene, a=ONE, b=DENIED, c=StandInError())
    (said,) = [line for line in logs if line["log_level"] != "debug"]
    assert (said["log_level"], said["account"], said["outcome"]) == ("info", "b/eu-west-1", "not_authorized")
    assert said["path"] == "user_pools[1].credentials.profile"


def test_sts_that_hangs_holds_up_its_own_pools_alone(tmp_path: Path) -> None:
    """While STS hangs for one profile the others are polled; after the request timeout its pools are too."""

    async def scene(world: World) -> None:
        world.sources["a"].may_tell.clear()
        await world.reload()
        world.sources["b"].asked.clear()
        await world.until(lambda: world.is_polled("b"))
        assert not world.is_polled("a")
        assert world.names == [f"{TWO}/eu-west-1"]
        await world.until(lambda: world.is_polled("a"))
        assert "a/eu-west-1" in world.names

    world_tells = {"a": ONE, "b": TWO}

    async def first(world: World) -> None:
        world.accounts = Accounts()
        world.sources["a"].asked.clear()
        await scene(world)

    play(tmp_path, first, **world_tells)


def test_a_reload_asks_sts_no_second_time(tmp_path: Path) -> None:
    """What STS has told holds for as long as the process lives."""

    async def scene(world: World) -> None:
        await world.until(lambda: world.is_polled("a"))
        for _ in range(2):
            await world.reload()
            assert world.names == [f"{ONE}/eu-west-1"]
        assert world.sources["a"].times_asked == 1

    play(tmp_path, scene, a=ONE)


def test_healed_credentials_are_grouped_anew(tmp_path: Path) -> None:
    """Once a pool answers again STS is asked at once, and the next engine has it with the others of its account."""

    async def scene(world: World) -> None:
        source = world.sources["b"]
        await world.until(lambda: world.is_polled("a", "b"))
        source.tells = ONE
        poller = world.engine.pollers[1]
        poller.health.answered(Outcome.CREDENTIALS, structlog.get_logger())
        await world.until(lambda: world.regroupings == 1)
        assert world.names == [f"{ONE}/eu-west-1", "b/eu-west-1"]
        await world.reload()
        assert world.names == [f"{ONE}/eu-west-1"]
        source.asked.clear()
        await world.until(lambda: world.is_polled("b"))
        assert world.engine.stuck is None

    play(tmp_path, scene, a=ONE, b=DENIED)


def test_an_account_of_one_budget_is_not_grouped_anew(tmp_path: Path) -> None:
    """Where nobody shares the account that STS tells late, the pools are polled on without a pause; a reload names it."""

    async def scene(world: World) -> None:
        source = world.sources["b"]
        await world.until(lambda: world.is_polled("a", "b"))
        source.tells = TWO
        world.engine.pollers[1].health.answered(Outcome.CREDENTIALS, structlog.get_logger())
        payer = payer_of(world.config.user_pools[1])
        await world.until(lambda: world.accounts.account(payer) == TWO)
        await asyncio.sleep(0.1)
        assert (world.regroupings, world.names) == (0, [f"{ONE}/eu-west-1", "b/eu-west-1"])
        await world.reload()
        assert world.names == [f"{ONE}/eu-west-1", f"{TWO}/eu-west-1"]

    play(tmp_path, scene, a=ONE, b=DENIED)


def test_a_budget_grouped_anew_forgets_no_throttling(tmp_path: Path) -> None:
    """A budget that takes the place of others may spend no greater part than the one of them that was throttled most."""

    async def scene(world: World) -> None:
        await world.until(lambda: world.is_polled("a", "b"))
        world.budgets["b/eu-west-1"].throttled(time.monotonic())
        world.sources["b"].tells = ONE
        world.engine.pollers[1].health.answered(Outcome.CREDENTIALS, structlog.get_logger())
        await world.until(lambda: world.regroupings == 1)
        await world.reload()
        (budget,) = world.engine.budgets()
        assert budget.account == f"{ONE}/eu-west-1"
        assert budget.allowed < 0.6 * budget.budget

    play(tmp_path, scene, a=ONE, b=DENIED)


def test_users_of_the_state_are_known_before_sts_answers(tmp_path: Path) -> None:
    """Readiness needs the state alone where that knows users: STS may take its time."""

    async def scene(world: World) -> None:
        await world.until(lambda: world.is_polled("a") and world.engine.ready)
        world.accounts = Accounts()
        world.sources["a"].may_tell.clear()
        await world.reload()
        assert world.engine.ready
        assert world.names == []
        assert world.engine.stuck is None

    play(tmp_path, scene, a=ONE)


def test_sts_is_left_alone_ever_longer() -> None:
    """STS that does not tell is asked again after a minute, then after twice as long, up to an hour; a stand-in's never."""
    accounts, payer = Accounts(), Payer(None, "a", "eu-west-1", None)
    waits = []
    for _ in range(8):
        accounts.not_told(payer)
        waits.append(accounts.wait(payer))
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    accounts.never_told(payer)
    assert accounts.wait(payer) is None


ROLE = f"arn:aws:iam::{ONE}:role/reader"
PAYERS: dict[str, tuple[dict[str, object], bool]] = {
    "a role": ({"credentials": {"role_arn": ROLE}}, True),
    "a role by a profile": ({"credentials": {"role_arn": ROLE, "profile": "a"}}, True),
    "a profile": ({"credentials": {"profile": "a"}}, False),
    "boto3's chain": ({}, False),
}


@pytest.mark.parametrize("case", PAYERS)
def test_a_role_names_its_account(case: str) -> None:
    """Pools with a role need no STS to know whom they charge; all others do."""
    fields, is_known = PAYERS[case]
    payer = payer_of(UserPool.model_validate({"id": "eu-west-1_Ab", "users": {"all": True}, **fields}))
    accounts = Accounts()
    assert accounts.is_settled(payer) is is_known
    accounts.tell(payer, ONE)
    assert accounts.name(payer) == f"{ONE}/eu-west-1"
