"""Statuses of an exporter, for the tests of what shows them."""

from exporter.schedule.status import BudgetStatus, ErrorStatus, PoolStatus, Recent, Status

NOW = 1_795_487_461.0
RECENT: Recent = {
    "event_type": {"SignIn": 90, "SignUp": 10},
    "response": {"Pass": 80, "Fail": 17, "InProgress": 3},
    "risk_level": {"None": 95, "Low": 3, "High": 2},
    "country": {"DE": 60, "FR": 40},
}
NO_EVENTS: Recent = {dimension: {} for dimension in RECENT}
POOL = PoolStatus(
    name="customers",
    pool_id="eu-west-1_Ab129faBb",
    region="eu-west-1",
    account="eu-west-1/default",
    up=True,
    users={"ok": 12840, "waiting": 12, "not_found": 0, "failing": 0},
    oldest_poll=NOW - 312,
    newest_poll=NOW - 1,
    lag_seconds=18.4,
    in_progress=7,
    errors=(),
    recent=RECENT,
)
BUDGET = BudgetStatus(account="eu-west-1/default", budget=5.0, allowed=5.0, needed=3.5, longest_wait=900.0, spent=3.25)
STATUS = Status(
    version="1.2.3",
    now=NOW,
    started=NOW - 93784,
    pools=(POOL,),
    budgets=(BUDGET,),
    max_staleness=900.0,
    recent_window=3600.0,
    ready=True,
    stuck=None,
    reload_error=None,
)
DENIED = ErrorStatus(at=NOW - 75, operation="ListUsers", outcome="not_authorized", message="AccessDeniedException")
