"""`events`: a real process that prints one user's history as the simulator has it."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from exporter.event.event import Context
from exporter.event.record import record_of
from exporter.simulator.faults import Kind
from exporter.simulator.world import auth_event
from tests.e2e.conftest import POOL, Town


def events(folder: Path, *arguments: str, username: str = "ada") -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    call = [sys.executable, "-m", "exporter", "events", "--user-pool=scripted", "--username", username, *arguments]
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
    return done


def test_json_is_the_latest_history(town: Town) -> None:
    """JSON has the newest events over several pages, newest first, every field as the event log has it."""
    town.settle("ada")
    town.happen("ada", 130)
    history = [record_of(event) for event in town.world.history(POOL, "ada", time.time())]
    done = events(town.config.parent, "--output=json", "--limit", "125")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == history[:125]
    assert town.simulator.requests.counts == {"AdminListUserAuthEvents": 3}
    assert {request.limit for request in town.simulator.requests.newest} == {60}


def test_table(town: Town) -> None:
    """The table has twenty events by default, newest first, and a small page is asked for."""
    town.settle("ada")
    town.happen("ada", 25, context=Context("192.0.2.1", "evil\x1b[2J\u202e\ndevice", None, "null", "France"))
    newest = next(iter(town.world.history(POOL, "ada", time.time())))
    lines = events(town.config.parent).stdout.splitlines()
    assert len(lines) == 21
    assert lines[0].split()[:2] == ["time", "event"]
    assert lines[1].endswith(newest.event_id)
    assert "evil\\x1b[2J\\u202e\\ndevice" in lines[1]
    assert [request.limit for request in town.simulator.requests.newest] == [20]


@pytest.mark.parametrize(("output", "says"), [("table", "no events\n"), ("json", "[]\n")])
def test_no_events(output: str, says: str, town: Town) -> None:
    """A user without events is no mistake, and that there are none is said."""
    town.settle("ada")
    done = events(town.config.parent, "--output", output)
    assert (done.returncode, done.stdout, done.stderr) == (0, says, "")


def test_unknown_user(town: Town) -> None:
    """A user who does not exist ends it with 1."""
    done = events(town.config.parent, username="ghost")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "scripted: no such user\n")


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("AccessDeniedException", "AccessDeniedException"),
        ("UserPoolAddOnNotEnabledException", "UserPoolAddOnNotEnabledException"),
        ("ResourceNotFoundException", "ResourceNotFoundException"),
        (Kind.HANG, "no whole answer within the request timeout"),
        (Kind.HTML, "the answer could not be read"),
    ],
)
def test_refusals(kind: str, says: str, town: Town) -> None:
    """What AWS refuses ends it with 1 and is said in a line."""
    town.settle("ada")
    town.faults.inject(kind)
    done = events(town.config.parent)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert says in done.stderr


def test_damaged_entries_are_told(town: Town) -> None:
    """An entry that cannot be read is left out, and that is said beside the output."""
    town.settle("ada")
    town.happen("ada", 3)
    town.faults.inject(Kind.NO_EVENT_ID, requests=1)
    done = events(town.config.parent, "--output=json")
    assert (done.returncode, len(json.loads(done.stdout))) == (0, 2)
    assert done.stderr == "1 entry could not be read and left out\n"


def test_repeated_token_ends_it(town: Town) -> None:
    """A token that comes twice ends the reading, which would go on for ever."""
    town.settle("ada")
    town.happen("ada", 200)
    town.faults.inject(Kind.REPEATED_TOKEN)
    done = events(town.config.parent, "--limit=200")
    assert (done.returncode, "repeated a NextToken" in done.stderr) == (1, True)


@pytest.mark.parametrize("town", [{"page_size": 1}], indirect=True)
def test_budget_is_held(town: Town) -> None:
    """The pages are asked for within the budget, throttled ones again."""
    town.settle("ada")
    town.happen("ada", 40)
    town.config.write_text(town.config.read_text().replace("requests_per_second: 200", "requests_per_second: 10"))
    town.faults.inject(Kind.THROTTLE, requests=1)
    done = events(town.config.parent, "--limit=30", "--output=json")
    assert (done.returncode, len(json.loads(done.stdout))) == (0, 30)
    assert town.simulator.requests.most_within(1.0) <= 10 * 2
    assert town.simulator.requests.most_within(2.0) <= 10 * 3


@pytest.mark.parametrize("tail", ["| head -n 1", ">&-"])
def test_output_that_nobody_takes(tail: str, town: Town) -> None:
    """A reader that goes away makes no traceback."""
    town.settle("ada")
    for number in range(200):
        town.world.add_event(POOL, "ada", auth_event(time.time() - number, event_type="x" * 1000))
    script = f"{sys.executable} -m exporter events --user-pool=scripted --username=ada --limit=200 --output=json {tail}"
    folder = town.config.parent
    done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
