"""Where events come from: the source protocol, its outcomes, Cognito behind boto3, and the walk through a history."""
