"""A clock that is set is told from one that runs."""

from exporter.schedule.clock import WallClock


def test_tells_when_it_was_set() -> None:
    """Running, and being slewed, is not being set; a step forward or back is."""
    wall, monotonic = [1000.0], [5.0]
    clock = WallClock(lambda: wall[0], lambda: monotonic[0])
    for ran, seen in ((10.0, 10.0), (3600.0, 3601.0)):
        monotonic[0] += ran
        wall[0] += seen
        assert (clock(), clock.set_at) == (wall[0], float("-inf"))
    for step in (3600.0, -7200.0):
        monotonic[0] += 1.0
        wall[0] += 1.0 + step
        assert (clock(), clock.set_at) == (wall[0], wall[0])
    monotonic[0] += 50.0
    wall[0] += 50.0
    assert (clock(), clock.set_at) == (wall[0], wall[0] - 50.0)
