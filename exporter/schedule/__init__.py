"""When to ask whom: the request budget of an account, the order of users, and the polling itself."""
