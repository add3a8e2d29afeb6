r"""ListUsers' filter expressions: one attribute, `=` or `^=` (starts with), one value in double quotes."""

import re
from collections.abc import Callable

from exporter.simulator.world import User

_EXPRESSION = re.compile(r'\s*([\w:]+)\s*(\^?=)\s*"((?:[^"\\]|\\.)*)"\s*', re.DOTALL)
_ATTRIBUTES = frozenset(
    {
        *("username", "email", "phone_number", "name", "given_name", "family_name", "preferred_username"),
        *("cognito:user_status", "status", "sub"),
    }
)
_LONGEST_FILTER = 256


class FilterError(ValueError):
    """A filter expression that the service refuses."""


def parse_filter(expression: str) -> Callable[[User], bool]:
    """Return what tells whether a user matches; an empty expression matches everybody."""
    if not expression:
        return lambda _user: True
    parsed = _EXPRESSION.fullmatch(expression)
    if parsed is None or len(expression) > _LONGEST_FILTER:
        raise FilterError("One or more requested filters are invalid.")
    attribute, operator, quoted = parsed.groups()
    if attribute not in _ATTRIBUTES:
        raise FilterError(f"{attribute} is not a searchable attribute.")
    wanted = _folded(attribute, re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL))
    if operator == "=":
        return lambda user: _value(user, attribute) == wanted
    return lambda user: (_value(user, attribute) or "").startswith(wanted)


def _value(user: User, attribute: str) -> str | None:
    value = {
        "username": user.username,
        "sub": user.sub,
        "status": "Enabled" if user.enabled else "Disabled",
        "cognito:user_status": user.status,
        **{name: user.attributes[name] for name in _ATTRIBUTES & user.attributes.keys()},
    }.get(attribute)
    return None if value is None else _folded(attribute, value)


def _folded(attribute: str, value: str) -> str:
    return value.lower() if attribute == "cognito:user_status" else value  # the one attribute compared without case
