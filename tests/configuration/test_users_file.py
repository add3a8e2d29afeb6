"""Files of user names."""

from pathlib import Path

import pytest

from exporter.configuration.errors import ConfigError
from exporter.configuration.users_file import check_users_file, read_users_file


def test_reads_names(tmp_path: Path) -> None:
    """One name a line; comments, blank lines, spaces around and a byte order mark are passed over."""
    file = tmp_path / "users.txt"
    file.write_bytes("\ufeffroot\r\n\n# emergency only\n  ada#1 \n用户".encode())
    assert list(read_users_file(file, 2)) == [["root", "ada#1"], ["用户"]]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"good\ntwo words\n" + b"x" * 129, "users.txt:2: .*one a line\n.*users.txt:3: "),
        (b"good\n\xff\xfe", "users.txt:2: not UTF-8"),
    ],
)
def test_mistakes(content: bytes, says: str, tmp_path: Path) -> None:
    """Every bad line is told with its number."""
    file = tmp_path / "users.txt"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        next(read_users_file(file, 1))
    with pytest.raises(ConfigError, match=says):
        check_users_file(file)


def test_many_bad_lines_are_told_in_short(tmp_path: Path) -> None:
    """Of a file in another format the first bad lines are named, and how many more there are."""
    file = tmp_path / "users.csv"
    file.write_text("alice, 1\nbob\n" * 5000)
    with pytest.raises(ConfigError) as caught:
        check_users_file(file)
    assert [problem.line for problem in caught.value.problems] == [*range(1, 40, 2), None]
    assert "4980 more lines" in str(caught.value)


def test_a_file_with_a_mistake_at_its_end_gives_no_name(tmp_path: Path) -> None:
    """Not one batch of a file comes before all of it is known to be good."""
    file = tmp_path / "users.txt"
    file.write_text("\n".join(["good"] * 3000 + ["two words"]))
    with pytest.raises(ConfigError, match=r"users\.txt:3001"):
        next(read_users_file(file, 1000))


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_line_ends(ending: str, tmp_path: Path) -> None:
    """Lines end as on any system, the last one also by the end of the file."""
    file = tmp_path / "users.txt"
    file.write_bytes(f"ada{ending}eve{ending}{ending}bob".encode())
    assert list(read_users_file(file, 9)) == [["ada", "eve", "bob"]]
