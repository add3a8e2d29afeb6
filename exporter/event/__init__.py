"""Auth events: what Cognito says of one sign-in, sign-up or password change, and the labels it is counted under."""
