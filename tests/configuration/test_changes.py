"""What a reload says that it has changed: keys, and never what they say."""

from pathlib import Path

import pytest

from exporter.configuration.changes import changed_keys
from exporter.configuration.load import load

BEFORE = """
user_pools:
  - id: eu-west-1_A
    credentials: {role_arn: "arn:aws:iam::111122223333:role/reader", external_id: secret-one}
    users: {usernames: [alice]}
  - id: eu-west-1_B
    users: {all: true}
polling: {max_staleness: 20m}
"""
POOL_B = """  - id: eu-west-1_B
    users: {all: true}
"""


@pytest.mark.parametrize(
    ("old", "new", "keys"),
    [
        ("20m", "1200s", []),
        ("20m", "30m", ["polling.max_staleness"]),
        ("max_staleness: 20m", "min_interval: 20s", ["polling.max_staleness", "polling.min_interval"]),
        ("[alice]", "[alice, bob]", ["user_pools[eu-west-1_A].users.usernames"]),
        ("secret-one", "secret-two", ["user_pools[eu-west-1_A].credentials.external_id"]),
        (POOL_B, "", ["user_pools[eu-west-1_B]"]),
        (
            "eu-west-1_B",
            "eu-west-1_C\n    name: other",
            ["user_pools[eu-west-1_B]", "user_pools[eu-west-1_C]"],
        ),
        ("users: {all: true}", "name: b\n    users: {all: true}", ["user_pools[eu-west-1_B].name"]),
        ("polling:", "metrics: {country: none}\npolling:", ["metrics.country"]),
    ],
)
def test_changed_keys(tmp_path: Path, old: str, new: str, keys: list[str]) -> None:
    """The keys whose meaning has changed are named, those of a pool by its id; a value written otherwise is no change."""
    before, after = tmp_path / "before.yaml", tmp_path / "after.yaml"
    before.write_text(BEFORE)
    assert old in BEFORE
    after.write_text(BEFORE.replace(old, new))
    assert sorted(changed_keys(load(before), load(after))) == sorted(keys)


def test_no_change_of_place_is_a_change(tmp_path: Path) -> None:
    """Pools in another order are the same pools."""
    first, second = BEFORE.split(POOL_B)
    before, after = tmp_path / "before.yaml", tmp_path / "after.yaml"
    before.write_text(BEFORE)
    after.write_text(first.replace("user_pools:\n", "user_pools:\n" + POOL_B) + second)
    assert changed_keys(load(before), load(after)) == []
