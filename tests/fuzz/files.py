"""Files that people write, as bytes: what they mean, or every mistake on a line of its own that names the file."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from exporter.configuration.errors import ConfigError
from exporter.configuration.load import load
from exporter.web.web_config import load_web_config
from tests.fuzz.check import Check, bounded
from tests.web.certificates import make_certificates


@contextmanager
def configs(folder: Path) -> Iterator[Check]:
    """Check configuration files."""
    (folder / "break-glass.txt").write_text("root\n")
    (folder / "key").write_text("0123456789abcdef" * 4)
    yield bounded(_check_of(load, folder / "config.yaml"))


@contextmanager
def web_configs(folder: Path) -> Iterator[Check]:
    """Check web configuration files, beside certificates."""
    make_certificates(folder)
    yield bounded(_check_of(load_web_config, folder / "web.yaml"))


def _check_of(read: Callable[[Path], object], file: Path) -> Check:
    def check(data: bytes) -> None:
        file.write_bytes(data)
        try:
            read(file)
        except ConfigError as error:
            _check_text(error, file)

    return check


def _check_text(error: ConfigError, file: Path) -> None:
    lines = str(error).split("\n")
    assert len(lines) == len(error.problems)
    for line in lines:
        assert line.startswith(str(file))
        assert line.isprintable()
