"""A pytest plugin for `make mutants`: all mutants are judged by the same examples, and by few of them."""

from hypothesis import settings

settings.register_profile("mutants", derandomize=True, database=None, deadline=None, max_examples=20)
