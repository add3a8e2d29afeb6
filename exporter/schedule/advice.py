"""What to do about each kind of error: shown on the status page, in its JSON, and in docs/status.md."""

from collections.abc import Mapping
from types import MappingProxyType

from exporter.fetch.outcome import Outcome

ADVICE: Mapping[str, str] = MappingProxyType(
    {
        Outcome.THROTTLED: "AWS takes fewer requests than the budget allows, and the exporter has slowed down: lower "
        "polling.requests_per_second, or have the quota UserResourceRead raised.",
        Outcome.USER_NOT_FOUND: "A selected user does not exist: correct it in the configuration or the users file.",
        Outcome.POOL_NOT_FOUND: "There is no such user pool, or no such group in it: check the pool's id, region and "
        "credentials, and users.groups.",
        Outcome.NOT_AUTHORIZED: "The credentials may not do this: give them the IAM policy in the README.",
        Outcome.THREAT_PROTECTION_OFF: "Switch threat protection on for this pool: without it there are no auth events.",
        Outcome.INVALID_PARAMETER: "Check the filters, groups and user names selected in this pool.",
        Outcome.SERVER_ERROR: "A fault of Cognito's own; it is tried again. If it lasts, look at the AWS Health Dashboard.",
        Outcome.TIMEOUT: "No answer within polling.request_timeout: check the network and any proxy on the way.",
        Outcome.CONNECTION: "No connection to AWS: check DNS, routes, proxies, VPC endpoints and endpoint_url.",
        Outcome.MALFORMED: "The answer was not what Cognito sends: check endpoint_url and what stands between.",
        Outcome.CREDENTIALS: "No usable AWS credentials: check the profile, the role and this process's environment.",
        Outcome.OTHER: "See the log for this pool; --log.level=debug says more.",
    }
)
"""By outcome."""


def advice_on(outcome: str) -> str:
    """Return what to do; of an outcome not heard of only the log can say more."""
    return ADVICE.get(outcome, ADVICE[Outcome.OTHER])
