"""The status as JSON, for scripts."""

import json
import math
import re
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from exporter.schedule.advice import ADVICE
from exporter.schedule.status import BudgetStatus, ErrorStatus, PoolStatus, Status
from exporter.web.problems import Problem
from exporter.web.status_api import (
    BudgetAnswer,
    ErrorAnswer,
    PoolAnswer,
    ProblemAnswer,
    StatusAnswer,
    StatusData,
    render,
)
from tests.web.statuses import BUDGET, DENIED, NOW, POOL, RECENT, STATUS

DOCUMENT = (Path(__file__).parents[2] / "docs" / "status.md").read_text()
DOCUMENTED: dict[str, type[BaseModel]] = {
    "data": StatusData,
    "data.problems[]": ProblemAnswer,
    "data.pools[]": PoolAnswer,
    "data.pools[].errors[]": ErrorAnswer,
    "data.budgets[]": BudgetAnswer,
}


def answer(status: Status) -> dict[str, Any]:
    """Return the answer, read as strictly as JSON is meant."""

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    return dict(json.loads(render(status), parse_constant=refuse))


def test_frame() -> None:
    """The answer stands in the frame that Prometheus' own API has."""
    told = answer(STATUS)
    assert (set(told), told["status"]) == ({"status", "data"}, "success")
    assert set(StatusAnswer.model_fields) == set(told)


def test_everything_is_told() -> None:
    """Pool, budget, error and times are there as numbers and words, with what to do."""
    data = answer(replace(STATUS, pools=(replace(POOL, up=False, errors=(DENIED,)),)))["data"]
    assert (data["now"], data["started"], data["max_staleness"], data["recent_window"]) == (NOW, NOW - 93784, 900, 3600)
    [pool] = data["pools"]
    assert (pool["name"], pool["up"], pool["users"]["ok"], pool["recent"]) == ("customers", False, 12840, RECENT)
    assert pool["errors"] == [
        {
            "at": NOW - 75,
            "operation": "ListUsers",
            "outcome": "not_authorized",
            "message": "AccessDeniedException",
            "path": "",
            "advice": ADVICE["not_authorized"],
        }
    ]
    [budget] = data["budgets"]
    assert (budget["spent"], budget["left"]) == (3.25, 1.75)
    [problem] = data["problems"]
    assert (problem["severity"], problem["pools"]) == ("critical", ["customers"])


def test_unknown_is_null() -> None:
    """What is not known is null, never a number that nobody measured."""
    pool = replace(POOL, oldest_poll=None, newest_poll=None, lag_seconds=None, recent=None)
    data = answer(replace(STATUS, pools=(pool,), budgets=(replace(BUDGET, spent=None),)))["data"]
    absent = {key for key, value in data["pools"][0].items() if value is None}
    assert absent == {"oldest_poll", "newest_poll", "lag_seconds", "recent", "threat_protection"}
    assert (data["budgets"][0]["spent"], data["budgets"][0]["left"]) == (None, None)
    assert (data["stuck"], data["reload_error"]) == (None, None)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_always_json(value: float) -> None:
    """A number that JSON does not have is null: the answer can always be read."""
    status = replace(STATUS, pools=(replace(POOL, lag_seconds=value),))
    assert answer(status)["data"]["pools"][0]["lag_seconds"] is None


@pytest.mark.parametrize("text", ['"\\\u2028</script>', "\x00\x1f", "عربي", "\U0001f600"])
def test_any_text(text: str) -> None:
    """Whatever a message holds comes out of it as it went in."""
    status = replace(STATUS, pools=(replace(POOL, errors=(replace(DENIED, message=text),)),))
    assert answer(status)["data"]["pools"][0]["errors"][0]["message"] == text


@pytest.mark.parametrize(
    ("inside", "told"),
    [
        (Status, StatusData),
        (PoolStatus, PoolAnswer),
        (BudgetStatus, BudgetAnswer),
        (ErrorStatus, ErrorAnswer),
        (Problem, ProblemAnswer),
    ],
)
def test_nothing_known_is_left_out(inside: type, told: type[BaseModel]) -> None:
    """Whatever the status knows is told."""
    assert is_dataclass(inside)
    assert {field.name for field in fields(inside)} <= set(told.model_fields)


def documented(place: str) -> list[str]:
    """Return the keys that docs/status.md tells of an object."""
    [section] = re.findall(rf"^### `{re.escape(place)}`\n(.*?)(?=^#|\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    return re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)


@pytest.mark.parametrize(("place", "model"), DOCUMENTED.items())
def test_documented(place: str, model: type[BaseModel]) -> None:
    """docs/status.md tells of each key, of no other, and in the order in which they come."""
    assert documented(place) == list(model.model_fields)


def test_advice_is_documented() -> None:
    """docs/status.md says the same about each error as the page."""
    told = dict(
        re.findall(r"^\| `(\w+)` \| (.*) \|$", DOCUMENT.partition("## What to do about errors")[2], re.MULTILINE)
    )
    assert {outcome: text.replace("`", "") for outcome, text in told.items()} == dict(ADVICE)
