"""The event log of a real process: a line a counted event, whatever becomes of its file, its reader or the process."""

import json
import os
import random
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from exporter.event.event import AuthEvent, Challenge, Context, Feedback, Risk
from exporter.event.pseudonym import pseudonym
from exporter.event.record import record_of
from tests.conftest import ExporterProcess, Start, eventually
from tests.e2e.conftest import POOL, Town

EVENTS = "cognito_auth_events_total"
PENDING = "cognito_auth_exporter_event_log_pending_lines"
FAILURES = "cognito_auth_exporter_event_log_failures_total"
WRITTEN = "cognito_auth_exporter_event_log_lines_total"
KILLS = 15
STATE = "data/cognito-auth-exporter.db"
OWN_KEYS = ["time", "user_pool", "user_pool_id", "username", "complete"]


def log_to(town: Town, path: str = "events.jsonl", personal_data: str = "plain", **configured: str) -> Path:
    """Configure an event log, and return the path of its file."""
    log = f'event_log: {{path: "{path}", personal_data: {personal_data}}}\n'
    town.configure(more=log, **configured)
    return town.config.parent / path


def parsed(*files: Path) -> list[dict[str, Any]]:
    """Return the lines of files, every one of which is JSON."""
    return [json.loads(line) for file in files for line in file.read_bytes().decode().split("\n") if line]


def ids(lines: Iterable[dict[str, Any]]) -> list[str]:
    """Return the ids of the events in order."""
    return [line["event_id"] for line in lines]


def history(town: Town, *users: str) -> dict[str, AuthEvent]:
    """Return what the simulator serves of users, by id."""
    now = time.time()
    return {event.event_id: event for user in users for event in town.world.history(POOL, user, now)}


def all_written(exporter: ExporterProcess, number: int) -> bool:
    """Tell whether so many events are counted and the event log has taken its lines."""
    return exporter.total(EVENTS) == number and exporter.total(PENDING) == 0


def test_a_line_an_event_with_every_field(town: Town, start: Start) -> None:
    """Each counted event is one line that says what the API said: present, absent, and new words; feedback later is no line."""
    file = log_to(town)
    town.settle("ada", "grace")
    town.happen("ada", 70)
    town.happen("grace", 2, response="Fail", challenges=(Challenge("Password", "Failure"), Challenge("Mfa", None)))
    town.happen("grace", 1, risk=None, context=None, challenges=(), event_type=None)
    town.happen(
        "grace", 1, risk=Risk("Block", "High", True), context=Context("2001:db8::1", None, None, "null", 'Ü"\n\u2028')
    )
    town.happen("grace", 1, feedback=Feedback("Invalid", "Admin", datetime(2026, 1, 2, tzinfo=UTC)), event_type="New")
    truth = history(town, "ada", "grace")
    owner = dict.fromkeys(history(town, "ada"), "ada") | dict.fromkeys(history(town, "grace"), "grace")
    exporter = start()
    eventually(lambda: all_written(exporter, town.truth), "the lines")
    town.world.give_feedback(POOL, next(iter(truth)), "Valid", time.time())
    eventually(lambda: exporter.total("cognito_auth_feedback_total") == 2, "the feedback")
    lines = parsed(file)
    assert sorted(ids(lines)) == sorted(truth)
    for line in lines:
        own = {key: line.pop(key) for key in OWN_KEYS}
        event = truth[line["event_id"]]
        assert line == record_of(event)
        assert own["username"] == owner[event.event_id]
        assert (own["user_pool"], own["user_pool_id"], own["complete"]) == ("scripted", POOL, True)
        assert abs(datetime.fromisoformat(own["time"]).timestamp() - time.time()) < 60
    assert exporter.total(WRITTEN) == town.truth
    assert oct(file.stat().st_mode & 0o137) == "0o0"


def test_rotation_by_rename_loses_nothing(town: Town, start: Start) -> None:
    """A file moved away or removed under the exporter is opened anew: each event is in one of the files, once."""
    file = log_to(town, "log/deep/events.jsonl")
    town.settle("ada")
    exporter = start()
    files = [file]
    for number in range(5):
        town.happen("ada", 20)
        eventually(file.exists, "the file")
        time.sleep(random.uniform(0, 0.3))
        files.append(file.rename(file.with_suffix(f".{number}")))
    town.happen("ada", 3)
    eventually(lambda: all_written(exporter, town.truth), "the lines")
    assert sorted(ids(parsed(*files))) == sorted(history(town, "ada"))
    shutil.rmtree(file.parent)
    town.happen("ada", 3)
    eventually(lambda: len(parsed(file)) == 3, "the file, its folder made anew")
    assert exporter.total(FAILURES) == 0


def test_copytruncate_leaves_whole_lines(town: Town, start: Start) -> None:
    """A file copied and cut to nothing under the exporter is written from its beginning, without a hole."""
    file = log_to(town)
    town.settle("ada")
    exporter = start()
    copies = []
    for number in range(3):
        town.happen("ada", 10)
        eventually(lambda: all_written(exporter, town.truth), "the lines")
        copies.append(Path(shutil.copy(file, file.with_suffix(f".{number}"))))
        os.truncate(file, 0)
    town.happen("ada", 10)
    eventually(lambda: all_written(exporter, town.truth), "the lines")
    assert sorted(ids(parsed(file, *copies))) == sorted(history(town, "ada"))


def test_kills_lose_no_line(town: Town, start: Start) -> None:
    """Killed again and again under load: the ids in the file are those of the counted events, repeats and torn lines apart."""
    seed = random.randrange(2**32)
    print(f"seed: {seed}")
    rng = random.Random(seed)
    users = [f"user{number}" for number in range(12)]
    file = log_to(town)
    town.settle(*users)
    for user in users:
        town.happen(user, 200)
    town.faults.inject("slow", probability=0.5, seconds=0.05)
    interrupted = 0
    for _ in range(KILLS):
        exporter = start()
        eventually(lambda running=exporter: running.get("/-/ready").status_code == 200, "a start")  # type: ignore[misc]
        time.sleep(rng.uniform(0.0, 0.5))
        for user in rng.sample(users, 4):
            town.happen(user, rng.randint(1, 40))
        eventually(lambda: file.exists() and whole_ids(file)[1] > 0, "a line")
        time.sleep(rng.uniform(0.0, 0.3))
        assert exporter.end(signal.SIGKILL) == -signal.SIGKILL
        interrupted += whole_ids(file)[1] < town.truth
    assert interrupted, "every kill came after all was written"
    exporter = start()
    eventually(lambda: all_written(exporter, town.truth), "all lines")
    torn, _ = whole_ids(file)
    assert torn <= KILLS
    found = {json.loads(line)["event_id"] for line in file.read_text().split("\n") if is_whole(line)}
    assert found == set(history(town, *users))


def whole_ids(file: Path) -> tuple[int, int]:
    """Return how many lines are torn, and how many distinct events the others tell of."""
    lines = file.read_text(errors="replace").split("\n") if file.exists() else []
    whole = [line for line in lines if is_whole(line)]
    torn = [line for line in lines if line and not is_whole(line)]
    return len(torn), len({json.loads(line)["event_id"] for line in whole})


def is_whole(line: str) -> bool:
    """Tell whether a line is a JSON object."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def test_a_reader_that_stops_holds_nothing_up(town: Town, start: Start) -> None:
    """With standard output stuck, counting, scrapes and the stop go on in time; the next start writes what is missing."""
    log_to(town, "-")
    town.settle("ada")
    town.happen("ada", 400)
    reading, writing = os.pipe()
    exporter = start(stdout=writing)
    os.close(writing)
    eventually(lambda: exporter.total(EVENTS) == 400 and exporter.total(PENDING) > 0, "the events")
    town.happen("ada", 30)
    eventually(lambda: exporter.total(EVENTS) == town.truth, "later events")
    eventually(lambda: exporter.total(FAILURES) == 1, "that it is said")
    assert exporter.output.count("the event log fails") == 1
    began = time.monotonic()
    assert exporter.end() == 0
    assert time.monotonic() - began < 5
    with os.fdopen(reading, "rb") as pipe:
        *piped, _torn = pipe.read().decode().split("\n")
    file = log_to(town)
    again = start()
    eventually(lambda: all_written(again, town.truth), "the rest")
    assert set(ids(json.loads(line) for line in piped)) | set(ids(parsed(file))) == set(history(town, "ada"))


def test_a_reader_that_goes_away_ends_nothing(town: Town, start: Start) -> None:
    """Standard output closed by its reader is a failure that is counted and said once, without a traceback."""
    log_to(town, "-")
    town.settle("ada")
    reading, writing = os.pipe()
    exporter = start(stdout=writing)
    os.close(writing)
    town.happen("ada")
    assert json.loads(os.read(reading, 65536))["username"] == "ada"
    os.close(reading)
    town.happen("ada")
    eventually(lambda: exporter.total(FAILURES) > 1, "failures")
    assert exporter.total(EVENTS) == 2
    assert exporter.output.count("whoever read it has gone") == 1
    assert exporter.end() == 0
    assert "Traceback" not in exporter.output


def test_a_full_disk_heals(town: Town, start: Start) -> None:
    """While the disk is full events are counted and lines wait; once there is room they are written, and that is said."""
    file = log_to(town)
    file.symlink_to("/dev/full")
    town.settle("ada")
    town.happen("ada", 5)
    exporter = start()
    eventually(lambda: exporter.total(FAILURES) > 1, "failures")
    assert (exporter.total(EVENTS), exporter.total(PENDING)) == (5, 5)
    assert exporter.output.count("make room on the disk") == 1
    file.unlink()
    eventually(lambda: all_written(exporter, 5), "the lines")
    assert sorted(ids(parsed(file))) == sorted(history(town, "ada"))
    eventually(lambda: "the event log is written again" in exporter.output, "that it is said")


def test_lines_do_not_linger_in_the_state(town: Town, start: Start, tmp_path: Path) -> None:
    """Lines that are written are gone from the state after a stop; those that could not be written wait for the next start."""
    file = log_to(town)
    file.symlink_to("/dev/full")
    town.settle("ada")
    town.happen("ada", 5)
    exporter = start()
    eventually(lambda: exporter.total(EVENTS) == 5, "the events")
    assert exporter.end() == 0
    assert kept(tmp_path) == 5
    file.unlink()
    again = start()
    eventually(lambda: len(parsed(file)) == 5, "the lines of the run before")
    assert again.end() == 0
    assert kept(tmp_path) == 0


def kept(folder: Path) -> int:
    """Return how many lines a state holds."""
    with closing(sqlite3.connect(folder / STATE)) as state:
        return int(state.execute("SELECT count(*) FROM event_line").fetchone()[0])


SECRETS = [b"wilhelmina", b"192.0.2.99", b"Loughborough", b"Chrome"]


@pytest.mark.parametrize("per_user", ["none", "hashed", "plain"])
def test_personal_data_is_as_the_metrics_have_it(per_user: str, town: Town, start: Start) -> None:
    """By default user name, address, device and city are left out, hashed or plain as users are in the metrics."""
    town.configure(more="event_log: {path: events.jsonl}\n")
    text = town.config.read_text()
    town.config.write_text(text.replace("series_hold: 0s", f"series_hold: 0s, per_user: {per_user}"))
    file = town.config.parent / "events.jsonl"
    town.settle("wilhelmina")
    town.happen("wilhelmina", 3)
    exporter = start()
    eventually(lambda: all_written(exporter, 3), "the lines")
    content, lines = file.read_bytes(), parsed(file)
    assert all((secret in content) == (per_user == "plain") for secret in SECRETS)
    named = {line.get("username") for line in lines}
    users = {dict(labels)["user"] for labels in exporter.samples("cognito_auth_user_events_total")}
    assert named - {None} == users
    assert {line["context"]["country"] for line in lines} == {"United Kingdom"}
    assert all(set(line["context"]) >= {"timezone", "country"} for line in lines)
    assert all(("city" in line["context"]) == (per_user != "none") for line in lines)


def test_the_key_file_is_read_anew(town: Town, start: Start, tmp_path: Path) -> None:
    """Lines and metrics hash by the key of the file, and by a new one from the reload on."""
    file, key = log_to(town, personal_data="hashed"), tmp_path / "key"
    text = town.config.read_text()
    town.config.write_text(text.replace("series_hold: 0s", "series_hold: 0s, per_user: hashed, hash_key_file: key"))
    key.write_text("a" * 32)
    town.settle("ada")
    town.happen("ada")
    exporter = start("--web.enable-lifecycle")
    eventually(lambda: all_written(exporter, 1), "the first line")
    for number, secret in enumerate([b"a" * 32, b"b" * 32], 1):
        key.write_bytes(secret + b"\n")
        reload(exporter)
        town.happen("ada", number)
        eventually(lambda: all_written(exporter, town.truth), "the lines")
        users = {dict(labels)["user"] for labels in exporter.samples("cognito_auth_user_events_total")}
        assert users == {pseudonym(secret, "ada")} == {parsed(file)[-1]["username"]}


def test_a_reload_turns_it_on_moves_it_and_turns_it_off(town: Town, start: Start, tmp_path: Path) -> None:
    """A reload decides where lines go from then on; a place that cannot be written refuses it whole."""
    town.settle("wilhelmina")
    town.happen("wilhelmina", 2)
    exporter = start("--web.enable-lifecycle")
    eventually(lambda: exporter.total(EVENTS) == 2, "events without a log")
    first = log_to(town, "first.jsonl")
    reload(exporter)
    town.happen("wilhelmina", 3)
    eventually(lambda: len(parsed(first)) == 3, "the first file")
    second = log_to(town, "second.jsonl", personal_data="none")
    reload(exporter)
    town.happen("wilhelmina", 4)
    eventually(lambda: len(parsed(second)) == 4, "the second file")
    assert b"wilhelmina" not in second.read_bytes()
    refused = log_to(town, "folder")
    refused.mkdir()
    answer = httpx.post(f"{exporter.url}/-/reload", timeout=20)
    assert (answer.status_code, str(refused) in answer.text) == (500, True)
    town.happen("wilhelmina")
    eventually(lambda: len(parsed(second)) == 5, "the second file still")
    town.configure()
    reload(exporter)
    town.happen("wilhelmina", 6)
    eventually(lambda: exporter.total(EVENTS) == town.truth, "events without a log again")
    assert (len(parsed(first)), len(parsed(second)), exporter.total(PENDING)) == (3, 5, 0)
    assert exporter.end() == 0
    assert kept(tmp_path) == 0


def reload(exporter: ExporterProcess) -> None:
    """Have the configuration read anew."""
    assert httpx.post(f"{exporter.url}/-/reload", timeout=20).status_code == 200


def test_turned_off_lines_left_over_are_dropped_and_told(town: Town, start: Start, tmp_path: Path) -> None:
    """Lines that could not be written before the event log was turned off are deleted at the start, which says how many."""
    log_to(town).symlink_to("/dev/full")
    town.settle("ada")
    town.happen("ada", 5)
    exporter = start()
    eventually(lambda: exporter.total(PENDING) == 5, "the events")
    exporter.end(signal.SIGKILL)
    town.configure()
    again = start()
    eventually(lambda: "lines=5" in again.output, "that it is said")
    assert again.end() == 0
    assert kept(tmp_path) == 0


def test_a_place_that_cannot_be_written_ends_the_start(town: Town, start: Start, tmp_path: Path) -> None:
    """A folder, a pipe or the state as event log ends the start with 1 and a plain message, and hangs nowhere."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    shutil.copy("/dev/null", tmp_path / "note")
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE note (text TEXT)")
        other.commit()
    for name in ("folder", "pipe", "note/below", "other.db"):
        place = log_to(town, name)
        exporter = start()
        assert exporter.popen.wait(20) == 1
        assert str(place) in exporter.output
        assert "Traceback" not in exporter.output
