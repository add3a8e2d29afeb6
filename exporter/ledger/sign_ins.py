"""Whose latest sign-ins have failed: by what each walk shows, counted or not, as the gauges do."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from exporter.fetch.walk import Walk
from exporter.ledger.database import Database
from exporter.ledger.ledger import FailedSignIns
from exporter.ledger.rules import Update

_FAILING = "SELECT id, failures, failed_at FROM user WHERE pool = ? AND selected AND failures > 0"
_REPLACE = "UPDATE user SET failures = ?, failed_at = ?, passed_at = ? WHERE id = ?"
_NEVER = 0.0


class SignIns(NamedTuple):
    """What is known of a user's sign-ins.

    `failures` is how many have failed since the last that passed; `failed_at` and `passed_at` are when (epoch seconds) the latest
    of both were, None where none is known.
    """

    failures: int = 0
    failed_at: float | None = None
    passed_at: float | None = None

    def after(self, walk: Walk, new: Sequence[float]) -> "SignIns":
        """Return this with what a walk showed, which is everything since some moment.

        So what failed after a pass that it shows is all there. Where it shows none, what it shows may go on below; `new` are the
        creations (epoch seconds) of sign-ins whose failure was not known before.
        """
        ended = [event for event in walk.events if event.event_type == "SignIn"]
        last_pass = self.passed_at or _NEVER
        passed_at = max([last_pass, *(event.created.timestamp() for event in ended if event.response == "Pass")])
        shown = [event.created.timestamp() for event in ended if event.response == "Fail"]
        shown, new = ([at for at in times if at > passed_at] for times in (shown, new))
        known = self if passed_at == last_pass else SignIns()
        failures = max(len(shown), known.failures + len(new))
        failed_at = max([*shown, *new, known.failed_at or _NEVER]) if failures else None
        return SignIns(failures, failed_at, passed_at or None)


class SignInRows:
    """What the table `user` holds of sign-ins, by row."""

    def __init__(self, connection: Database) -> None:
        self._db = connection

    def failing(self, pool: int) -> dict[int, FailedSignIns | None]:
        """Return the selected users of a pool whose latest sign-in failed."""
        return {user: FailedSignIns(*rest) for user, *rest in self._db.execute(_FAILING, (pool,))}

    def follow(self, user: int, before: SignIns, walk: Walk | None, updates: Iterable[Update]) -> FailedSignIns | None:
        """Write what a poll has shown, None where AWS does not know the user; return whether the user is failing."""
        now = SignIns()
        if walk is not None:
            now = before.after(walk, [each.event.created for each in updates if _is_new_failure(each)])
        if now != before:
            self._db.execute(_REPLACE, (*now, user))
        return FailedSignIns(now.failures, now.failed_at) if now.failures and now.failed_at is not None else None


def _is_new_failure(update: Update) -> bool:
    return update.counted and (update.labels.event_type, update.labels.response) == ("SignIn", "Fail")
