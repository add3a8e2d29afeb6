"""Files that people write."""

from pathlib import Path

from exporter.configuration.errors import ConfigError, Problem


def read_text(file: Path, hint: str) -> str:
    """Return the text of a regular file in UTF-8. Raises `ConfigError`; `hint` says how to mend it."""
    try:
        if file.exists() and not file.is_file():  # a pipe or a device might be waited for without end
            raise ConfigError([Problem(file, f"cannot be read: not a regular file; {hint}")])
        return file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError([Problem(file, f"cannot be read: {error.strerror}; {hint}")]) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError([Problem(file, "not UTF-8: save the file in that encoding", line)]) from error
