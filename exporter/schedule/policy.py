"""Whom to ask next, given that a request may be made now.

Times are seconds of one clock that never goes back, given by the caller. docs/performance.md shows what comes of it.

Two streams share the requests of an account. *Duty* are the users never answered so far, and those who have waited almost as long
as anybody may. *Choice* are those whose next poll is worth most: each user's next poll stands at a point of virtual time, which
advances to whoever is chosen, and so runs as fast as requests can be had. A user for whom a poll is worth its price after t
seconds stands t times the clock's speed ahead; for a steady stream of events that is a stride of √(2 / rate), whatever the budget
is, and polls come in proportion to √rate: that makes the mean delay from event to poll least.

Virtual time is that of fair queueing (Demers, Keshav, Shenker: Analysis and Simulation of a Fair Queueing Algorithm, SIGCOMM
1989); on polls by √rate see Sia, Cho, Cho: Efficient Monitoring Algorithm for Fast News Alerts, TKDE 2007.
"""

import math
from array import array
from collections import deque
from collections.abc import Sequence
from enum import IntEnum

from sortedcontainers import SortedList

from exporter.schedule.activity import ALARM_WEIGHT, Activity

DUTY_RUN = 4  # polls of duty in a row while others are worth one: the rest is theirs, whatever duty there is
ROOM = 1 + 1 / DUTY_RUN  # nobody's wait can be held below that many rounds of all users, without more polls of duty
_DUTY_FROM = 0.97  # of the longest wait
_BROKEN = 1.03  # of the longest wait: it was not to be held, and those late do not take every request
_SMOOTHING = 300.0  # seconds over which the speed of virtual time is averaged
_SLOT_BITS = 32
_FINE = 2.0**20  # steps a second, and a unit of virtual time, in the sorted lines


class _State(IntEnum):
    GONE = 0
    UNSEEN = 1
    WAITING = 2  # not to be polled yet
    READY = 3
    AWAY = 4


class VirtualTime:
    """How far the users of an account have been served, and how fast that goes: shared by all its pools."""

    def __init__(self, now: float) -> None:
        self.reached = 0.0
        self._lagging: float | None = None
        self._now = now
        self._first_speed = 1.0

    def expect(self, speed: float) -> None:
        """Take this for the speed, in units a second, until virtual time has advanced."""
        self._first_speed = speed

    @property
    def speed(self) -> float:
        """Units a second, smoothed."""
        if self._lagging is None:
            return self._first_speed
        return max((self.reached - self._lagging) / _SMOOTHING, 1e-9)

    @property
    def price(self) -> float:
        """What a poll has to bring, in event-seconds; at that price strides do not depend on the speed."""
        return self.speed**-2

    def advance(self, to: float, now: float) -> None:
        """Let virtual time reach a user who is polled."""
        if self._lagging is None:
            self._lagging = self.reached - self._first_speed * _SMOOTHING
        self.reached = max(self.reached, to)
        self._lagging += (self.reached - self._lagging) * -math.expm1(-(now - self._now) / _SMOOTHING)
        self._now = now


class PoolQueue:
    """The users of one pool in line, by slot (`exporter.schedule.roster`). Nobody is in line twice, or while being polled."""

    def __init__(self, min_interval: float, alarm_weight: float = ALARM_WEIGHT) -> None:
        """Take how many seconds users are left alone at least; they are lined up once the queue has joined a policy."""
        self.activity = Activity(alarm_weight)
        self.served = 0.0
        """The pool's share of the account's duty so far, in rounds of all its users."""
        self.time = VirtualTime(0.0)
        """The account's, once the queue has joined its policy."""
        self._min_interval = min_interval
        self._size = 0
        self._state = bytearray()
        self._stands_at = array("d")  # in virtual time, or, while waiting, when that is over
        self._has_answered = bytearray()
        self._asked_at = array("d")
        self._answered_at = array("d")  # when the last poll that brought an answer was asked; at first, when taken in
        self._unseen: deque[int] = deque()  # never answered; who is no longer is passed over
        self._waiting: SortedList[int] = SortedList()
        self._by_worth: SortedList[int] = SortedList()  # those ready, by where they stand
        self._by_age: SortedList[int] = SortedList()  # the same, by their last answer

    def __len__(self) -> int:
        return self._size

    # -- users come and go ----------------------------------------------------------------------------------------------------

    def add(self, slot: int, now: float, waited: float = 0.0) -> None:
        """Take in a user never asked before, who has waited for that so many seconds."""
        self._take_in(slot, now - waited, has_answered=False)
        self.activity.add(slot, now)
        self._make_unseen(slot)

    def recall(self, slot: int, now: float, age: float, knowledge: bytes) -> None:
        """Take in a user who was answered `age` seconds ago, and is in line from `line_up` on."""
        self._take_in(slot, now - age, has_answered=True)
        self.activity.add(slot, now, age, knowledge)
        self._state[slot] = _State.AWAY

    def line_up(self, slot: int, now: float) -> None:
        """Put a recalled user in line."""
        if self._state[slot] == _State.AWAY:
            self._enter_line(slot, now, self._answered_at[slot] + self._min_interval)

    def _take_in(self, slot: int, since: float, *, has_answered: bool) -> None:
        self._size += 1
        room = slot + 1 - len(self._state)
        for flags in (self._state, self._has_answered):
            flags.extend(bytes(max(0, room)))
        for column in (self._stands_at, self._asked_at, self._answered_at):
            column.extend([0.0] * room)
        self._has_answered[slot] = has_answered
        self._asked_at[slot] = self._answered_at[slot] = since

    def remove(self, slot: int) -> bool:
        """Poll a user no more; tell whether the slot is free, which it is not while a poll of the user is under way."""
        was_away = self._state[slot] == _State.AWAY
        self._leave(slot)
        self._state[slot] = _State.GONE
        self._size -= 1
        return not was_away

    def keep(self, slot: int) -> None:
        """Take back in who was removed while being polled, and is wanted again before the poll has ended."""
        self._state[slot] = _State.AWAY
        self._size += 1

    def returned(self, slot: int, now: float, wait: float, *, answered: bool) -> bool:
        """Put a user back whose poll has ended, to be left alone for `wait` seconds; tell whether the slot is still theirs.

        A poll without an answer does not count for the longest wait.
        """
        if self._state[slot] == _State.GONE:
            return False
        if answered:
            self._answered_at[slot], self._has_answered[slot] = self._asked_at[slot], True
        self._enter_line(slot, now, now + wait)
        return True

    def _enter_line(self, slot: int, now: float, not_before: float) -> None:
        if not_before > now:
            self._state[slot], self._stands_at[slot] = _State.WAITING, not_before
            self._waiting.add(_entry(not_before, slot))
        elif self._has_answered[slot]:
            self._make_ready(slot, now)
        else:
            self._make_unseen(slot)

    def _make_unseen(self, slot: int) -> None:
        self._state[slot] = _State.UNSEEN
        self._unseen.append(slot)

    def _make_ready(self, slot: int, now: float) -> None:
        worth_in = self.activity.wait(slot, self.time.price) - self.activity.age(slot, now)
        stands_at = self.time.reached + max(0.0, worth_in) * self.time.speed
        self._state[slot], self._stands_at[slot] = _State.READY, stands_at
        self._by_worth.add(_entry(stands_at, slot))
        self._by_age.add(_entry(self._answered_at[slot], slot))

    def _leave(self, slot: int) -> None:
        """Take a user out of the line, wherever they stand in it."""
        entry = _entry(self._stands_at[slot], slot)
        if self._state[slot] == _State.WAITING:
            self._waiting.remove(entry)
        elif self._state[slot] == _State.READY:
            self._by_worth.remove(entry)
            self._by_age.remove(_entry(self._answered_at[slot], slot))

    # -- who is next ----------------------------------------------------------------------------------------------------------

    def next_due(self, now: float) -> float | None:
        """Return when somebody may be polled, None where nobody is in line."""
        self._end_waits(now)
        if self._by_worth or self._first_unseen() is not None:
            return now
        return self._stands_at[_slot(self._waiting[0])] if self._waiting else None

    def _end_waits(self, now: float) -> None:
        while self._waiting and self._stands_at[_slot(self._waiting[0])] <= now:
            self._enter_line(_slot(self._waiting.pop(0)), now, now)

    def _first_unseen(self) -> int | None:
        while self._unseen and self._state[self._unseen[0]] != _State.UNSEEN:
            self._unseen.popleft()
        return self._unseen[0] if self._unseen else None

    @property
    def choice(self) -> tuple[float, int] | None:
        """Whose poll is worth most among those ready, and where in virtual time that user stands, the latter first."""
        if not self._by_worth:
            return None
        slot = _slot(self._by_worth[0])
        return self._stands_at[slot], slot

    def duty(self, now: float, longest_wait: float) -> tuple[float, int] | None:
        """Return who is to be polled whatever it brings, and how long that user has waited, the latter first.

        These are who was never answered, and who has waited almost for `longest_wait`.
        """
        waits = []
        if (unseen := self._first_unseen()) is not None:
            waits.append((now - self._answered_at[unseen], unseen))
        if self._by_age:
            oldest = _slot(self._by_age[0])
            wait = now - self._answered_at[oldest]
            waits += [(wait, oldest)] if wait >= _DUTY_FROM * longest_wait else []
        return max(waits, default=None)

    def take(self, slot: int, now: float) -> None:
        """Take a user out of the line, to be polled now."""
        self._leave(slot)
        self._state[slot], self._asked_at[slot] = _State.AWAY, now


class Policy:
    """Chooses among the users of all pools of one account, which share its requests."""

    def __init__(self, now: float, max_staleness: float) -> None:
        self.time = VirtualTime(now)
        self.capacity = 1.0
        """Polls a second that the account's requests are enough for; the caller keeps it up to date."""
        self.queues: list[PoolQueue] = []
        self._max_staleness = max_staleness
        self._duty_run = 0
        self._rounds = 0.0

    def join(self, queue: PoolQueue) -> None:
        """Take in the line of one more pool, in which nobody stands ready yet; those recalled are lined up after this."""
        queue.time = self.time
        self.queues.append(queue)

    def begin(self) -> None:
        """Set out, with the users known so far, at about the speed that virtual time will have."""
        users = sum(len(queue) for queue in self.queues)
        strides = sum(len(queue) / queue.activity.mean_stride for queue in self.queues)
        choices = max(self.capacity / (1 + DUTY_RUN), self.capacity - users / self.longest_wait)
        if users:
            self.time.expect(choices / strides)

    @property
    def longest_wait(self) -> float:
        """For how many seconds at most anybody waits for a poll: `max_staleness`, or what the requests are enough for."""
        users = sum(len(queue) for queue in self.queues)
        return max(self._max_staleness, ROOM * users / self.capacity)

    def choose(self, now: float, open_queues: Sequence[PoolQueue]) -> tuple[PoolQueue, int] | None:
        """Return who of these pools is to be polled now, who is then away until `returned`; None where nobody may be."""
        longest = self.longest_wait
        duties = [(queue, *found) for queue in open_queues if (found := queue.duty(now, longest)) is not None]
        choices = [(*found, queue) for queue in open_queues if (found := queue.choice) is not None]
        if duties and (not choices or self._is_dutys_turn(max(wait for _, wait, _ in duties), longest)):
            queue, slot = self._by_share([(queue, slot) for queue, _, slot in duties])
            self._duty_run += 1
        elif choices:
            stands_at, slot, queue = min(choices, key=lambda choice: choice[0])
            self.time.advance(stands_at, now)
            self._duty_run = 0
        else:
            return None
        queue.take(slot, now)
        return queue, slot

    def _is_dutys_turn(self, wait: float, longest: float) -> bool:
        """Tell whether duty goes before choice: to hold the longest wait, and else four times in a row."""
        return self._duty_run < DUTY_RUN or _DUTY_FROM * longest <= wait <= _BROKEN * longest

    def _by_share(self, duties: Sequence[tuple[PoolQueue, int]]) -> tuple[PoolQueue, int]:
        """Return the duty of the pool that has had least of its share: one back from an outage does not crowd out the others."""
        queue, slot = min(duties, key=lambda duty: max(duty[0].served, self._rounds))
        self._rounds = max(queue.served, self._rounds)
        queue.served = self._rounds + 1 / len(queue)
        return queue, slot


def _entry(at: float, slot: int) -> int:
    """Return an entry of a sorted line: one integer takes half the memory of a pair, and sorts faster."""
    return (int(at * _FINE) << _SLOT_BITS) | slot


def _slot(entry: int) -> int:
    return entry & ((1 << _SLOT_BITS) - 1)
