"""`check --live`: asks AWS whether each pool can be polled as the configuration wants it."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

from exporter.commands.asking import Asking, PoolEnds, credentials_text
from exporter.commands.budget_check import check_budget
from exporter.commands.gathered import Population
from exporter.commands.numbers import counted
from exporter.commands.policy import SOMEBODY, has_policies, statement
from exporter.commands.pool_check import ALL_ELSE, PoolCheck
from exporter.commands.report import Finding, Mark, Report
from exporter.commands.requests import Requests, Time
from exporter.configuration.models import Config, UserPool
from exporter.fetch.outcome import FetchError, Outcome, StandInError
from exporter.fetch.source import Caller, EventSource
from exporter.fetch.sources import SourceFactory
from exporter.schedule.accounts import Accounts, payer_of

_NOT_ASKED = Finding(Mark.SKIPPED, "credentials", "not asked: the pool's endpoint is not AWS's, and STS has none")


@dataclass(slots=True)
class _Account:
    """One account in one Region: its budget, and whom its pools' selectors name."""

    requests: Requests
    populations: list[Population] = field(default_factory=list)


class LiveCheck:
    """The check of one configuration; findings are said by `say` as they come."""

    def __init__(self, config: Config, sources: SourceFactory, say: Callable[[str], None], time: Time) -> None:
        self._config = config
        self._sources = sources
        self._say = say
        self._report = Report(say)
        self._time = time
        self._accounts: dict[str, _Account] = {}

    def run(self) -> int:
        """Check every pool, then every budget; return the number of mistakes."""
        for index, pool in enumerate(self._config.user_pools):
            self._report.head(f"user_pools[{index}]: {pool.name}" + (f" ({pool.id})" if pool.name != pool.id else ""))
            with closing(self._sources(pool, self._config.polling.request_timeout)) as source:
                self._check_pool(f"user_pools[{index}]", pool, source)
        self._report.head("budgets")
        for name, account in self._accounts.items():
            check_budget(name, account.populations, self._config.polling, self._report)
        mistakes = self._report.mistakes
        self._say(counted(mistakes, "mistake") if mistakes else "good")
        return mistakes

    def _check_pool(self, place: str, pool: UserPool, source: EventSource) -> None:
        try:
            caller = self._caller(place, pool, source)
        except PoolEnds:
            self._report.found(ALL_ELSE)
            self._account(pool, None).populations.append(Population(whole=False))
            return
        account = self._account(pool, caller)
        asking = Asking(place, pool, account.requests, self._report)
        account.populations.append(PoolCheck(pool.users, source, asking, self._report, self._time).run())
        if asking.denied:
            self._say_statement(asking.denied, pool, caller)

    def _account(self, pool: UserPool, caller: Caller | None) -> _Account:
        """Return the account that a pool's requests are charged to: the caller's where it is known."""
        name = Accounts().name(payer_of(pool)) if caller is None else f"{caller.account}/{pool.region}"
        if name not in self._accounts:
            self._accounts[name] = _Account(Requests(self._config.polling.requests_per_second, self._time))
        return self._accounts[name]

    def _caller(self, place: str, pool: UserPool, source: EventSource) -> Caller | None:
        """Say who asks, and return it where STS says it. Raises `PoolEnds` where there are no credentials to ask with."""
        try:
            caller = Requests(self._config.polling.requests_per_second, self._time).make(source.caller)
        except StandInError:
            self._report.found(_NOT_ASKED)
            return None
        except FetchError as error:
            self._say_unknown(place, pool, error)
            return None
        self._report.found(Finding(Mark.GOOD, "credentials", f"{caller.arn} of account {caller.account}"))
        return caller

    def _say_unknown(self, place: str, pool: UserPool, error: FetchError) -> None:
        if error.outcome is Outcome.CREDENTIALS or error.key:
            self._report.found(Finding(Mark.MISTAKE, "credentials", credentials_text(place, pool, error)))
            raise PoolEnds from error
        # Keys that are there need no STS, which may be out of reach of a private network.
        self._report.found(Finding(Mark.WARNING, "credentials", f"STS does not say whose they are: {error}"))

    def _say_statement(self, denied: list[str], pool: UserPool, caller: Caller | None) -> None:
        account = caller.account if caller is not None else payer_of(pool).account
        text = statement(denied, pool.region, account or SOMEBODY, pool.id)
        whose = "the caller" if caller is None else pool.credentials.role_arn or has_policies(caller.arn)
        known = "" if account else f"; put the pool's account in the place of {SOMEBODY}"
        self._report.found(Finding(Mark.NOTE, "to be allowed", f"add to the policy of {whose}{known}:\n{text}"))
