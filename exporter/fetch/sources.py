"""Makes the source of a configured pool: where configuration and the API of Cognito meet."""

from collections.abc import Callable
from functools import partial

from exporter.configuration.models import UserPool
from exporter.fetch.cognito import CognitoSource
from exporter.fetch.credentials import Identity, Sessions
from exporter.fetch.outcome import Outcome
from exporter.fetch.source import EventSource

RequestObserver = Callable[[str, str, Outcome, float], None]
"""(user_pool, operation, outcome, seconds); called from worker threads, once for each HTTP attempt."""

SourceFactory = Callable[[UserPool, float], EventSource]
"""(pool, request_timeout in seconds) -> source"""


def cognito_sources(observe: RequestObserver, static: tuple[str, str] | None = None) -> SourceFactory:
    """Return what makes a pool's source; `static` keys take the place of all others, for the simulator.

    All sources that it makes, before and after a reload, share their sessions.
    """
    sessions = Sessions()

    def source_of(pool: UserPool, request_timeout: float) -> EventSource:
        credentials = pool.credentials
        return CognitoSource(
            pool.id,
            region=pool.region,
            on_request=partial(observe, pool.name),
            request_timeout=request_timeout,
            endpoint_url=pool.endpoint_url,
            identity=Identity(
                profile=credentials.profile,
                role_arn=credentials.role_arn,
                external_id=credentials.external_id,
                role_session_name=credentials.role_session_name,
                use_fips=pool.use_fips_endpoint,
                static=static,
            ),
            sessions=sessions,
        )

    return source_of
