"""Files of user names."""

from pathlib import Path

import pytest

from exporter.configuration.errors import ConfigError
from exporter.configuration.users_file import read_users_file


def test_reads_names(tmp_path: Path) -> None:
    """One name a line; comments, blank lines, spaces around and a byte order mark are passed over."""
    file = tmp_path / "users.txt"
    file.write_bytes("\ufeffroot\r\n\n# emergency only\n  ada#1 \n用户".encode())
    assert read_users_file(file) == ["root", "ada#1", "用户"]


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
        read_users_file(file)
