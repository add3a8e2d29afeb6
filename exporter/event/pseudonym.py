"""What stands for a user name where names are not to be shown."""

import hmac
from hashlib import sha256

_DIGITS = 16


def pseudonym(key: bytes, text: str) -> str:
    """Return 16 hexadecimal digits of the HMAC-SHA-256 of a text: the same for the same key, and not to be undone without it."""
    return hmac.new(key, text.encode(), sha256).hexdigest()[:_DIGITS]
