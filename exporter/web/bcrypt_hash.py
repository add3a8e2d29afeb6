"""A bcrypt hash as Go's x/crypto reads it: https://pkg.go.dev/golang.org/x/crypto/bcrypt."""

import hmac
import re
from dataclasses import dataclass

import bcrypt

LONGEST_PASSWORD = 72
"""In bytes; bcrypt does not look at more."""

# Go looks at neither the letter after the 2 nor what stands before the salt; what follows the 60th byte does not count
_HASH = re.compile(rb"\$[\x00-2](?:\$|[^$].)(?P<cost>[0-9]{2}|\+[0-9]).(?P<salt>.{22})(?P<digest>.{30,})", re.DOTALL)
_SHORTEST = 59
_LEAST_COST, _HIGHEST_COST = 4, 31
_ALPHABET = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_DIGEST_BYTES = 31
_ANY_SALT = b"." * 22


@dataclass(frozen=True, slots=True)
class BcryptHash:
    """A password's hash. Without a `digest` no password matches, and being told so takes as long as with one."""

    text: str
    cost: int
    salt: bytes
    digest: bytes

    @property
    def usable(self) -> bool:
        """Whether there can be a password for it."""
        return bool(self.digest)

    def matches(self, password: bytes) -> bool:
        """Return whether this is the password; takes the time of the hash's cost."""
        computed = bcrypt.hashpw(password, b"$2b$%02d$%s" % (self.cost, self.salt))[-_DIGEST_BYTES:]
        return hmac.compare_digest(computed, self.digest)


def parse_bcrypt_hash(text: str) -> BcryptHash:
    """Return the hash; the ValueError says what is wrong with it, and does not show it."""
    raw = text.encode()
    match = _HASH.match(raw)
    if match is None or len(raw) < _SHORTEST:
        raise ValueError("not a bcrypt hash: write what `htpasswd -nBC 10 ''` prints after the colon")
    cost = int(match["cost"])
    if not _LEAST_COST <= cost <= _HIGHEST_COST:
        raise ValueError(f"the cost of a bcrypt hash is from {_LEAST_COST} to {_HIGHEST_COST}, not {cost}")
    salt, digest = match["salt"], match["digest"][:_DIGEST_BYTES]
    if set(salt) <= set(_ALPHABET) and len(digest) == _DIGEST_BYTES:
        return BcryptHash(text, cost, _canonical(salt), digest)
    return BcryptHash(text, cost, _ANY_SALT, b"")


def _canonical(salt: bytes) -> bytes:
    """Return the salt with the bits unset that belong to none of its 16 bytes: Go ignores them, the library does not."""
    last = _ALPHABET.index(salt[-1]) & 0b110000
    return salt[:-1] + _ALPHABET[last : last + 1]
