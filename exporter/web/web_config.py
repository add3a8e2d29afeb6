"""Reads the web configuration file of exporter-toolkit: every mistake at once, each with its place, or the whole of it."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from exporter.configuration.document import Document, path_text, read_document
from exporter.configuration.errors import ConfigError, Problem
from exporter.configuration.load import validate
from exporter.web.bcrypt_hash import BcryptHash
from exporter.web.file_reader import FileReader, Stamp
from exporter.web.tls import TLSError, TLSOptions, TLSSettings, build_tls
from exporter.web.toolkit_yaml import ToolkitLoader
from exporter.web.web_models import RateLimit, TLSServerConfig, WebFile

_LARGEST = 1024 * 1024  # bytes; thousands of users, or a whole system's roots
_HINT = "name another with --web.config.file"
_TLS = "tls_server_config"
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class WebConfig:
    """What a web configuration file says, with the files it names."""

    tls: TLSSettings | None
    """None: plain HTTP."""

    headers: Mapping[str, str]
    """What each answer carries, by names as they are written in the file."""

    users: Mapping[str, BcryptHash] = field(repr=False)
    """Empty: no password is asked for."""

    rate_limit: RateLimit
    stamps: Mapping[Path, Stamp]
    """All files that were read, as they were before that."""

    digests: Mapping[str, bytes] = field(repr=False)
    """By key, what changes with its value or with the file that it names."""

    warnings: tuple[str, ...]
    """What is applied more strictly than it is written, or has no effect."""

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that were read."""
        return tuple(self.stamps)


class BrokenWebConfigError(ConfigError):
    """A web configuration that cannot be used; `stamps` are those of all files that were read, or looked for."""

    def __init__(self, error: ConfigError, stamps: Mapping[Path, Stamp]) -> None:
        super().__init__(error.problems)
        self.stamps = stamps


def load_web_config(path: Path) -> WebConfig:
    """Return what the file says; paths in it are relative to it. Raises `BrokenWebConfigError`, a `ConfigError`."""
    reader = FileReader(_LARGEST)
    try:
        return _load(path, reader)
    except ConfigError as error:
        raise BrokenWebConfigError(error, reader.stamps) from error


def _load(path: Path, reader: FileReader) -> WebConfig:
    reader.read(path, _HINT)  # a mistake in it is told from a disk that failed
    document = read_document(path, _HINT, ToolkitLoader, _LARGEST)
    if document.content is None:
        document.content = {}
    file = validate(WebFile, path, document, {"folder": path.parent})
    tls = _Tls(path, document, file.tls_server_config, reader)
    settings = tls.settings() if file.tls_server_config.enabled else None
    return WebConfig(
        tls=settings,
        headers=_headers(file),
        users=file.basic_auth_users,
        rate_limit=file.rate_limit,
        stamps=reader.stamps,
        digests=dict(_digests(file, tls.contents)),
        warnings=(*(settings.warnings if settings else ()), *_warnings(file)),
    )


class _Tls:
    """Makes the settings of one section; `contents` has what was read, by the keys of the section."""

    def __init__(self, path: Path, document: Document, section: TLSServerConfig, reader: FileReader) -> None:
        self._path = path
        self._document = document
        self._section = section
        self._reader = reader
        self._problems: list[Problem] = []
        self.contents: dict[str, bytes] = {}

    def settings(self) -> TLSSettings:
        """Return the settings. Raises `ConfigError` with every mistake in the section and its files."""
        section = self._section
        cert, key, client_ca = (self._content(part) for part in ("cert", "key", "client_ca"))
        for part, content in (("cert", cert), ("key", key)):
            if content is None:
                self._mistake("", f"{part}_file is missing: TLS takes a certificate and its key")
        self._check_policy()
        options = TLSOptions(
            cert=cert or b"",
            key=key or b"",
            client_ca=client_ca,
            client_auth_type=section.client_auth_type or "NoClientCert",
            **section.model_dump(include=set(_AS_THEY_ARE)),
        )
        return self._built(options)

    def _built(self, options: TLSOptions) -> TLSSettings:
        if self._problems:
            raise ConfigError(self._problems)
        try:
            return build_tls(options)
        except TLSError as error:
            self._mistake(self._key_of(error.part), str(error))
            raise ConfigError(self._problems) from error

    def _check_policy(self) -> None:
        section, policy = self._section, self._section.client_auth_type or "NoClientCert"
        if policy == "NoClientCert" and (section.client_ca_file or section.client_ca):
            self._mistake(
                self._key_of("client_ca"), "a client CA has no effect without client_auth_type: write that too"
            )
        if section.client_allowed_sans is not None and policy not in _WITH_CERTIFICATE:
            text = f"client_allowed_sans needs a client_auth_type of {' or '.join(_WITH_CERTIFICATE)}"
            self._mistake("client_allowed_sans", text)

    def _key_of(self, part: str) -> str:
        """Return the key that a part comes from: the file goes before the text, as in the toolkit."""
        return f"{part}_file" if getattr(self._section, f"{part}_file") else part

    def _content(self, part: str) -> bytes | None:
        """Return what a part holds; None where it is not given, or cannot be read, which is noted."""
        key = self._key_of(part)
        value: Path | str = getattr(self._section, key)
        try:
            found = self._reader.read(value, "name another") if isinstance(value, Path) else value.encode()
        except ConfigError as error:
            self._mistake(key, "; ".join(map(str, error.problems)))
            return b""
        self.contents[key] = found
        return found or (b"" if isinstance(value, Path) else None)

    def _mistake(self, key: str, text: str) -> None:
        place = (_TLS, key) if key else (_TLS,)
        line, column = self._document.position(place)
        self._problems.append(Problem(self._path, text, line, column, path_text(place)))


_AS_THEY_ARE = frozenset(
    [
        "min_version",
        "max_version",
        "cipher_suites",
        "curve_preferences",
        "prefer_server_cipher_suites",
        "client_allowed_sans",
    ]
)
_WITH_CERTIFICATE = ("RequireAndVerifyClientCert", "RequireAnyClientCert", "RequireClientCert")


def _headers(file: WebFile) -> dict[str, str]:
    """Return the headers that are not blank; what could end a line becomes a blank, as in Go (net/http, Header.Write)."""
    written = file.http_server_config.headers.model_dump(by_alias=True)
    clean = {name: _CONTROL.sub(" ", value).strip(" \t") for name, value in written.items()}
    return {name: value for name, value in clean.items() if value}


def _warnings(file: WebFile) -> Iterator[str]:
    if file.http_server_config.http2:
        yield "http2 has no effect: this server speaks HTTP/1.1"
    for name, found in file.basic_auth_users.items():
        if not found.usable:
            yield f'no password matches the hash of "{name}" in basic_auth_users: make it anew'
    if file.rate_limit.interval > 0 and file.rate_limit.burst < 1:
        yield "rate_limit has a burst of 0: no request is answered"


def _digests(file: WebFile, contents: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield by key a digest of what it says: enough to tell of a change, and no secret."""
    for key, value in file.tls_server_config.model_dump().items():
        yield f"{_TLS}.{key}", _digest((value, contents.get(key)))
    for name, value in file.http_server_config.headers.model_dump(by_alias=True).items():
        yield f"http_server_config.headers.{name}", _digest(value)
    yield "http_server_config.http2", _digest(file.http_server_config.http2)
    yield "rate_limit", _digest(file.rate_limit.model_dump())
    yield "basic_auth_users", _digest(sorted((name, found.text) for name, found in file.basic_auth_users.items()))


def _digest(value: object) -> bytes:
    return hashlib.sha256(repr(value).encode()).digest()
