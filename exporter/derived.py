"""What the parts of the exporter have to know of the configuration, each in its own words."""

from exporter.configuration.models import Config
from exporter.event.line import EventLine
from exporter.ledger.rules import Settings
from exporter.metrics.view import Presentation


def ledger_settings(config: Config) -> Settings:
    """Return what the ledger has to know of the configuration."""
    return Settings(
        settle=config.counting.settle,
        overlap=config.counting.overlap,
        recent_window=config.metrics.recent_window,
        series_hold=config.metrics.series_hold,
        max_series=config.metrics.max_series,
        per_user=config.metrics.per_user != "none",
    )


def presentation(config: Config, state_hash_key: bytes) -> Presentation:
    """Return how labels are shown; users are hashed by the key in the state, where the configuration names none."""
    metrics = config.metrics
    return Presentation(metrics.country, metrics.per_user, _hash_key(config, state_hash_key), metrics.recent_window)


def event_line(config: Config, state_hash_key: bytes) -> EventLine | None:
    """Return how lines of the event log are made, None where there is none."""
    if config.event_log.path == "":
        return None
    names = {pool.id: pool.name for pool in config.user_pools}
    personal_data = config.event_log.personal_data or config.metrics.per_user
    return EventLine(names, personal_data, _hash_key(config, state_hash_key))


def _hash_key(config: Config, state_hash_key: bytes) -> bytes:
    file = config.metrics.hash_key_file
    return state_hash_key if file is None else file.get_secret_value()
