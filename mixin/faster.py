"""`python -m mixin.faster`: rules and alerts whose time passes faster, for a try against `demo` and for tests."""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

_STRING_OR_DURATION = re.compile(
    r"""(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)|\b(?P<duration>(?:\d+(?:ms|[smhdwy]))+)\b"""
)
_MILLISECONDS = {
    "ms": 1,
    "s": 1000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
    "y": 31_536_000_000,
}
_TIMED = ("interval", "for", "keep_firing_for")


def faster_duration(duration: str, by: float) -> str:
    """Return a duration in Prometheus' form (`1h30m`) divided by `by`, in whole milliseconds, one at least."""
    parts = re.findall(r"(\d+)(ms|[smhdwy])", duration)
    return f"{max(1, round(sum(int(number) * _MILLISECONDS[unit] for number, unit in parts) / by))}ms"


def faster_expression(expression: str, by: float) -> str:
    """Return PromQL with each duration in it (ranges, offsets, steps) divided by `by`; plain numbers stay as they are."""
    return _STRING_OR_DURATION.sub(lambda found: found["string"] or faster_duration(found["duration"], by), expression)


def faster_rules(document: dict[str, Any], by: float) -> dict[str, Any]:
    """Return a file of rules, as parsed, whose windows, offsets and waits are shorter by this factor."""
    return {"groups": [_group(group, by) for group in document["groups"]]}


def _group(group: dict[str, Any], by: float) -> dict[str, Any]:
    return {**_timed(group, by), "rules": [_rule(rule, by) for rule in group["rules"]]}


def _rule(rule: dict[str, Any], by: float) -> dict[str, Any]:
    return {**_timed(rule, by), "expr": faster_expression(rule["expr"], by)}


def _timed(mapping: dict[str, Any], by: float) -> dict[str, Any]:
    return {key: faster_duration(str(value), by) if key in _TIMED else value for key, value in mapping.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files; return 0, or 1 where one cannot be read or written, or holds no rules."""
    flags = _parser().parse_args(arguments)
    try:
        flags.into.mkdir(parents=True, exist_ok=True)
        for path in flags.files:
            (flags.into / path.name).write_text(_faster_text(path, flags.by))
    except OSError as error:
        return _failed(f"{error.filename}: {error.strerror}")
    except ValueError as error:
        return _failed(str(error))
    return 0


def _failed(message: str) -> int:
    sys.stderr.write(f"{message}\n")
    return 1


def _faster_text(path: Path, by: float) -> str:
    try:
        rules = faster_rules(yaml.safe_load(path.read_text()), by)
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        message = f"{path}: this is no file of Prometheus rules; see what `promtool check rules` says of it"
        raise ValueError(message) from error
    return yaml.safe_dump(rules, sort_keys=False, width=1000)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mixin.faster", description=__doc__)
    parser.add_argument("--by", type=_factor, required=True, help="how many times faster, e.g. 60: minutes for hours")
    parser.add_argument("--into", type=Path, required=True, metavar="FOLDER", help="where the files go")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="monitoring/*.rules.yml")
    return parser


def _factor(text: str) -> float:
    factor = float(text)
    if not 0 < factor < float("inf"):
        raise argparse.ArgumentTypeError("it has to be above 0")
    return factor


if __name__ == "__main__":
    sys.exit(main())
