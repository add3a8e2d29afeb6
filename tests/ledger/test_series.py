"""The book of series: what a transaction changes, what of that is told, and what is left once it is taken back."""

import sqlite3
from collections.abc import Iterator

import pytest

from exporter.ledger.counters import CHALLENGES, COUNTERS, EVENTS, FEEDBACK, HIGH_RISK_SIGN_INS
from exporter.ledger.database import Database
from exporter.ledger.series import Series, SeriesBook

POOL = 1
NOW = 1_700_000_000.0
FRANCE, SPAIN, PERU = (("SignIn", "Pass", "None", country) for country in ("France", "España", "Peru"))


def series_of(number: int, labels: tuple[str, ...], **changes: object) -> Series:
    """Return a committed series of the events family."""
    return Series(number, (POOL, EVENTS, labels), **changes)  # type: ignore[arg-type]


def book_of(*series: Series) -> SeriesBook:
    """Return a book in which these are committed."""
    return SeriesBook(series, NOW)


def is_folded(book: SeriesBook, labels: tuple[str, ...], max_series: int) -> bool:
    """Tell whether a label set is folded."""
    return book.find(POOL, EVENTS, labels, max_series)[1]


ROWS = [
    series_of(3, SPAIN, value=5, shown=True, last=NOW, exemplar="e-1", exemplar_at=NOW - 5),
    series_of(4, FRANCE, value=1, shown=False, last=None, exemplar=None, exemplar_at=None),
]


@pytest.mark.parametrize("series", ROWS, ids=["full", "bare"])
def test_a_series_outlives_a_restart(series: Series) -> None:
    """All that a series is comes back from its row, its newest exemplar's time included."""
    assert Series.of_row(series.row()) == series  # type: ignore[arg-type]


def test_labels_are_stored_as_they_are_written() -> None:
    """The state holds labels in UTF-8 and without blanks: a state that grows by escapes would be another one."""
    assert ROWS[0].row()[3] == '["SignIn","Pass","None","España"]'


def test_an_older_event_is_no_newer_exemplar() -> None:
    """The exemplar is of the newest event counted, also where an older one is counted later."""
    series = Series.of_row(ROWS[0].row())  # type: ignore[arg-type]
    series.note_exemplar("late", NOW - 6)
    assert series.exemplar == "e-1"
    series.note_exemplar("newer", NOW - 5)
    assert series.exemplar == "newer"


@pytest.mark.parametrize(("max_series", "folded"), [(1, True), (2, True), (3, False)])
def test_forgotten_series_make_room(max_series: int, folded: bool) -> None:
    """What is forgotten takes no place any more of `max_series`, and what is left still takes one each."""
    france, spain, peru = (series_of(number, labels) for number, labels in enumerate([FRANCE, SPAIN, PERU]))
    book = book_of(france, spain, peru)
    book.forget([france])
    assert is_folded(book, FRANCE, max_series) is folded


def test_a_forgotten_series_is_not_released() -> None:
    """A series that is forgotten while it is held at zero is not looked for when its hold is over."""
    held = series_of(1, FRANCE, value=1)
    book = book_of(held)
    assert book.holds
    book.forget([held])
    book.release(NOW + 60, 60)
    assert not book.holds
    assert book.committed(NOW + 60) == []


def test_a_series_of_the_transaction_is_touched() -> None:
    """A series is told anew once it is touched, whether it is committed or was made just now."""
    book = book_of(series_of(1, FRANCE))
    made, _ = book.find(POOL, EVENTS, SPAIN, 10)
    assert book.touch(made.id) is made
    touched = book.touch(1)
    assert touched is book.touch(1)
    assert {series.id for series in book.committed(NOW)} == {1, made.id}


def test_what_is_taken_back_takes_no_room() -> None:
    """After a transaction that was taken back there are as many series as before it."""
    book = book_of(series_of(1, FRANCE))
    for _ in range(3):
        assert not is_folded(book, SPAIN, 2)
        book.discard()
    assert not is_folded(book, SPAIN, 2)
    assert is_folded(book, PERU, 2)


@pytest.mark.parametrize(("value", "shown", "is_held"), [(0, False, False), (1, False, True), (1, True, False)])
def test_a_start_holds_what_was_held(value: int, shown: bool, is_held: bool) -> None:
    """After a start a series is held that was counted in and not shown yet, and no other."""
    assert book_of(series_of(1, FRANCE, value=value, shown=shown)).holds is is_held


@pytest.mark.parametrize(("after", "hold", "is_shown"), [(0, 0, True), (59, 60, False), (60, 60, True)])
def test_holds_end_in_time(after: float, hold: float, is_shown: bool) -> None:
    """A series shows its value from the moment on at which its hold is over; a hold of nothing is over at once."""
    book = book_of(series_of(1, FRANCE, value=1))
    book.release(NOW + after, hold)
    assert [series.shown for series in book.committed(NOW)] == ([True] if is_shown else [])


def test_a_clock_set_back_holds_anew() -> None:
    """Where the clock was set back, a hold lasts its time by the new clock."""
    book = book_of(series_of(1, FRANCE, value=1))
    for now, is_shown in [(NOW - 1000, False), (NOW - 941, False), (NOW - 940, True)]:
        book.release(now, 60)
        assert [series.shown for series in book.committed(now)] == ([True] if is_shown else [])


@pytest.mark.parametrize(("created", "is_told"), [(NOW - 1, False), (NOW, False), (NOW + 1, True)])
def test_only_a_newer_event_is_told(created: float, is_told: bool) -> None:
    """An event that is no newer than the newest of its series changes nothing, and nothing is written of it."""
    book = book_of(series_of(1, FRANCE, last=NOW))
    book.note_event(1, created)
    assert [series.last for series in book.committed(NOW)] == ([created] if is_told else [])


@pytest.mark.parametrize(("family", "zeros"), [(FEEDBACK, 0), (EVENTS, 0), (CHALLENGES, 4), (HIGH_RISK_SIGN_INS, 3)])
def test_zeros(family: str, zeros: int) -> None:
    """A family stands at zero in every combination of its known values; one of open values does nowhere."""
    assert len(list(COUNTERS[family].zeros())) == zeros


def test_families_without_an_open_label_do_not_fold() -> None:
    """Only a family with an open label is bounded: the values of the others are few by themselves."""
    book = book_of()
    for number in range(5):
        assert not book.find(POOL, FEEDBACK, ("Valid", f"Provider{number}"), 1)[1]


def test_a_family_is_bounded_by_itself() -> None:
    """Series of another pool or family take no places of `max_series`."""
    book = book_of(Series(1, (2, EVENTS, FRANCE)), Series(2, (POOL, FEEDBACK, ("Valid", "Admin"))))
    assert not is_folded(book, FRANCE, 1)


@pytest.fixture
def connection() -> Iterator[Database]:
    """Return a state with nothing but the table of series."""
    made = sqlite3.connect(":memory:")
    made.execute(
        "CREATE TABLE series (id INTEGER PRIMARY KEY, pool, family, labels, value, shown, last, exemplar, exemplar_at)"
    )
    yield Database(made, None)
    made.close()


@pytest.mark.parametrize(
    ("hold", "counted", "is_shown"), [(0, 1, True), (0, 0, False), (0.5, 1, False), (1, 1, False), (60, 1, False)]
)
def test_what_is_written_is_what_is_shown(connection: Database, hold: float, counted: int, is_shown: bool) -> None:
    """With no hold a new series shows its value in the transaction that counts, else a later one shows it."""
    book = book_of()
    series, _ = book.find(POOL, EVENTS, FRANCE, 10)
    for _ in range(counted):
        book.add(series)
    book.write(connection, hold)
    assert connection.execute("SELECT value, shown FROM series").fetchall() == [(counted, is_shown)]
    book.committed(NOW)
    assert book.holds is (counted > 0 and not is_shown)


def test_a_hold_ends_once() -> None:
    """A series whose hold is over is held no more, and is told of no more."""
    book = book_of(series_of(1, FRANCE, value=1))
    book.release(NOW + 60, 60)
    assert len(book.committed(NOW + 60)) == 1
    assert not book.holds
    book.release(NOW + 120, 60)
    assert book.committed(NOW + 120) == []
