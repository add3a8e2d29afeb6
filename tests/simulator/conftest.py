"""A scripted pool behind a simulator, and real boto3 clients for it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import boto3
import pytest
from botocore.config import Config
from mypy_boto3_cognito_idp import CognitoIdentityProviderClient

from exporter.simulator.server import Simulator
from exporter.simulator.world import ScriptedWorld

POOL = "eu-west-1_Scripted"
NOON = 1_750_000_000.0
"""The time at which everything here happens, in epoch seconds."""

Connect = Callable[[Simulator], CognitoIdentityProviderClient]
Serve = Callable[..., Simulator]


@pytest.fixture
def world() -> ScriptedWorld:
    """Return a world of one pool with a user called alice."""
    world = ScriptedWorld()
    world.add_pool(POOL)
    world.add_user(POOL, "alice", groups=["administrators"])
    return world


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that starts a simulator at noon; it is closed with the test."""
    with ExitStack() as running:

        def start(world: ScriptedWorld, **options: object) -> Simulator:
            simulator = Simulator(world, **{"clock": lambda: NOON, **options})  # type: ignore[arg-type]
            return running.enter_context(simulator)

        yield start


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Return a function that makes a client without retries."""
    with ExitStack() as opened:

        def client(simulator: Simulator) -> CognitoIdentityProviderClient:
            config = Config(retries={"total_max_attempts": 1}, read_timeout=1.0, connect_timeout=5.0)
            made = boto3.client(
                "cognito-idp",
                region_name="eu-west-1",
                endpoint_url=simulator.url,
                aws_access_key_id="testing",
                aws_secret_access_key="testing",
                config=config,
            )
            opened.callback(made.close)
            return made

        yield client


@pytest.fixture
def client(world: ScriptedWorld, serve: Serve, connect: Connect) -> CognitoIdentityProviderClient:
    """Return a client of a simulator over the scripted world."""
    return connect(serve(world))
