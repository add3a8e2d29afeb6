"""The configuration file: what good ones mean, and what each mistake says, where."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from exporter.configuration.errors import ConfigError
from exporter.configuration.load import load

POOL = "{id: eu-west-1_Ab1, users: {all: true}}"


def read(folder: Path, text: str) -> list[str]:
    """Return the mistakes in a configuration, its folder left out."""
    file = folder / "config.yaml"
    file.write_text(text)
    try:
        load(file)
    except ConfigError as error:
        return [line.replace(f"{folder}/", "") for line in str(error).splitlines()]
    return []


GOOD = """
user_pools:
  - id: eu-west-1_Ab129faBb
    name: customers
    endpoint_url: https://cognito-idp-fips.us-gov-west-1.amazonaws.com
    credentials: {profile: security, role_arn: "arn:aws:iam::111122223333:role/team/auth-events-reader", external_id: x1}
    users:
      usernames: [alice, bob@example.com, 用户, "+4412345"]
      files: [break-glass.txt]
      groups: [administrators]
      filters: ['status = "Enabled"', 'username ^= "svc-"']
      exclude: [load-test]
  - {id: us-east-1_x, users: {all: true}}
polling: {requests_per_second: 0.5, max_staleness: 1h30m, min_interval: 90s, discovery_interval: 2d}
counting: {start: 24h}
state: {path: state.db}
metrics: {country: none, per_user: hashed, series_hold: 0s}
"""


def test_reads_every_key(tmp_path: Path) -> None:
    """A configuration becomes models: durations in seconds, paths below the file's folder, defaults that follow the id."""
    (tmp_path / "break-glass.txt").write_text("root\n")
    file = tmp_path / "config.yaml"
    file.write_text(GOOD)
    config = load(file)
    first, second = config.user_pools
    assert (first.name, first.region, second.name, second.region) == (
        "customers",
        "eu-west-1",
        "us-east-1_x",
        "us-east-1",
    )
    assert first.users.usernames == ("alice", "bob@example.com", "用户", "+4412345")
    assert first.users.files == (tmp_path / "break-glass.txt",)
    assert first.credentials.role_arn == "arn:aws:iam::111122223333:role/team/auth-events-reader"
    assert second.users.all
    polling = config.polling
    assert (polling.requests_per_second, polling.max_staleness, polling.min_interval) == (0.5, 5400.0, 90.0)
    assert (polling.discovery_interval, polling.request_timeout, polling.max_pages) == (172_800.0, 10.0, 200)
    assert (config.counting.start, config.counting.settle) == (86_400.0, 900.0)
    assert config.state.path == tmp_path / "state.db"


@pytest.mark.parametrize(
    ("start", "meaning"),
    [
        ("now", "now"),
        ("beginning", "beginning"),
        ("24h", 86_400.0),
        ("2026-01-31T01:00:00+01:00", datetime(2026, 1, 31, tzinfo=UTC)),
        ('"2026-01-31T00:00:00Z"', datetime(2026, 1, 31, tzinfo=UTC)),
    ],
)
def test_starts(start: str, meaning: object, tmp_path: Path) -> None:
    """`counting.start` is a word, a length of time, or a moment in UTC."""
    file = tmp_path / "config.yaml"
    file.write_text(f"user_pools: [{POOL}]\ncounting: {{start: {start}}}\n")
    assert load(file).counting.start == meaning


def test_a_user_may_have_the_name_of_a_sign(tmp_path: Path) -> None:
    """A name that YAML 1.1 has another use for is text all the same."""
    (tmp_path / "config.yaml").write_text("user_pools: [{id: eu-west-1_Ab1, users: {usernames: [=, alice]}}]")
    assert load(tmp_path / "config.yaml").user_pools[0].users.usernames == ("=", "alice")


def test_default_state_is_beside_the_file(tmp_path: Path) -> None:
    """A state path that is not given belongs to the configuration's folder too; `:memory:` is no path."""
    file = tmp_path / "config.yaml"
    file.write_text(f"user_pools: [{POOL}]\n")
    assert load(file).state.path == tmp_path / "data" / "cognito-auth-exporter.db"
    file.write_text(f'user_pools: [{POOL}]\nstate: {{path: ":memory:"}}\n')
    assert load(file).state.path == ":memory:"


MISTAKES = [
    ("", "config.yaml: the file is empty: write user_pools, as in config.example.yaml"),
    ("[1]", "config.yaml:1:1: a list is not a mapping of keys"),
    ("a: [", "config.yaml:1:5: not YAML: expected the node content, but found '<stream end>'"),
    ("a: !!python/object:os.system x", "config.yaml:1:4: not YAML: could not determine a constructor for the tag"),
    ("a: \x01", "config.yaml:1: not YAML: a character that YAML does not allow"),
    ("a: &x [*x]", "config.yaml:1:4: a[0]: an alias makes the document endless: write it out"),
    ("polling: {}", "config.yaml:1:1: user_pools: this key is required"),
    ("user_pools: []", "config.yaml:1:13: user_pools: has to have at least one item"),
    ("user_pools: [5]", "config.yaml:1:14: user_pools[0]: a number is not a mapping of keys"),
    (
        "user_pools:\n  - name: x\n    users: {all: true}",
        "config.yaml:2:5: user_pools[0].id: this key is required",
    ),
    (
        "user_pools:\n  - id: nounderscore\n    users: {all: true}",
        "config.yaml:2:9: user_pools[0].id: not the id of a user pool: it looks like eu-west-1_Ab129faBb",
    ),
    (
        "user_pools:\n  - id: a_1\n    region: x\n    users: {all: true}",
        "config.yaml:3:13: user_pools[0].region: not a Region: write it as eu-west-1",
    ),
    (
        "user_pools:\n  - id: eu-west-1_1\n    users: {}",
        "config.yaml:3:12: user_pools[0].users: selects nobody: give usernames, files, groups, filters, or all: true",
    ),
    (
        "user_pools:\n  - id: eu-west-1_1\n    users: {usernames: [alice, 123]}",
        "config.yaml:3:32: user_pools[0].users.usernames[1]: a number is not a text: put it in quotes as it is to be read",
    ),
    (
        "user_pools:\n  - id: eu-west-1_1\n    users: {usernames: [yes]}",
        "config.yaml:3:25: user_pools[0].users.usernames[0]: a truth value is not a text: put it in quotes as it is to be read",
    ),
    (
        "user_pools:\n  - id: eu-west-1_1\n    users: {usernames: alice}",
        "config.yaml:3:24: user_pools[0].users.usernames: a text is not a list: write [...] or lines that begin with -",
    ),
    (
        "user_pools:\n  - id: eu-west-1_1\n    users: {usernames: ['two words']}",
        "config.yaml:3:25: user_pools[0].users.usernames[0]: a user name has 1 to 128 characters and no white space",
    ),
    (
        "user_pools:\n  - id: eu-west-1_1\n    users: {filters: ['status = Enabled']}",
        "user_pools[0].users.filters[0]: not a ListUsers filter: write one attribute, = or ^=, a value in double quotes",
    ),
    (
        "user_pools:\n  - id: eu-west-1_1\n    users: {files: [absent.txt]}",
        "config.yaml:3:21: user_pools[0].users.files[0]: absent.txt: cannot be read: No such file or directory",
    ),
    (
        "user_pools:\n  - id: eu-west-1_1\n    users: {all: 'yes'}",
        'config.yaml:3:18: user_pools[0].users.all: "yes" is not true or false',
    ),
    (
        "user_pools:\n  - id: eu-west-1_1\n    endpoint_url: http://bob:s3cret@h\n    users: {all: true}",
        "config.yaml:3:19: user_pools[0].endpoint_url: what is written (not shown, as it has an @) is no endpoint: write https://host",
    ),
    (
        "user_pools:\n  - id: eu-west-1_1\n    endpoint_url: localhost:4566\n    users: {all: true}",
        'config.yaml:3:19: user_pools[0].endpoint_url: "localhost:4566" is no endpoint: write https://host or http://127.0.0.1:4566',
    ),
    (
        "user_pools:\n  - id: eu-west-1_1\n    credentials: {external_id: abc}\n    users: {all: true}",
        "config.yaml:3:32: user_pools[0].credentials.external_id: external_id means nothing without role_arn",
    ),
    (
        "user_pools:\n  - id: eu-west-1_1\n    credentials: {role_arn: reader}\n    users: {all: true}",
        "user_pools[0].credentials.role_arn: not the ARN of a role: arn:aws:iam::111122223333:role/auth-events-reader",
    ),
    (
        f"user_pools: [{POOL}, {POOL}]",
        "config.yaml:1:60: user_pools[1].id: user_pools[0] has this id already",
    ),
    (
        "user_pools:\n  - {id: eu-west-1_1, name: x, users: {all: true}}\n  - {id: eu-west-1_2, name: x, users: {all: true}}",
        "config.yaml:3:29: user_pools[1].name: user_pools[0] has this name already",
    ),
    (
        "user_pools:\n  - {id: eu-west-1_1, name: eu-west-1_2, users: {all: true}}\n  - {id: eu-west-1_2, users: {all: true}}",
        "config.yaml:3:5: user_pools[1].name: user_pools[0] has this name already",
    ),
    (f"user_pools: [{POOL}]\npoling: {{}}", 'config.yaml:2:1: poling: unknown key: did you mean "polling"?'),
    (
        f"user_pools: [{POOL}]\nstate: {{zzz: 1}}",
        "config.yaml:2:9: state.zzz: unknown key; known here: path",
    ),
    (
        f"user_pools: [{POOL}]\nstate: {{path: a}}\nstate: {{}}",
        "config.yaml:3:1: state: this key stands in line 2 already",
    ),
    (f"user_pools: [{POOL}]\nstate: 7", "config.yaml:2:8: state: a number is not a mapping of keys"),
    (f"user_pools: [{POOL}]\nstate: {{path: 7}}", "config.yaml:2:15: state.path: not a path: write a text"),
    (
        f"user_pools: [{POOL}]\npolling: {{max_staleness: 15}}",
        "config.yaml:2:26: polling.max_staleness: 15 is no duration: write days, hours, minutes and seconds as 2d, 1h30m",
    ),
    (f"user_pools: [{POOL}]\npolling: {{max_staleness: 15 m}}", '"15 m" is no duration'),
    (f"user_pools: [{POOL}]\npolling: {{max_staleness: 9999d}}", "polling.max_staleness: longer than 3650d"),
    (f"user_pools: [{POOL}]\npolling: {{min_interval: 0s}}", "polling.min_interval: has to be at least 1s"),
    (
        f"user_pools: [{POOL}]\npolling: {{min_interval: 20m}}",
        "config.yaml:2:25: polling.min_interval: min_interval is above max_staleness: nobody could be polled in time",
    ),
    (
        f"user_pools: [{POOL}]\npolling: {{max_staleness: 5s}}",
        "config.yaml:2:10: polling.min_interval: min_interval is above max_staleness",
    ),
    (
        f"user_pools: [{POOL}]\npolling: {{requests_per_second: 0}}",
        "polling.requests_per_second: has to be greater than 0",
    ),
    (f"user_pools: [{POOL}]\npolling: {{requests_per_second: .nan}}", "nan is not a finite number"),
    (f"user_pools: [{POOL}]\npolling: {{requests_per_second: '5'}}", '"5" is not a number'),
    (f"user_pools: [{POOL}]\npolling: {{requests_per_second: true}}", "true is not a number"),
    (f"user_pools: [{POOL}]\npolling: {{max_pages: 1.5}}", "1.5 is not a whole number"),
    (f"user_pools: [{POOL}]\npolling: {{max_pages: 0}}", "polling.max_pages: has to be at least 1"),
    (
        f"user_pools: [{POOL}]\nmetrics: {{country: iso}}",
        "metrics.country: \"iso\" is none of 'code', 'name' or 'none'",
    ),
    (f"user_pools: [{POOL}]\ncounting: {{start: 2026-01-31}}", "counting.start: 2026-01-31 is no start: write now"),
    (f"user_pools: [{POOL}]\ncounting: {{start: 2026-01-31T00:00:00}}", "2026-01-31T00:00:00 is no start"),
    (f"user_pools: [{POOL}]\ncounting: {{start: 2026-13-31T00:00:00Z}}", "2026-13-31T00:00:00Z is no start"),
    (f"user_pools: [{POOL}]\ncounting: {{start: 24}}", "24 is no start"),
    (f"user_pools: [{POOL}]\nevent_log: {{path: null}}", "event_log.path: not a path: write a text"),
    (f"user_pools: [{POOL}]\nevent_log: {{personal_data: no}}", "event_log.personal_data: false is none of"),
    (
        f"user_pools: [{POOL}]\nstate: {{path: a/b}}\nevent_log: {{path: ./a/b}}",
        "config.yaml:3:12: event_log: path is that of the state file: name another",
    ),
    (
        f"user_pools: [{POOL}]\nstate: {{path: a/b}}\nevent_log: {{path: a/b-wal}}",
        "event_log: path is that of the state file: name another",
    ),
    (
        f"user_pools: [{POOL}]\nevent_log: {{path: config.yaml}}",
        "event_log: path is that of the configuration: name another",
    ),
    (
        f"user_pools: [{POOL}]\nmetrics: {{hash_key_file: absent}}",
        "absent: cannot be read: No such file or directory; it is to hold a key, as `openssl rand -hex 32` makes one",
    ),
    (
        "user_pools: [{id: eu-west-1_1, endpoint_url: https://a.b, use_fips_endpoint: true, users: {all: true}}]",
        "user_pools[0].use_fips_endpoint: endpoint_url names the endpoint already: give one of the two",
    ),
    (
        "user_pools: [{id: eu-west-1_1, credentials: {role_session_name: abc}, users: {all: true}}]",
        "user_pools[0].credentials.role_session_name: role_session_name means nothing without role_arn",
    ),
    (f"user_pools: [{POOL}]\nmetrics: {{country: null}}", "metrics.country: nothing is none of"),
    (f"user_pools: [{POOL}]\ncounting: {{settle: }}", "counting.settle: nothing is no duration"),
    (
        "user_pools: [{id: -_A, users: {all: true}}]",
        "user_pools[0].region: not a Region: write it as eu-west-1",
    ),
    (
        'user_pools: [{id: eu-west-1_A, name: "\\ud800", users: {all: true}}]',
        "config.yaml:1:38: user_pools[0].name: an escape for half a character: write the character itself",
    ),
    (f"user_pools: [{POOL}]\n1: 2", "config.yaml:2:1: 1: unknown key"),
]


@pytest.mark.parametrize(("text", "says"), MISTAKES)
def test_mistakes(text: str, says: str, tmp_path: Path) -> None:
    """Each mistake is one line that names the place, what is wrong, and how to mend it."""
    found = read(tmp_path, text)
    assert len(found) == 1
    assert says in found[0]


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    """Mistakes of all kinds in one file are all told, in the order of the lines."""
    found = read(
        tmp_path,
        "nonsense: 1\nuser_pools:\n  - id: bad\n    users: {usernames: [1]}\n"
        "polling: {max_pages: no, max_staleness: 5s}\ncounting: {}\ncounting: {start: 5}\n",
    )
    assert [line.split(":")[1] for line in found] == ["1", "3", "4", "5", "5", "7", "7"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff\xfe", "config.yaml:1: not UTF-8: save the file in that encoding"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_hostile_files(content: bytes, says: str, tmp_path: Path) -> None:
    """Bytes that are no text, and endless nesting, are mistakes like others."""
    (tmp_path / "config.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        load(tmp_path / "config.yaml")


def test_aliases_cannot_eat_the_memory(tmp_path: Path) -> None:
    """Aliases of aliases that stand for billions of values are refused before they are made."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    found = read(tmp_path, "\n".join(lines))
    assert "an alias makes the document endless" in found[0]


def test_key_in_a_file(tmp_path: Path) -> None:
    """The key that names are hashed by is what the file holds, without the line end that editors add; it is shown nowhere."""
    (tmp_path / "key").write_bytes(b"0123456789abcdef\r\n")
    (tmp_path / "config.yaml").write_text(f"user_pools: [{POOL}]\nmetrics: {{hash_key_file: key}}")
    metrics = load(tmp_path / "config.yaml").metrics
    assert metrics.hash_key_file is not None
    assert metrics.hash_key_file.get_secret_value() == b"0123456789abcdef"
    assert "0123456789abcdef" not in repr(metrics)


@pytest.mark.parametrize("content", [b"", b"\n", b"too short\n", b"x" * 1025])
def test_bad_key_in_a_file(content: bytes, tmp_path: Path) -> None:
    """A key that is guessed easily, or is no key, is a mistake that tells how to make one; what the file holds is not told."""
    (tmp_path / "key").write_bytes(content)
    (found,) = read(tmp_path, f"user_pools: [{POOL}]\nmetrics: {{hash_key_file: key}}")
    assert "metrics.hash_key_file: " in found
    assert "a key has 16 to 1024 bytes; it is to hold a key, as `openssl rand -hex 32` makes one" in found
    assert "too short" not in found


@pytest.mark.parametrize("place", ["absent.yaml", "."])
def test_unreadable_file(place: str, tmp_path: Path) -> None:
    """A file that is missing or a folder is named, with the flag that names it."""
    with pytest.raises(ConfigError, match=r"cannot be read: .*; name another with --config\.file"):
        load(tmp_path / place)
