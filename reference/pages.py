"""Which pages there are, and what makes each."""

from collections.abc import Callable, Mapping
from pathlib import Path

from reference import command_line, configuration, metrics

DOCS = Path(__file__).parents[1] / "docs"

PAGES: Mapping[str, Callable[[], str]] = {
    "command-line.md": command_line.page,
    "configuration.md": configuration.page,
    "metrics.md": metrics.page,
}
"""By file name in `docs`, what returns the page's text."""
