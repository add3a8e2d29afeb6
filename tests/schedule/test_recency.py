"""The order by who was moved to the end last, against a plain list."""

from hypothesis import given
from hypothesis import strategies as st

from exporter.schedule.recency import Recency


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 7))))
def test_is_like_a_list(steps: list[tuple[bool, int]]) -> None:
    """After any moves and removals, the slots come out in the order of a list that did the same."""
    order, expected = Recency(), list[int]()
    for is_move, slot in steps:
        expected = [each for each in expected if each != slot] + ([slot] if is_move else [])
        order.move_to_end(slot) if is_move else order.remove(slot)
    found = []
    while (first := order.first) is not None:
        found.append(first)
        order.remove(first)
    assert found == expected
