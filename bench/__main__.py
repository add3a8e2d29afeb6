"""`python -m bench`: run parts of the bench and print one Markdown table."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module

from bench.table import Row, markdown

PARTS = ("policy", "weight", "end_to_end", "scrape", "scale")
"""Modules of this package with `rows(quick: bool) -> Iterable[Row]`, in the order of the table."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return 0, or 1 where a part could not be measured to its end."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; default: all of them")
    parser.add_argument("--quick", action="store_true", help="a short version: it shows that the bench runs")
    flags = parser.parse_args(arguments)
    unknown = set(flags.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part of the bench: {', '.join(sorted(unknown))}")
    failures: list[str] = []
    rows = [found for part in flags.parts or PARTS for found in _measured(part, flags.quick, failures)]
    sys.stdout.write(markdown(rows) + "\n")
    sys.stderr.writelines(f"{failure}\n" for failure in failures)
    return 1 if failures else 0


def _measured(part: str, quick: bool, failures: list[str]) -> Iterable[Row]:
    """Return the rows of a part as they come; what ends it early is noted, and the other parts go on."""
    try:
        for found in import_module(f"bench.{part}").rows(quick):
            sys.stderr.write(f"{part}: {found.case}: {found.figure}: {found.value:.4g} {found.unit}\n")
            yield found
    except (OSError, RuntimeError) as error:
        failures.append(f"{part} was not measured to its end: {error}")


if __name__ == "__main__":
    sys.exit(main())
