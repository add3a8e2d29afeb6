"""What is said when no connection can be accepted: once, and not each second with a traceback, as asyncio does."""

import asyncio
import errno
from collections.abc import Callable
from typing import Any

from structlog.typing import FilteringBoundLogger

Handler = Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object]

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What accept(2) fails with for want of resources; asyncio tries again after a second."""
_QUIET = 60.0  # seconds without a failure, after which the next one is a new trouble


class AcceptFailures:
    """An exception handler of the event loop, which says once that connections wait; the one before handles all else."""

    def __init__(self, logger: FilteringBoundLogger, monotonic: Callable[[], float], before: Handler | None) -> None:
        """Take the handler before, None for asyncio's own."""
        self._before = before or (lambda loop, context: loop.default_exception_handler(context))
        self._logger = logger
        self._monotonic = monotonic
        self._failed_at = float("-inf")

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handle what nobody has caught."""
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in _EXHAUSTED and "socket" in context):
            self._before(loop, context)
            return
        now = self._monotonic()
        if now - self._failed_at > _QUIET:
            self._logger.error(
                "no connection can be accepted for want of file descriptors or memory; those there are go on, new ones wait: "
                "raise the limit (ulimit -n), or look for who opens so many",
                error=error.strerror,
            )
        self._failed_at = now
