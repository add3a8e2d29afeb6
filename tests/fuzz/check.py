"""What a check of a document is, and the bound that each keeps."""

import time
from collections.abc import Callable

Check = Callable[[bytes], None]
"""Raises where a document breaks a promise."""

_MOST_SECONDS = 20.0  # of processor time, which other programs do not spend; the largest structure allowed takes some


def bounded(check: Check) -> Check:
    """Return a check that also sees that no document takes long."""

    def timed(data: bytes) -> None:
        begun = time.process_time()
        check(data)
        assert time.process_time() - begun < _MOST_SECONDS

    return timed
