"""Slots of users."""

from exporter.schedule.roster import Roster


def test_slots_are_used_again() -> None:
    """A slot that was given back is the next one's; nobody else's slot changes."""
    roster = Roster()
    slots = [roster.add(user) for user in (70, 80, 90)]
    roster.release(slots[1])
    assert (roster.add(100), [roster.user(slot) for slot in slots]) == (slots[1], [70, 100, 90])


def test_a_slot_in_use_is_nobody_elses() -> None:
    """Who has left while the slot is in use is found no more, keeps the slot from others, and may come back to it."""
    roster = Roster()
    slot = roster.add(70)
    roster.leave(slot)
    assert (roster.slots([70]), roster.add(80) != slot) == ({}, True)
    roster.come_back(slot, 70)
    assert roster.slots([70]) == {70: slot}


def test_users_are_found() -> None:
    """Users are found by the ledger's rows; who has left is not."""
    roster = Roster()
    first, second = roster.add(70), roster.add(80)
    roster.release(first)
    assert roster.slots([70, 80, 90]) == {80: second}
