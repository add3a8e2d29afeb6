"""The IAM statement that allows what was denied."""

import json
import re
from collections.abc import Sequence

from exporter.fetch.credentials import partition_of

SOMEBODY = "111122223333"
"""The account that AWS's documentation writes where it does not know one."""

_ASSUMED = re.compile(r"arn:([\w-]+):sts::(\d+):assumed-role/([^/]+)/.*")


def statement(operations: Sequence[str], region: str, account: str, pool_id: str) -> str:
    """Return a statement for a policy, as JSON, that allows these operations on a pool."""
    allowed = {
        "Effect": "Allow",
        "Action": [f"cognito-idp:{operation}" for operation in operations],
        "Resource": f"arn:{partition_of(region)}:cognito-idp:{region}:{account}:userpool/{pool_id}",
    }
    return json.dumps(allowed, indent=2)


def has_policies(arn: str) -> str:
    """Return the ARN of whom policies are attached to: of a role's session, the role, whose path STS does not tell."""
    return _ASSUMED.sub(r"arn:\1:iam::\2:role/\3", arn)
