"""Which AWS account a pool's requests are charged to: a role's ARN names it, for other credentials STS tells it."""

from dataclasses import dataclass

from exporter.configuration.models import UserPool

_FIRST_WAIT = 60.0
_LONGEST_WAIT = 3600.0  # seconds


@dataclass(frozen=True, slots=True)
class Payer:
    """Pools of one Region with the same credentials at the same endpoint: what STS tells of one holds for all."""

    account: str | None
    profile: str | None
    region: str
    endpoint_url: str | None

    @property
    def by_credentials(self) -> str:
        """A short stable name for a budget whose account is not known."""
        return f"{self.profile or 'default'}/{self.region}"


def payer_of(pool: UserPool) -> Payer:
    """Return who pays for a pool's requests; a role's ARN names the account, whoever assumes it."""
    credentials = pool.credentials
    if credentials.role_arn is not None:
        return Payer(credentials.role_arn.split(":")[4], None, pool.region, None)
    return Payer(None, credentials.profile, pool.region, pool.endpoint_url)


class Accounts:
    """What STS has told of the accounts, and when it is to be asked again; outlives reloads."""

    def __init__(self) -> None:
        self._told: dict[Payer, str] = {}
        self._waits: dict[Payer, float | None] = {}

    def is_settled(self, payer: Payer) -> bool:
        """Tell whether the payer's pools can be polled: their account is known, or could not be told."""
        return self.account(payer) is not None or payer in self._waits

    def account(self, payer: Payer) -> str | None:
        """Return the AWS account, None where it is not known."""
        return payer.account or self._told.get(payer)

    def name(self, payer: Payer) -> str:
        """Return the name of the budget that the payer's requests are charged to."""
        account = self.account(payer)
        return payer.by_credentials if account is None else f"{account}/{payer.region}"

    def tell(self, payer: Payer, account: str) -> None:
        """Take in what STS has told."""
        self._told[payer] = account

    def not_told(self, payer: Payer) -> None:
        """Take in that STS did not answer, or would not say."""
        before = self._waits.get(payer)
        self._waits[payer] = _FIRST_WAIT if before is None else min(2 * before, _LONGEST_WAIT)

    def never_told(self, payer: Payer) -> None:
        """Take in that STS is not to be asked: what it would say holds for AWS, not for a stand-in."""
        self._waits[payer] = None

    def wait(self, payer: Payer) -> float | None:
        """Return for how many seconds STS is left alone, None for ever, after it has not told."""
        return self._waits.get(payer, _FIRST_WAIT)
