"""Whose credentials sign: boto3's own chain, profiles and roles, one session for all pools that have the same in a Region."""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore
import botocore.session
from botocore.client import BaseClient
from botocore.config import Config
from botocore.credentials import (
    CredentialProvider,
    CredentialResolver,
    Credentials,
    DeferredRefreshableCredentials,
    RefreshableCredentials,
)
from botocore.exceptions import NoCredentialsError, UnknownRegionError
from botocore.loaders import Loader, create_loader

from exporter import __version__
from exporter.fetch.exchange import Attempts
from exporter.fetch.failure import ASSUME_ROLE, LOOK_UP, SET_UP, Exchange, failure_of, refuses_keys
from exporter.fetch.outcome import FetchError, Outcome, StandInError
from exporter.fetch.source import Caller

_USER_AGENT = f"cognito-auth-exporter/{__version__} Boto3/{boto3.__version__} Botocore/{botocore.__version__}"
_COGNITO = "cognito-idp"
_STS = "sts"
_TAKEN_OVER = frozenset({_COGNITO, _STS})
_ROLE_SESSION_NAME = "cognito-auth-exporter"
_FAILURE_SHARED = 5.0  # seconds
_NO_PROFILE: dict[str, tuple[Any, Any, Any, Any]] = {"profile": (None, None, None, None)}  # whatever AWS_PROFILE says
_Keys = Mapping[str, Any]
_AWS = ("amazonaws.com", "amazonaws.com.cn", "amazonaws.eu", "api.aws")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: boto3's own chain or a profile, and the role it assumes.

    `use_fips` is whether STS is asked at its FIPS endpoint, None where environment and profile say. `static`, an access key's id
    and secret, is for the simulator: it takes the place of all that, of `AWS_PROFILE` and of proxies too.
    """

    profile: str | None = None
    role_arn: str | None = None
    external_id: str | None = None
    role_session_name: str | None = None
    use_fips: bool | None = None
    static: tuple[str, str] | None = field(default=None, repr=False)

    @property
    def source_key(self) -> str:
        """The key of a pool's configuration that says whose credentials these are, or which assume the role."""
        return "credentials" if self.profile is None else "credentials.profile"

    @property
    def key(self) -> str:
        """The key of a pool's configuration that says whose credentials sign its requests."""
        return self.source_key if self.role_arn is None else "credentials.role_arn"

    @property
    def role(self) -> Mapping[str, str]:
        """The parameters of AssumeRole."""
        session_name = self.role_session_name or _ROLE_SESSION_NAME
        role = {"RoleArn": self.role_arn, "RoleSessionName": session_name, "ExternalId": self.external_id}
        return {name: value for name, value in role.items() if value is not None}


class Sessions:
    """The sessions of all sources: those with the same identity in the same Region share one.

    The Region is part of it so that STS of one Region, where it does not answer, cannot hold up the pools of another.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Take a clock that never goes back."""
        self.attempts = Attempts(monotonic)
        self._lock = threading.Lock()
        self._shared: dict[tuple[Identity, str, float], SharedSession] = {}

    def lease(self, identity: Identity, region: str, timeout: float) -> "SharedSession":
        """Return the session of an identity, whose requests take `timeout` seconds at most; to be given back."""
        with self._lock:
            key = identity, region, timeout
            shared = self._shared.setdefault(key, SharedSession(identity, region, timeout, self.attempts))
            shared.leases += 1
            return shared

    def give_back(self, shared: "SharedSession") -> None:
        """Forget a session that nobody uses any more."""
        with self._lock:
            shared.leases -= 1
            if not shared.leases:
                self._shared = {key: each for key, each in self._shared.items() if each is not shared}


@dataclass(frozen=True, slots=True)
class Connection:
    """A client of Cognito, and the session whose credentials sign its requests."""

    client: BaseClient
    session: "_Session"


class SharedSession:
    """A session of botocore: made when it is first needed, and anew once its credentials have failed."""

    def __init__(self, identity: Identity, region: str, timeout: float, attempts: Attempts) -> None:
        self.identity = identity
        self.leases = 0
        self._region = region
        self._timeout = timeout
        self.attempts = attempts
        self._lock = threading.Lock()
        self._session: _Session | None = None
        self._failure: tuple[float, Exception] | None = None

    def connect(self, endpoint_url: str | None, asked_at: float) -> Connection:
        """Return a new client of Cognito; it keeps its credentials when others are looked for.

        Threads that asked before a look-up failed and waited behind it share its failure: it may have taken long.
        """
        with self._lock:
            if self._failure is not None and self._failure[0] > asked_at:
                raise self._failure[1]
            try:
                return self._connection(endpoint_url)
            except SET_UP as error:
                self._session, self._failure = None, (self.attempts.monotonic(), error)
                raise

    def _connection(self, endpoint_url: str | None) -> Connection:
        session = self._session = self._session or self._new_session()
        # some versions of botocore refuse both: an endpoint that is given is asked, whatever the environment says of all others
        fips = self.identity.use_fips if endpoint_url is None else False
        return Connection(session.client(_COGNITO, self._region, fips, endpoint_url=endpoint_url), session)

    def forget(self, connection: Connection) -> None:
        """Look for credentials anew, as those of a connection have failed, where that has not been done meanwhile."""
        with self._lock:
            if self._session is connection.session:
                self._session = None

    def caller(self, connection: Connection) -> Caller:
        """Return who asks, by STS. Raises `StandInError` where AWS would be asked about the caller of a stand-in."""
        if self.identity.static is not None:
            raise StandInError
        with self._lock:
            sts = connection.session.client(_STS, self._region, self.identity.use_fips)
        with closing(sts):
            if _is_aws(sts.meta.endpoint_url) and not _is_aws(connection.client.meta.endpoint_url):
                raise StandInError
            answer = sts.get_caller_identity()  # type: ignore[attr-defined]
        return Caller(answer["Account"], answer["Arn"])

    # -- sessions ------------------------------------------------------------------------------------------------------

    def _new_session(self) -> "_Session":
        identity = self.identity
        if identity.static is not None:
            session = self._session_of(None, session_vars=_NO_PROFILE)
            session.set_credentials(*identity.static)
            return session
        session = self._session_of(identity.profile, key=identity.source_key)
        return session if identity.role_arn is None else self._role_session(session)

    def _session_of(self, profile: str | None, key: str = "", **more: Any) -> "_Session":
        guard = partial(_SharedFailure, key, self.attempts.monotonic)
        return _Session(profile, self.identity.use_fips, self._take_over, guard, _client_config(self._timeout), **more)

    def _take_over(self, client: BaseClient, session: botocore.session.Session) -> None:
        direct, inner = self.identity.static is not None, client.meta.service_model.service_name == _STS
        self.attempts.take_over(client, session, self._timeout, direct=direct, inner=inner)

    # -- the role ------------------------------------------------------------------------------------------------------

    def _role_session(self, source: "_Session") -> "_Session":
        """Return a session of the same profile whose credentials are those of the role, which the source's assume."""
        session = self._session_of(self.identity.profile, key=self.identity.key)
        provider = _RoleProvider(partial(self._role_keys, source))
        session.register_component("credential_provider", CredentialResolver([provider]))
        return session

    def _role_keys(self, source: "_Session") -> dict[str, str]:
        """Assume the role. Raises `FetchError`, whose key is the role's, or that of who cannot assume it for want of keys."""
        key = self.identity.source_key
        try:
            with closing(source.client(_STS, self._region, self.identity.use_fips)) as sts:
                source.get_credentials().get_frozen_credentials()  # by itself, so that its failure is known for what it is
                key = self.identity.key
                return _keys_in(sts.assume_role(**self.identity.role))  # type: ignore[attr-defined]
        except Exception as error:  # noqa: BLE001 - whatever it is, it is an outcome
            failure = failure_of(error, ASSUME_ROLE, Exchange())
            failure.key = self.identity.source_key if refuses_keys(error) else key
            raise failure from None


def _keys_in(answer: Mapping[str, Any]) -> dict[str, str]:
    try:
        keys = answer["Credentials"]
        return {
            "access_key": keys["AccessKeyId"],
            "secret_key": keys["SecretAccessKey"],
            "token": keys["SessionToken"],
            "expiry_time": keys["Expiration"].isoformat(),
        }
    except (KeyError, AttributeError):
        raise FetchError(Outcome.MALFORMED, f"{ASSUME_ROLE}: the answer holds no keys") from None


class _RoleProvider(CredentialProvider):
    """Gives botocore the credentials of a role, fetched at the first signature and again before they expire."""

    METHOD = "assume-role"

    def __init__(self, refresh: Callable[[], dict[str, str]]) -> None:
        super().__init__()
        self._refresh = refresh

    def load(self) -> DeferredRefreshableCredentials:
        return DeferredRefreshableCredentials(refresh_using=self._refresh, method=self.METHOD)


class _SharedFailure:
    """Fetches credentials, for which one thread at a time has botocore's lock; a failure names the key that it is about.

    Threads that waited behind an attempt that failed share its failure, not a timeout each. While old keys still work, so
    do those who come to refresh them early, at each of their requests.
    """

    def __init__(self, key: str, monotonic: Callable[[], float], fetch: Callable[[], _Keys]) -> None:
        self._key = key
        self._monotonic = monotonic
        self._fetch = fetch
        self._failure: tuple[float, FetchError] | None = None

    def __call__(self) -> _Keys:
        if self._failure is not None and self._monotonic() < self._failure[0] + _FAILURE_SHARED:
            raise FetchError(self._failure[1].outcome, str(self._failure[1]), self._failure[1].key)
        try:
            return self._fetch()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is an outcome
            failure = failure_of(error, LOOK_UP, Exchange())
            failure.key = failure.key or self._key
            self._failure = self._monotonic(), failure
            raise failure from None


class _Session(botocore.session.Session):
    """A session whose requests to Cognito and STS, those of its own look-up of credentials among them, are taken over."""

    def __init__(
        self,
        profile: str | None,
        use_fips: bool | None,
        take_over: Callable[[BaseClient, botocore.session.Session], None],
        guard: Callable[[Callable[[], _Keys]], _SharedFailure],
        config: Config,
        **more: Any,
    ) -> None:
        super().__init__(profile=profile, **more)
        self.register_component("data_loader", _models())
        self.set_default_client_config(config)  # reaches the clients that botocore makes to look for credentials
        self._sts_config = _fips_config(use_fips)
        self._taken_over = take_over
        self._guard = guard

    def client(self, service: str, region: str, fips: bool | None, endpoint_url: str | None = None) -> BaseClient:
        """Return a new client."""
        config = _fips_config(fips)
        return self.create_client(service, region_name=region, endpoint_url=endpoint_url, config=config)

    def create_client(self, service_name: str, *, config: Config | None = None, **more: Any) -> BaseClient:  # type: ignore[override]
        """Return a new client, as botocore calls this to look for credentials too."""
        if service_name == _STS:
            config = self._sts_config if config is None else self._sts_config.merge(config)
        client: BaseClient = super().create_client(service_name, config=config, **more)
        if service_name in _TAKEN_OVER:  # others, of single sign-on, have their bounds by the default configuration
            self._taken_over(client, self)
        return client

    def get_credentials(self) -> Credentials:
        """Return the credentials. Raises `NoCredentialsError` at once where there are none: to look may have taken long."""
        found = super().get_credentials()
        if found is None:
            raise NoCredentialsError
        if isinstance(found, RefreshableCredentials):
            self._share_failures(found)
        return found

    def _share_failures(self, found: Any) -> None:
        """Guard what refreshes credentials, to which botocore leaves no public way."""
        if not isinstance(found._refresh_using, _SharedFailure):  # noqa: SLF001
            found._refresh_using = self._guard(found._refresh_using)  # noqa: SLF001


def _client_config(timeout: float) -> Config:
    return Config(
        connect_timeout=timeout,
        read_timeout=timeout,
        retries={"total_max_attempts": 1, "mode": "standard"},  # a hidden retry would spend quota that no budget sees
        user_agent=_USER_AGENT,  # put together anew for each request otherwise, for 0.01 ms
        parameter_validation=False,  # 0.01 ms for each request too; `CognitoSource._call` checks what could be wrong
    )


def _fips_config(use_fips: bool | None) -> Config:
    return Config() if use_fips is None else Config(use_fips_endpoint=use_fips)


@cache
def _models() -> Loader:
    """Return the loader of AWS's service models; a session with one of its own reads 12 MB anew at each rebuild."""
    return create_loader()


def partition_of(region: str) -> str:
    """Return the partition of a Region, as ARNs have it: `aws`, `aws-us-gov`; `aws` for one that botocore does not know."""
    session = botocore.session.Session(session_vars=_NO_PROFILE)
    try:
        return session.get_partition_for_region(region)
    except UnknownRegionError:
        return "aws"


def _is_aws(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return any(host == domain or host.endswith(f".{domain}") for domain in _AWS)
