"""What differs between two configurations."""

from collections.abc import Iterator, Mapping
from typing import Any

from exporter.configuration.models import Config


def changed_keys(before: Config, after: Config) -> list[str]:
    """Return the paths of the keys whose values differ, in the order of the file; pools are told apart by their ids."""
    return list(_changed(_by_pool(before), _by_pool(after), ""))


def _by_pool(config: Config) -> Mapping[str, Any]:
    pools = {f"user_pools[{pool.id}]": pool.model_dump() for pool in config.user_pools}
    return {**pools, **config.model_dump(exclude={"user_pools"})}


def _changed(before: Any, after: Any, path: str) -> Iterator[str]:
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        if before != after:
            yield path
        return
    for key in {**before, **after}:
        yield from _changed(before.get(key), after.get(key), f"{path}.{key}" if path else key)
