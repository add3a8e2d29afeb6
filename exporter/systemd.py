"""The service manager's side, where that is systemd: the sockets it passes, and what it is told."""

import asyncio
import os
import socket
from collections.abc import Callable, MutableMapping
from datetime import timedelta

from structlog.typing import FilteringBoundLogger
from systemd_watchdog.systemd_watchdog import WatchDog

from exporter.web.server import ListenError

_FIRST_PASSED = 3  # SD_LISTEN_FDS_START, sd_listen_fds(3)
_LEAST_INTERVAL = timedelta(seconds=0.1)


def passed_sockets(environment: MutableMapping[str, str]) -> list[socket.socket]:
    """Return the listening sockets that systemd has passed to this process, as sd_listen_fds(3) says; raises ListenError.

    The variables are taken out of the environment: they are not for processes that are started from here.
    """
    process_id, number = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    if process_id != str(os.getpid()) or not number.isdecimal() or int(number) == 0:
        raise ListenError(
            "systemd has passed no socket: start the service by its .socket unit, or leave --web.systemd-socket out"
        )
    return [_listening(descriptor) for descriptor in range(_FIRST_PASSED, _FIRST_PASSED + int(number))]


def _listening(descriptor: int) -> socket.socket:
    if not _listens(descriptor):
        raise ListenError(
            f"systemd has passed descriptor {descriptor}, which listens for no TCP connections: "
            "the .socket unit needs a ListenStream= with a port, and Accept=no"
        )
    passed = socket.socket(fileno=descriptor)
    passed.set_inheritable(False)
    return passed


def _listens(descriptor: int) -> bool:
    try:
        with socket.fromfd(descriptor, socket.AF_INET, socket.SOCK_STREAM) as looked_at:
            is_tcp = looked_at.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL) == socket.IPPROTO_TCP
            return is_tcp and bool(looked_at.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:
        return False


class ServiceManager:
    """Tells systemd, where it has started this process and asks for it (sd_notify(3)); never waits for it."""

    def __init__(self, logger: FilteringBoundLogger) -> None:
        sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sender.setblocking(False)
        self._sender = sender
        self._watchdog = WatchDog(sender)
        self._logger = logger

    def ready(self, status: str) -> None:
        """Say that the start is done, and what `systemctl status` shall show."""
        self._tell(self._watchdog.status, status)
        self._tell(self._watchdog.ready)

    async def show_life(self, stuck: Callable[[], str | None]) -> None:
        """Give signs of life until cancelled while `stuck` has nothing to say: more often than sd_watchdog_enabled(3) advises."""
        interval = max(self._watchdog.timeout_td / 3, _LEAST_INTERVAL).total_seconds()
        while True:
            if stuck() is None:
                self._tell(self._watchdog.notify)
            await asyncio.sleep(interval)

    def close(self) -> None:
        """Tell nothing any more."""
        self._sender.close()

    def _tell(self, way: Callable[..., None], *what: str) -> None:
        try:
            way(*what)
        except OSError as error:
            self._logger.debug("systemd was not told", error=str(error))
