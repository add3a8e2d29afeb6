"""The web configuration file as frozen models: its keys, their defaults, what they may be."""

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    ValidationInfo,
    model_validator,
)

from exporter.web.bcrypt_hash import BcryptHash, parse_bcrypt_hash
from exporter.web.tls import CIPHERS, CLIENT_AUTH_POLICIES, CURVES, TLS_1_3_CIPHERS, VERSIONS
from exporter.web.toolkit_yaml import as_boolean, as_integer

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_DURATION = re.compile(rf"[-+]?(?:0|(?:{_PART.pattern})+)")


def _text(value: object) -> str:
    if value is not None and not isinstance(value, str):
        raise ValueError("this is no text")
    return str(value or "")


def _flag(value: object) -> bool:
    found = as_boolean(value)
    if found is None:
        raise ValueError("this is not true or false, without quotes")
    return found


def _integer(value: object) -> int:
    found = as_integer(value)
    if found is None:
        raise ValueError("this is not a whole number")
    return found


def _go_duration(value: object) -> float:
    """Return a duration in seconds (https://pkg.go.dev/time#ParseDuration); a number alone is of nanoseconds."""
    nanoseconds = as_integer(value)
    if nanoseconds is not None:
        return nanoseconds / 1e9
    if not isinstance(value, str) or not _DURATION.fullmatch(value):
        raise ValueError("this is no duration: write 1s, 500ms or 1m30s")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(value))
    return -seconds if value.startswith("-") else seconds


def _in_folder(value: str, info: ValidationInfo) -> Path | None:
    """Return a path as it is to be opened, or None for none: one that is relative belongs to the folder of the file."""
    if "\0" in value:
        raise ValueError("this is not a path")
    return Path(info.context["folder"] if info.context else "") / value if value else None


def _among(*names: str) -> AfterValidator:
    def check(value: str) -> str:
        if value not in names:
            raise ValueError(f'"{value[:80]}" is none of {", ".join(filter(None, names))}')
        return value

    return AfterValidator(check)


def _without_null(value: object) -> object:
    return [item for item in value if item is not None] if isinstance(value, list) else value


Text = Annotated[str, BeforeValidator(_text)]
Flag = Annotated[bool, BeforeValidator(_flag)]
FilePath = Annotated[Path | None, BeforeValidator(lambda value, info: _in_folder(_text(value), info))]
Hash = Annotated[InstanceOf[BcryptHash], BeforeValidator(lambda value: parse_bcrypt_hash(_text(value)))]
Version = Annotated[Text, _among(*VERSIONS)]
Cipher = Annotated[Text, _among(*CIPHERS, *TLS_1_3_CIPHERS)]
Curve = Annotated[Text, _among(*CURVES)]


class _Struct(BaseModel):
    """A mapping of known keys; one without a value is as if it were not there."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_the_default(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: each for key, each in value.items() if each is not None or key not in cls.model_fields}


class TLSServerConfig(_Struct):
    """What the server's TLS is made of."""

    cert: Text = ""
    key: Text = Field(default="", repr=False)
    client_ca: Text = ""
    cert_file: FilePath = None
    key_file: FilePath = None
    client_auth_type: Annotated[Text, _among("", *CLIENT_AUTH_POLICIES)] = ""
    client_ca_file: FilePath = None
    cipher_suites: tuple[Cipher | None, ...] | None = None
    curve_preferences: Annotated[tuple[Curve, ...], BeforeValidator(_without_null)] = ()
    min_version: Version = "TLS12"
    max_version: Version = "TLS13"
    prefer_server_cipher_suites: Flag = True
    client_allowed_sans: tuple[Text, ...] | None = None

    @property
    def enabled(self) -> bool:
        """Whether there is to be TLS, as the toolkit decides: other keys alone do not ask for it."""
        keys = (self.cert, self.key, self.client_ca, self.client_auth_type)
        return any((*keys, self.cert_file, self.key_file, self.client_ca_file))


class Headers(_Struct):
    """The headers that can be set; the toolkit knows these and no others."""

    content_security_policy: Text = Field(default="", alias="Content-Security-Policy")
    x_frame_options: Annotated[Text, _among("deny", "sameorigin")] = Field(default="", alias="X-Frame-Options")
    x_content_type_options: Annotated[Text, _among("nosniff")] = Field(default="", alias="X-Content-Type-Options")
    x_xss_protection: Text = Field(default="", alias="X-XSS-Protection")
    strict_transport_security: Text = Field(default="", alias="Strict-Transport-Security")

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_the_default(cls, value: Any) -> Any:
        """Take nothing for an empty text, which the toolkit checks as any other."""
        return value


class HTTPServerConfig(_Struct):
    """What the HTTP server does."""

    http2: Flag | None = None
    headers: Headers = Headers()


class RateLimit(_Struct):
    """How many requests are answered: one each `interval` seconds, and `burst` at once. An interval of 0 is no limit."""

    burst: Annotated[int, BeforeValidator(_integer)] = 0
    interval: Annotated[float, BeforeValidator(_go_duration)] = 0.0


class WebFile(_Struct):
    """The whole file."""

    tls_server_config: TLSServerConfig = TLSServerConfig()
    http_server_config: HTTPServerConfig = HTTPServerConfig()
    rate_limit: RateLimit = RateLimit()
    basic_auth_users: dict[Text, Hash] = Field(default={}, repr=False)
