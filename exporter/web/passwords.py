"""Basic credentials (RFC 7617) checked against bcrypt, so that neither time nor load tells or takes more than it must."""

import base64
import binascii
import hmac
import ipaddress
import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from exporter.web.bcrypt_hash import LONGEST_PASSWORD, BcryptHash
from exporter.web.check_line import Check, CheckLine

_THREADS = 2
_MOST_REMEMBERED = 1024


class Verdict(Enum):
    """What becomes of a request."""

    ADMITTED = auto()
    REFUSED = auto()
    BUSY = auto()
    """Too many passwords are being checked, in all or from this address."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and a password, as they were sent."""

    user: str
    password: bytes


def parse_basic(authorizations: Sequence[bytes]) -> Credentials | None:
    """Return what the one Authorization header of a request says; None for none, several, or what could never be right."""
    if len(authorizations) != 1:
        return None
    scheme, _, token = authorizations[0].partition(b" ")
    try:
        user, colon, password = base64.b64decode(token.strip(b" "), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    secret = password.encode()
    if scheme.lower() != b"basic" or not colon or len(secret) > LONGEST_PASSWORD or b"\0" in secret:
        return None
    return Credentials(user, secret)


class Passwords:
    """Checks passwords in threads of its own; each right one is remembered, by a digest that nothing leads back from."""

    def __init__(
        self, *, check: Check = BcryptHash.matches, threads: int = _THREADS, most_remembered: int = _MOST_REMEMBERED
    ) -> None:
        self._line = CheckLine(check, threads)
        self._secret = secrets.token_bytes(32)
        self._most_remembered = most_remembered
        self._remembered: OrderedDict[bytes, None] = OrderedDict()

    async def verdict(self, authorizations: Sequence[bytes], users: Mapping[str, BcryptHash], client: str) -> Verdict:
        """Return whether whoever sends these Authorization headers from this address may come in."""
        credentials = parse_basic(authorizations)
        if credentials is None:
            return Verdict.REFUSED
        known = credentials.user in users
        decoy = self._decoy(credentials.user, users)  # looked up for known names as well, to take the same time
        found = users.get(credentials.user, decoy)
        key = self._digest(credentials.user.encode(), found.text.encode(), credentials.password)
        if known and self._is_remembered(key):
            return Verdict.ADMITTED
        matches = await self._line.matches(key, found, credentials.password, _site_of(client))
        if matches is None:
            return Verdict.BUSY
        if not (known and matches):
            return Verdict.REFUSED
        self._remember(key)
        return Verdict.ADMITTED

    def close(self) -> None:
        """Let the threads end."""
        self._line.close()

    def _decoy(self, user: str, users: Mapping[str, BcryptHash]) -> BcryptHash:
        """Return the hash that a name without one is checked against: always the same, so that its cost tells nothing."""
        hashes = tuple(users.values())
        return hashes[int.from_bytes(self._digest(user.encode())) % len(hashes)]

    def _digest(self, *parts: bytes) -> bytes:
        framed = b"".join(len(part).to_bytes(8) + part for part in parts)
        return hmac.digest(self._secret, framed, "sha256")

    def _is_remembered(self, key: bytes) -> bool:
        if key in self._remembered:
            self._remembered.move_to_end(key)
            return True
        return False

    def _remember(self, key: bytes) -> None:
        self._remembered[key] = None
        if len(self._remembered) > self._most_remembered:
            self._remembered.popitem(last=False)


def _site_of(client: str) -> str:
    """Return what is taken for one client: an IPv4 address, or a network of IPv6, of which everybody has one (RFC 6177)."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    if isinstance(address, ipaddress.IPv4Address):
        return client
    return str(address.ipv4_mapped or ipaddress.IPv6Network((address, 64), strict=False))
