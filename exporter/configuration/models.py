"""The configuration as frozen models: every key, its default, what it may be. All durations are in seconds."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretBytes,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from exporter.configuration.durations import DURATION, parse_duration
from exporter.configuration.errors import ConfigError
from exporter.configuration.key_file import read_key
from exporter.configuration.users_file import check_username, check_users_file

_LONGEST = 3650 * 86_400.0
_POOL_ID = re.compile(r"[\w-]+_[0-9A-Za-z]+", re.ASCII)  # botocore's model, UserPoolIdType
_REGION = re.compile(r"[a-z0-9]+(-[a-z0-9]+)+")
_ROLE_ARN = re.compile(r"arn:[a-z0-9-]+:iam::[0-9]{12}:role/[\w+=,.@/-]+", re.ASCII)
# https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
_EXTERNAL_ID = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)
_ROLE_SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
# One attribute, `=` or `^=`, a value in quotes: https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/API_ListUsers.html
_FILTER = re.compile(r'\s*[\w:]+\s*\^?=\s*"(?:[^"\\]|\\.)*"\s*', re.DOTALL)
_LONGEST_FILTER = 256
_STATE_ENDINGS = ("", "-wal", "-shm", "-journal")  # https://www.sqlite.org/tempfiles.html


def _duration(value: object) -> float:
    seconds = parse_duration(value)
    if seconds > _LONGEST:
        raise ValueError("longer than 3650d")
    return seconds


Duration = Annotated[
    float, BeforeValidator(_duration), WithJsonSchema({"type": "string", "pattern": f"^{DURATION.pattern}$"})
]
"""Seconds, written as `90s`, `15m`, `1h30m`, `24h`, `2d`."""


def _matching(pattern: re.Pattern[str], text: str) -> AfterValidator:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(text)
        return value

    return AfterValidator(check)


def _duration_by_default(default: str) -> Any:
    """Return a field that holds a duration by default, written and validated as in a file."""
    return Field(default=default, validate_default=True)


def _section() -> Any:
    """Return a field that holds a model of its defaults, validated so that paths among them find their folder."""
    return Field(default_factory=dict, validate_default=True)


def _region_of(data: dict[str, Any]) -> str:
    return str(data.get("id", "")).partition("_")[0]


def _endpoint(value: str) -> str:
    try:
        url = urlsplit(value)
        usable = url.scheme in {"http", "https"} and url.hostname and not (url.query or url.fragment or url.username)
        usable = usable and (url.port is None or url.port > 0)
    except ValueError:
        usable = False
    if not usable:
        shown = "what is written (not shown, as it has an @)" if "@" in value else f'"{value}"'
        raise ValueError(f"{shown} is no endpoint: write https://host or http://127.0.0.1:4566")
    return value


def _in_folder(value: object, info: ValidationInfo) -> object:
    """Return a path as it is to be opened: one that is relative belongs to the folder of the configuration."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("not a path: write a text")
    folder = info.context["folder"] if info.context else Path()
    return Path(folder) / value


def _readable(path: Path) -> Path:
    try:
        check_users_file(path)
    except ConfigError as error:
        raise ValueError("; ".join(map(str, error.problems))) from error
    return path


def _hash_key(value: object, info: ValidationInfo) -> bytes:
    """Return the key in a file, without the line's end that editors add."""
    try:
        return read_key(Path(str(_in_folder(value, info))))
    except ConfigError as error:
        raise ValueError("; ".join(map(str, error.problems))) from error


def _event_log_path(value: object, info: ValidationInfo) -> object:
    return value if value in {"", "-"} else _in_folder(value, info)


def _state_path(value: object, info: ValidationInfo) -> object:
    return value if value == ":memory:" else _in_folder(value, info)


def _start(value: object) -> object:
    """Return `now`, `beginning`, seconds back from the selection, or an aware time."""
    text = str(value)
    if text in {"now", "beginning"}:
        return text
    if isinstance(value, str) and DURATION.fullmatch(text):
        return _duration(text)
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo is not None else _no_start(text)
    except (ValueError, OverflowError):
        return _no_start(text)


def _no_start(text: str) -> NoReturn:
    raise ValueError(
        f"{text} is no start: write now, beginning, how far back as 24h, or an RFC 3339 time as 2026-01-31T00:00:00Z"
    )


_PathText = WithJsonSchema({"type": "string"})
Username = Annotated[StrictStr, AfterValidator(check_username)]
UsersFile = Annotated[Path, BeforeValidator(_in_folder), AfterValidator(_readable), _PathText]
StatePath = Annotated[Path | Literal[":memory:"], BeforeValidator(_state_path), _PathText]
HashKeyFile = Annotated[SecretBytes, BeforeValidator(_hash_key), _PathText]
EventLogPath = Annotated[Literal["", "-"] | Path, BeforeValidator(_event_log_path), _PathText]
PoolId = Annotated[
    StrictStr, Field(max_length=55), _matching(_POOL_ID, "not the id of a user pool: it looks like eu-west-1_Ab129faBb")
]
Region = Annotated[StrictStr, _matching(_REGION, "not a Region: write it as eu-west-1")]
LabelValue = Annotated[StrictStr, _matching(re.compile(r"[^\x00-\x1f\x7f]{1,128}"), "a name has 1 to 128 characters")]
Group = Annotated[StrictStr, _matching(re.compile(r"\S{1,128}"), "a group has 1 to 128 characters and no white space")]
Filter = Annotated[
    StrictStr,
    Field(max_length=_LONGEST_FILTER),
    _matching(
        _FILTER, 'not a ListUsers filter: write one attribute, = or ^=, a value in double quotes: status = "Enabled"'
    ),
]
RoleArn = Annotated[
    StrictStr, _matching(_ROLE_ARN, "not the ARN of a role: arn:aws:iam::111122223333:role/auth-events-reader")
]
ExternalId = Annotated[StrictStr, _matching(_EXTERNAL_ID, "2 to 1224 letters, digits or any of +=,.@:/-")]
RoleSessionName = Annotated[StrictStr, _matching(_ROLE_SESSION_NAME, "2 to 64 letters, digits or any of +=,.@-")]
Start = Annotated[
    Literal["now", "beginning"] | float | datetime, BeforeValidator(_start), WithJsonSchema({"type": "string"})
]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Credentials(_Model):
    """Who asks; without any key, boto3's own chain."""

    profile: Annotated[StrictStr, Field(min_length=1)] | None = None
    """A profile of the AWS configuration files."""

    role_arn: RoleArn | None = None
    """A role to assume, with the credentials of the profile or of boto3's chain."""

    external_id: ExternalId | None = None
    """The external id that the role's trust policy asks for; only with `role_arn`."""

    role_session_name: RoleSessionName | None = None
    """The name of the role's sessions, as CloudTrail shows it; only with `role_arn`, by default cognito-auth-exporter."""

    @field_validator("external_id", "role_session_name")
    @classmethod
    def _belongs_to_a_role(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("role_arn", "") is None:
            raise ValueError(f"{info.field_name} means nothing without role_arn")
        return value


class Selectors(_Model):
    """Whose events: at least one selector; whoever is matched twice is polled once."""

    usernames: tuple[Username, ...] = ()
    """User names, aliases (e-mail, phone) or subs, each 1 to 128 characters without white space."""

    files: tuple[UsersFile, ...] = ()
    """Files of user names, one a line; relative to the configuration file, read at each discovery."""

    groups: tuple[Group, ...] = ()
    """Groups, whose members are polled; who is disabled is left out."""

    filters: tuple[Filter, ...] = ()
    """Filter expressions of ListUsers, as `status = "Enabled"`: one attribute, `=` or `^=`, a value in double quotes."""

    all: StrictBool = False
    """Every user of the pool."""

    exclude: tuple[Username, ...] = ()
    """User names that are not polled, whatever selects them."""

    @model_validator(mode="after")
    def _selects_somebody(self) -> Self:
        if not (self.usernames or self.files or self.groups or self.filters or self.all):
            raise ValueError("selects nobody: give usernames, files, groups, filters, or all: true")
        return self


class UserPool(_Model):
    """One user pool."""

    id: PoolId
    """The user pool's id, as eu-west-1_Ab129faBb; each pool has an id and a name of its own."""

    name: LabelValue = Field(default_factory=lambda data: str(data.get("id", "")))
    """The value of the label `user_pool`, 1 to 128 characters; by default the id. With another name the pool keeps its counts."""

    region: Region = Field(default_factory=_region_of, validate_default=True)
    """The pool's Region; by default what stands before the `_` of the id."""

    endpoint_url: Annotated[StrictStr, AfterValidator(_endpoint)] | None = None
    """Where to ask, as https://host; by default AWS's own endpoint."""

    use_fips_endpoint: StrictBool | None = None
    """Whether to ask AWS's FIPS endpoint, not beside `endpoint_url`; by default as AWS_USE_FIPS_ENDPOINT or the profile says."""

    credentials: Credentials = _section()
    """Who asks; by default boto3's own chain."""

    users: Selectors
    """Whose events."""

    @field_validator("use_fips_endpoint")
    @classmethod
    def _one_endpoint(cls, value: bool | None, info: ValidationInfo) -> bool | None:
        if value and info.data.get("endpoint_url") is not None:
            raise ValueError("endpoint_url names the endpoint already: give one of the two")
        return value


class Polling(_Model):
    """How often to ask."""

    requests_per_second: Annotated[float, Field(strict=True, gt=0, le=10_000, allow_inf_nan=False)] = 5.0
    """The budget of one AWS account in one Region: all its pools and all requests together."""

    max_staleness: Duration = _duration_by_default("15m")
    """Nobody waits longer than this for a poll, as far as the budget goes; at least 1s."""

    min_interval: Duration = _duration_by_default("15s")
    """Nobody is polled more often; at least 1s, and not above `max_staleness`."""

    discovery_interval: Duration = _duration_by_default("10m")
    """Files, groups, filters and all are looked up again this often; at least 1s."""

    request_timeout: Duration = _duration_by_default("10s")
    """How long one request may take; at least 1s."""

    max_pages: Annotated[StrictInt, Field(ge=1, le=100_000)] = 200
    """The deepest walk into one user's history, in pages of 60 events; what is deeper is missed, and said."""

    @field_validator("max_staleness", "min_interval", "discovery_interval", "request_timeout")
    @classmethod
    def _at_least_a_second(cls, value: float) -> float:
        if value < 1.0:
            raise ValueError("has to be at least 1s")
        return value

    @field_validator("min_interval")
    @classmethod
    def _fits_staleness(cls, value: float, info: ValidationInfo) -> float:
        if value > info.data.get("max_staleness", value):
            raise ValueError("min_interval is above max_staleness: nobody could be polled in time")
        return value


class Counting(_Model):
    """What is counted, and when it is final."""

    start: Start = "now"
    """From when on to count for a user first seen: now, beginning, how far back (24h), or an RFC 3339 time."""

    settle: Duration = _duration_by_default("15m")
    """An event still in progress this long after its creation is counted as InProgress."""

    overlap: Duration = _duration_by_default("10m")
    """How late an event may turn up and still be counted."""


class State(_Model):
    """Where counts are kept."""

    path: StatePath = Field(default="data/cognito-auth-exporter.db", validate_default=True)
    """The state file, relative to the configuration file; ":memory:" keeps nothing. The one key that a reload cannot change."""


class Metrics(_Model):
    """How counts are shown."""

    country: Literal["code", "name", "none"] = "code"
    """The label `country`: an ISO 3166-1 alpha-2 code, the name as Cognito writes it, or none."""

    recent_window: Duration = _duration_by_default("1h")
    """How far back the gauges of recent events look."""

    series_hold: Duration = _duration_by_default("60s")
    """How long a new series stands at 0 before it takes its value; twice the scrape interval or more."""

    max_series: Annotated[StrictInt, Field(ge=1, le=10_000_000)] = 5000
    """A pool's series in one family; beyond, the country becomes "other"."""

    per_user: Literal["none", "hashed", "plain"] = "none"
    """Whether families by user are shown, and how the user is named in them."""

    hash_key_file: HashKeyFile | None = None
    """A file of 16 to 1024 bytes by which user names are hashed, so that exporters agree; by default the state's own key."""


class EventLog(_Model):
    """A line for each counted event."""

    path: EventLogPath = ""
    """Where to write it: a file, relative to the configuration file, "-" for standard output, or "" for nowhere."""

    personal_data: Literal["none", "hashed", "plain"] | None = None
    """Whether user name, address, city and device are left out, hashed or written; by default as metrics.per_user says."""


class Config(_Model):
    """The whole configuration."""

    user_pools: Annotated[tuple[UserPool, ...], Field(json_schema_extra={"minItems": 1})]
    """The user pools to poll."""

    polling: Polling = _section()
    """How often to ask."""

    counting: Counting = _section()
    """What is counted, and when it is final."""

    state: State = _section()
    """Where counts are kept."""

    metrics: Metrics = _section()
    """How counts are shown."""

    event_log: EventLog = _section()
    """A line for each counted event."""

    @field_validator("event_log")
    @classmethod
    def _apart_from_the_state(cls, value: EventLog, info: ValidationInfo) -> EventLog:
        state = info.data.get("state")
        if state is not None and str(value.path) in {f"{state.path}{ending}" for ending in _STATE_ENDINGS}:
            raise ValueError("path is that of the state file: name another")
        if info.context and value.path == info.context.get("file"):
            raise ValueError("path is that of the configuration: name another")
        return value

    @field_validator("user_pools")
    @classmethod
    def _at_least_one(cls, value: tuple[UserPool, ...]) -> tuple[UserPool, ...]:
        if not value:
            raise ValueError("has to have at least one item")
        return value
