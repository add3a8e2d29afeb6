"""The fair order: everybody in turn, nobody twice before the others once."""

from exporter.schedule.policy import FairOrder


def order_of(*users: tuple[str, float]) -> FairOrder:
    """Return an order with these users and their due times."""
    order = FairOrder()
    for user, due in users:
        order.add(user, due)
    return order


def test_longest_due_is_next() -> None:
    """Whoever has been due longest is asked next; nobody before being due."""
    order = order_of(("b", 2.0), ("a", 1.0), ("c", 9.0))
    assert [order.choose(5.0), order.choose(5.0), order.choose(5.0)] == ["a", "b", None]
    assert order.next_due() == 9.0


def test_nobody_is_polled_twice_at_once() -> None:
    """A user who is away is not chosen again, though selected again meanwhile."""
    order = order_of(("a", 0.0))
    assert order.choose(0.0) == "a"
    order.remove("a")
    order.add("a", 0.0)
    assert order.choose(0.0) is None
    order.returned("a", 1.0)
    assert (order.choose(0.5), order.choose(1.0)) == (None, "a")


def test_removed_users_are_not_polled() -> None:
    """A user who is no longer selected is not polled, waiting or away."""
    order = order_of(("a", 0.0), ("b", 1.0))
    order.remove("a")
    assert order.choose(9.0) == "b"
    order.remove("b")
    order.returned("b", 9.0)
    assert (order.choose(99.0), order.next_due()) == (None, None)


def test_round_robin_under_load() -> None:
    """With everybody overdue, each of n users is asked once in n polls."""
    order = order_of(*((f"u{n}", 0.0) for n in range(50)))
    for now in range(1, 4):
        turn = []
        for _ in range(50):
            user = order.choose(float(now))
            assert user is not None
            turn.append(user)
            order.returned(user, float(now))
        assert len(set(turn)) == 50
