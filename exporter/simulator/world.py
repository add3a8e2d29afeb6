"""What the simulated Cognito knows: user pools, users and their auth events; here by hand, in `traffic` generated."""

import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from exporter.event.event import AuthEvent, Challenge, Context, Feedback, Risk

_ALIASES = ("email", "phone_number", "preferred_username")
_ALWAYS = float("-inf")


@dataclass(frozen=True, slots=True)
class Pool:
    """A user pool; `threat_protection` is the API's `AdvancedSecurityMode`, None where the pool has no add-ons."""

    pool_id: str
    threat_protection: str | None = "ENFORCED"

    @property
    def is_protected(self) -> bool:
        """Tell whether auth events are recorded and may be read."""
        return self.threat_protection in {"AUDIT", "ENFORCED"}


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A local user; `created` is in epoch seconds, `attributes` are those beside `sub`."""

    username: str
    sub: str
    created: float
    enabled: bool = True
    status: str = "CONFIRMED"
    groups: frozenset[str] = frozenset()
    attributes: Mapping[str, str] = field(default_factory=dict)

    def answers_to(self, name: str) -> bool:
        """Tell whether the API takes `name` for this user: user name, sub or alias."""
        return name in {self.username, self.sub} or any(self.attributes.get(alias) == name for alias in _ALIASES)


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One auth event as it changes: each state holds from its epoch second on, none is shown before `visible_at`."""

    visible_at: float
    states: tuple[tuple[float, AuthEvent], ...]

    @property
    def created(self) -> float:
        """When the event was created, in epoch seconds."""
        return self.states[0][1].created.timestamp()

    def at(self, now: float) -> AuthEvent | None:
        """Return the event as it is shown at `now` (epoch seconds), None before it is visible."""
        return self.final(now) if now >= self.visible_at else None

    def final(self, until: float) -> AuthEvent:
        """Return the last state the event takes up to `until` (epoch seconds)."""
        later = [event for since, event in self.states[1:] if since <= until]
        return later[-1] if later else self.states[0][1]


class World(Protocol):
    """Everything the operations read; `now` is in epoch seconds, and what is not yet at `now` does not exist."""

    def pool(self, pool_id: str) -> Pool | None:
        """Return the pool, None where there is none."""
        ...

    def has_group(self, pool_id: str, group: str) -> bool:
        """Tell whether the pool has this group."""
        ...

    def user(self, pool_id: str, name: str, now: float) -> User | None:
        """Return the user with this user name, sub or alias."""
        ...

    def users(self, pool_id: str, now: float, after: str | None = None) -> Iterator[User]:
        """Iterate over the pool's users in a fixed order, from the one after the user name `after`."""
        ...

    def user_count(self, pool_id: str) -> int:
        """Return how many users the pool has, roughly."""
        ...

    def history(self, pool_id: str, username: str, now: float) -> Iterator[AuthEvent]:
        """Iterate over the user's visible events, newest first."""
        ...


def epoch(moment: datetime | float) -> float:
    """Return an aware datetime, or epoch seconds, as epoch seconds."""
    return moment.timestamp() if isinstance(moment, datetime) else moment


def auth_event(created: datetime | float, **fields: Any) -> AuthEvent:
    """Return a passed sign-in without risk and with a new id; `fields` are those of `AuthEvent` that differ."""
    usual = AuthEvent(
        event_id=str(uuid.uuid4()),
        created=datetime.fromtimestamp(epoch(created), UTC),
        event_type="SignIn",
        response="Pass",
        risk=Risk("NoRisk", None, compromised_credentials=False),
        challenges=(Challenge("Password", "Success"),),
        context=Context("192.0.2.99", "Chrome 126, Windows 10", "+00:00", "Loughborough", "United Kingdom"),
        feedback=None,
    )
    return usual._replace(**fields)


@dataclass(slots=True)
class _Contents:
    """One pool of a scripted world; `records` holds each user's events in the order in which they were added."""

    pool: Pool
    groups: set[str] = field(default_factory=set)
    users: dict[str, User] = field(default_factory=dict)
    records: dict[str, dict[str, EventRecord]] = field(default_factory=dict)


class ScriptedWorld:
    """A world that holds what it was told; changes take effect at once, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pools: dict[str, _Contents] = {}

    def add_pool(self, pool_id: str, *, threat_protection: str | None = "ENFORCED") -> None:
        """Add an empty pool."""
        with self._lock:
            self._pools[pool_id] = _Contents(Pool(pool_id, threat_protection))

    def set_threat_protection(self, pool_id: str, mode: str | None) -> None:
        """Set the pool's mode: OFF, AUDIT, ENFORCED, or None for a pool without add-ons."""
        with self._lock:
            self._pools[pool_id].pool = Pool(pool_id, mode)

    def remove_pool(self, pool_id: str) -> None:
        """Delete a pool with everything in it."""
        with self._lock:
            del self._pools[pool_id]

    def add_group(self, pool_id: str, group: str) -> None:
        """Add a group without members."""
        with self._lock:
            self._pools[pool_id].groups.add(group)

    def add_user(
        self,
        pool_id: str,
        username: str,
        *,
        created: datetime | float = 0.0,
        groups: Sequence[str] = (),
        sub: str | None = None,
        enabled: bool = True,
        status: str = "CONFIRMED",
        **attributes: str,
    ) -> User:
        """Add a user, by default with the e-mail address `username@example.com`; groups are made as needed."""
        user = User(
            username=username,
            sub=sub or str(uuid.uuid4()),
            created=epoch(created),
            enabled=enabled,
            status=status,
            groups=frozenset(groups),
            attributes={"email": f"{username}@example.com"} | attributes,
        )
        with self._lock:
            contents = self._pools[pool_id]
            contents.users[username] = user
            contents.records[username] = {}
            contents.groups.update(groups)
        return user

    def change_user(self, pool_id: str, username: str, **fields: Any) -> None:
        """Change fields of a user: `enabled`, `status`, `groups`, ..."""
        with self._lock:
            contents = self._pools[pool_id]
            contents.users[username] = replace(contents.users[username], **fields)
            contents.groups.update(contents.users[username].groups)

    def delete_user(self, pool_id: str, username: str) -> None:
        """Delete a user and the user's events."""
        with self._lock:
            contents = self._pools[pool_id]
            del contents.users[username], contents.records[username]

    def add_event(
        self, pool_id: str, username: str, event: AuthEvent, *, visible_at: datetime | float = _ALWAYS
    ) -> AuthEvent:
        """Add an event, shown from `visible_at` on, and return it."""
        record = EventRecord(epoch(visible_at), ((_ALWAYS, event),))
        with self._lock:
            self._pools[pool_id].records[username][event.event_id] = record
        return event

    def change_event(self, pool_id: str, event_id: str, **fields: Any) -> AuthEvent:
        """Change fields of an event (`response`, `challenges`, `feedback`, ...) and return it as it is now."""
        with self._lock:
            records = self._holding(pool_id, event_id)
            record = records[event_id]
            event = record.final(_ALWAYS)._replace(**fields)
            records[event_id] = EventRecord(record.visible_at, ((_ALWAYS, event),))
        return event

    def give_feedback(self, pool_id: str, event_id: str, value: str, now: datetime | float) -> AuthEvent:
        """Attach an administrator's verdict (Valid or Invalid) to an event."""
        date = datetime.fromtimestamp(epoch(now), UTC)
        return self.change_event(pool_id, event_id, feedback=Feedback(value, "Admin", date))

    def remove_event(self, pool_id: str, event_id: str) -> None:
        """Forget an event, as the service does at the end of its retention."""
        with self._lock:
            del self._holding(pool_id, event_id)[event_id]

    def _holding(self, pool_id: str, event_id: str) -> dict[str, EventRecord]:
        for records in self._pools[pool_id].records.values():
            if event_id in records:
                return records
        raise KeyError(event_id)

    def pool(self, pool_id: str) -> Pool | None:
        """Return the pool, None where there is none."""
        with self._lock:
            contents = self._pools.get(pool_id)
            return contents.pool if contents else None

    def has_group(self, pool_id: str, group: str) -> bool:
        """Tell whether the pool has this group."""
        with self._lock:
            return group in self._pools[pool_id].groups

    def user(self, pool_id: str, name: str, now: float) -> User | None:
        """Return the user with this user name, sub or alias; a user name comes before another user's alias."""
        with self._lock:
            named = self._pools[pool_id].users.get(name)
        if named is not None and named.created <= now:
            return named
        return next((user for user in self.users(pool_id, now) if user.answers_to(name)), None)

    def users(self, pool_id: str, now: float, after: str | None = None) -> Iterator[User]:
        """Iterate over the pool's users by user name; the order survives deletions between pages."""
        with self._lock:
            users = sorted(self._pools[pool_id].users.values(), key=lambda user: user.username)
        return (user for user in users if user.created <= now and (after is None or user.username > after))

    def user_count(self, pool_id: str) -> int:
        """Return how many users the pool has."""
        with self._lock:
            return len(self._pools[pool_id].users)

    def history(self, pool_id: str, username: str, now: float) -> Iterator[AuthEvent]:
        """Iterate over the user's visible events, newest first; of equal times, the one added last comes first."""
        with self._lock:
            records = list(self._pools[pool_id].records.get(username, {}).values())
        shown = [event for record in reversed(records) if (event := record.at(now)) is not None]
        return iter(sorted(shown, key=lambda event: event.created, reverse=True))
