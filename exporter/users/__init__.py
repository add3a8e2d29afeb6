"""Whose events: the users that a pool's selectors name."""
