"""`python -m torture.traced`: becomes the exporter under strace, which kills it at a system call on its state."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Strike:
    """A kill as a thread makes one of these system calls on one of these files for the `number`th time."""

    calls: str
    paths: tuple[Path, ...]
    number: int

    def arguments(self) -> list[str]:
        """Return what strace takes."""
        paths = [word for path in self.paths for word in ("-P", str(path))]
        inject = f"inject={self.calls}:signal=SIGKILL:when={self.number}"
        # -D: the exporter stays the child of whoever started it; the tracer is not its parent
        return ["strace", "-D", "-f", "-qq", "-o", os.devnull, *paths, "-e", f"trace={self.calls}", "-e", inject]


def main(arguments: Sequence[str]) -> None:
    """Become the command."""
    os.execvp(arguments[0], [*arguments])  # noqa: S606 - this process is to become that one


if __name__ == "__main__":
    main(sys.argv[1:])
