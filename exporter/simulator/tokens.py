"""Pagination tokens: opaque to the caller, the position of a page to the simulator."""

import base64
import json
from dataclasses import dataclass


class TokenError(ValueError):
    """A token that the simulator did not make."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page begins: at the `start`, `after` an event id or user name, or at an `offset`.

    `salt` makes tokens of the same page differ.
    """

    kind: str
    value: str = ""
    salt: int = 0


START = Position("start")


def token_for(position: Position) -> str:
    """Return the token that stands for a position."""
    text = json.dumps([position.kind, position.value, position.salt])
    return base64.urlsafe_b64encode(text.encode()).decode()


def parse_token(token: str) -> Position:
    """Return the position that a token stands for, or raise `TokenError`."""
    try:
        kind, value, salt = json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
        position = Position(str(kind), str(value), int(salt))
    except (ValueError, TypeError):
        raise TokenError("Invalid pagination token.") from None
    if position.kind == "offset" and not position.value.isdecimal():
        raise TokenError("Invalid pagination token.")
    return position


def same_page_token(token: str | None) -> str:
    """Return another token for the page of `token`, as an empty page in the middle carries one."""
    position = START if token is None else parse_token(token)
    return token_for(Position(position.kind, position.value, position.salt + 1))
