"""Checks of passwords that wait for a thread: in turn by client, so that who asks often delays nobody who asks once."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from exporter.web.bcrypt_hash import BcryptHash

_MOST_WAITING = 32
_MOST_WAITING_OF_CLIENT = 4
_MOST_SHARING = 128  # requests that wait in all, where a new one asks for what is being checked already

Check = Callable[[BcryptHash, bytes], bool]
_Waiter = asyncio.Future[bool | None]


@dataclass(eq=False, slots=True)
class _Checking:
    """One check, and the requests that wait for it, by the client of each."""

    key: bytes
    found: BcryptHash
    password: bytes
    waiters: dict[_Waiter, str] = field(default_factory=dict)


class CheckLine:
    """Runs checks in threads of its own. So many requests wait, in all and of one client; the same check is made once for all.

    It belongs to the event loop's thread.
    """

    def __init__(self, check: Check, threads: int) -> None:
        self._check = check
        self._free = threads
        self._threads = ThreadPoolExecutor(threads, "bcrypt")
        self._checks: dict[bytes, _Checking] = {}
        self._queues: OrderedDict[str, deque[_Checking]] = OrderedDict()
        self._waiting: dict[str, dict[_Waiter, _Checking]] = {}

    async def matches(self, key: bytes, found: BcryptHash, password: bytes, client: str) -> bool | None:
        """Return whether the password is that of the hash, None where too many wait; `key` tells checks apart."""
        if not (self._number < _MOST_SHARING if key in self._checks else self._has_room(client)):
            return None
        waiter: _Waiter = asyncio.get_running_loop().create_future()
        checking = self._checks.get(key) or self._line_up(_Checking(key, found, password), client)
        checking.waiters[waiter] = client
        self._waiting.setdefault(client, {})[waiter] = checking
        self._start()
        try:
            return await waiter
        finally:
            self._leave(waiter, client)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False)

    def _has_room(self, client: str) -> bool:
        """Tell whether one more may wait; where all places are taken, who has none takes one of who has most."""
        own = len(self._waiting.get(client, ()))
        if own >= _MOST_WAITING_OF_CLIENT:
            return False
        return self._number < _MOST_WAITING or (not own and self._makes_room())

    @property
    def _number(self) -> int:
        return sum(map(len, self._waiting.values()))

    def _makes_room(self) -> bool:
        greedy = max(self._waiting, key=lambda client: len(self._waiting[client]))
        if len(self._waiting[greedy]) == 1:
            return False
        youngest = next(reversed(self._waiting[greedy]))
        self._leave(youngest, greedy)
        youngest.set_result(None)
        return True

    def _leave(self, waiter: _Waiter, client: str) -> None:
        checking = self._waiting.get(client, {}).pop(waiter, None)
        if checking is not None:
            checking.waiters.pop(waiter, None)
            if not self._waiting[client]:
                del self._waiting[client]

    def _line_up(self, checking: _Checking, client: str) -> _Checking:
        self._checks[checking.key] = checking
        self._queues.setdefault(client, deque()).append(checking)
        return checking

    def _start(self) -> None:
        """Give free threads the next checks, one of each client in turn."""
        while self._free and self._queues:
            client, queue = self._queues.popitem(last=False)
            checking = queue.popleft()
            if queue:
                self._queues[client] = queue
            if checking.waiters:
                self._run(checking)
            else:
                del self._checks[checking.key]

    def _run(self, checking: _Checking) -> None:
        self._free -= 1
        running = asyncio.get_running_loop().run_in_executor(
            self._threads, self._check, checking.found, checking.password
        )
        running.add_done_callback(lambda done: self._end(checking, done))

    def _end(self, checking: _Checking, done: asyncio.Future[bool]) -> None:
        self._free += 1
        del self._checks[checking.key]
        error = done.exception()
        for waiter in checking.waiters:
            if waiter.done():
                continue
            if error is not None:
                waiter.set_exception(error)
            else:
                waiter.set_result(done.result())
        self._start()
