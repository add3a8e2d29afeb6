"""The bench: that it runs, and what it prints. No time is asserted."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bench.__main__ import PARTS
from bench.canned import History
from bench.table import Goal, markdown, row

ROOT = Path(__file__).parents[1]

THROUGHPUT = (
    *("polls a second, exporter/bare", "CPU per poll, exporter/bare"),
    *("polls a second, exporter", "CPU per poll, exporter", "polls a second, bare", "CPU per poll, bare"),
    "share of a core that the server took",
)
RENDERED = ("time, exporter/generate_latest", "time, exporter", "time, generate_latest")
SCRAPED = ("longest scrape/idle scrape", "scrape/idle scrape", "longest scrape", "polls a second")
FIGURES: dict[tuple[str, str], tuple[str, ...]] = {
    ("end_to_end", "sleepers"): THROUGHPUT,
    ("end_to_end", "readers"): THROUGHPUT,
    ("end_to_end", "ingest"): (
        *("time, exporter/bare", "CPU, exporter/bare", "time of an event, exporter", "CPU of an event, exporter"),
        *("time of an event, bare", "CPU of an event, bare"),
    ),
    ("end_to_end", "delay"): (
        *("mean delay once shown, exporter/round robin", "mean delay, exporter", "mean delay, round robin"),
        "events counted",
    ),
    ("scrape", "1,000 series, all are new"): ("time, exporter",),
    **{("scrape", f"1,000 series, {what} changed"): RENDERED for what in ("nothing has", "a tenth has", "all has")},
    ("scrape", "1,000 series, polls as fast as it goes"): SCRAPED,
    ("scrape", "1,000 series, polls at AWS's default quota"): SCRAPED,
    ("scrape", "1,000 series, nobody is polled"): ("scrape",),
    ("scale", "1,000 users"): (
        *(
            "memory per user",
            "memory per user after a second discovery",
            "memory per user at the peak",
            "memory in all",
        ),
        *("written to disk per poll", "CPU per poll", "start to first poll", "SIGTERM to exit"),
    ),
}


def bench(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the bench as its users do."""
    call = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(call, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)


def cells(line: str) -> list[str]:
    """Return the cells of a line of a Markdown table."""
    return [cell.strip() for cell in line.strip("|").split("|")]


def quick_rows(part: str) -> list[list[str]]:
    """Return the rows that the short version of a part prints."""
    done = bench("--quick", part)
    assert done.returncode == 0, done.stderr
    head, _, *lines = done.stdout.splitlines()
    assert cells(head) == ["part", "case", "figure", "ratio or value", "goal", "met"]
    return [cells(line) for line in lines]


def test_every_figure_has_a_row() -> None:
    """The short version measures everything, and prints a row with a value for each figure."""
    parts = sorted({part for part, _ in FIGURES})
    with ThreadPoolExecutor(len(parts)) as threads:  # at once: what they measure here is of no interest
        rows = [row for found in threads.map(quick_rows, parts) for row in found]
    expected = [(*where, figure) for where, figures in FIGURES.items() for figure in figures]
    assert sorted(tuple(cells[:3]) for cells in rows) == sorted(expected)
    for *_, value, goal, met in rows:
        float(value.split()[0].replace(",", ""))
        assert met in ({"-"} if goal == "-" else {"yes", "no"})


def test_a_part_that_does_not_exist_is_a_wrong_call() -> None:
    """A mistyped part is told, with those that exist, before anything is measured."""
    done = bench("end-to-end")
    assert done.returncode == 2
    assert "end-to-end" in done.stderr
    assert done.stdout == ""


def test_the_parts_named_in_the_help_exist() -> None:
    """Every part is a module of the bench."""
    assert all((ROOT / "bench" / f"{part}.py").is_file() for part in PARTS)


@pytest.mark.parametrize(
    ("goal", "value", "met"),
    [(None, 5.0, "-"), (Goal("<=", 5.0), 5.0, "yes"), (Goal("<=", 5.0), 5.1, "no"), (Goal(">=", 1.0), 0.99, "no")],
)
def test_goals_are_bounds(goal: Goal | None, value: float, met: str) -> None:
    """A figure at its bound keeps it, and a figure without a goal is not judged."""
    line = markdown([row("part", "case", "figure", value, "s", goal)]).splitlines()[-1]
    assert cells(line)[-1] == met


def test_canned_histories_page_like_the_service() -> None:
    """A history comes in pages of 60, linked by tokens, in ids of the user's own."""
    history = History(61, now=1_800_000_000.0)
    first, second = history.page("user-0000001", None, 60), history.page("user-0000001", "60", 60)
    assert first.count(b"user-0000001") == 60
    assert b'"NextToken": "60"' in first
    assert second.count(b"user-0000001") == 1
    assert b"NextToken" not in second
    assert history.page("user-0000001", None, 5).count(b"user-0000001") == 5
    assert b"user-0000001" not in history.page("user-0000002", None, 60)
