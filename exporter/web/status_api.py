"""The status as JSON, in the frame of Prometheus' own API; docs/status.md tells its shape.

These models are what users' scripts rely on: what the polling says of itself inside may change without them.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Literal

from pydantic import BaseModel, ConfigDict

from exporter.schedule.status import Status
from exporter.web.problems import Severity, problems

HEADERS: Mapping[str, str] = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""What goes with the answer."""


class _Answer(BaseModel):
    # JSON knows neither NaN nor Infinity (RFC 8259, section 6)
    model_config = ConfigDict(from_attributes=True, frozen=True, ser_json_inf_nan="null")


class ProblemAnswer(_Answer):
    """One thing that is wrong, and the names of the pools that it is about."""

    severity: Severity
    text: str
    pools: tuple[str, ...]


class ErrorAnswer(_Answer):
    """A request or poll that failed, and what to do about it."""

    at: float
    operation: str
    outcome: str
    message: str
    path: str
    advice: str


class PoolAnswer(_Answer):
    """One user pool."""

    name: str
    pool_id: str
    region: str
    account: str
    up: bool
    threat_protection: str | None
    users: Mapping[str, int]
    oldest_poll: float | None
    newest_poll: float | None
    lag_seconds: float | None
    in_progress: int
    recent: Mapping[str, Mapping[str, int]] | None
    unmatched_selectors: tuple[str, ...]
    unfollowed_selectors: tuple[str, ...]
    errors: tuple[ErrorAnswer, ...]


class BudgetAnswer(_Answer):
    """The request budget of one account in one Region."""

    account: str
    budget: float
    allowed: float
    spent: float | None
    left: float | None
    needed: float
    longest_wait: float


class StatusData(_Answer):
    """The whole exporter."""

    version: str
    now: float
    started: float
    ready: bool
    stuck: str | None
    reload_error: str | None
    state_error: str | None
    max_staleness: float
    recent_window: float
    problems: tuple[ProblemAnswer, ...]
    pools: tuple[PoolAnswer, ...]
    budgets: tuple[BudgetAnswer, ...]


class StatusAnswer(_Answer):
    """The frame: https://prometheus.io/docs/prometheus/latest/querying/api/#format-overview."""

    status: Literal["success"] = "success"
    data: StatusData


def render(status: Status) -> str:
    """Return the status as JSON."""
    facts = {field.name: getattr(status, field.name) for field in fields(status)}
    data = StatusData.model_validate({**facts, "problems": problems(status)})
    return StatusAnswer(data=data).model_dump_json()
