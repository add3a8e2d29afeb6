"""What fuzzing has found in configuration files: each is a mistake with a place, told in one line that can be read."""

from pathlib import Path

import pytest

from exporter.configuration.errors import ConfigError
from exporter.configuration.load import load

POOL = "user_pools: [{id: eu-west-1_Ab1, users: {all: true}}]\n"
LARGE = f"0x{'f' * 5000}"
TOO_LARGE = "not YAML: this number is too large"
ALIASES = "".join(f"l{n}: &l{n} {{k: *l{n - 1}, k: *l{n - 1}}}\n" for n in range(1, 40))

CASES = {
    "tag of another kind": (f"{POOL}polling: {{max_pages: !!float ''}}", "2:22: not YAML: this is no !!float"),
    "truth that is none": (f"{POOL}metrics: {{country: !!bool x}}", "2:20: not YAML: this is no !!bool"),
    "time that is none": (f"{POOL}counting: {{start: !!timestamp x}}", "2:19: not YAML: this is no !!timestamp"),
    "digits without end": (f"{POOL}polling: {{max_pages: {'9' * 5000}}}", "2:22: not YAML: this is no !!int"),
    "large number": (f"{POOL}metrics: {{country: {LARGE}}}", f"2:20: {TOO_LARGE}"),
    "large rate": (f"{POOL}polling: {{requests_per_second: {LARGE}}}", f"2:32: {TOO_LARGE}"),
    "large truth": (f"user_pools: [{{id: eu-west-1_Ab1, users: {{all: {LARGE}}}}}]", f"1:47: {TOO_LARGE}"),
    "line in a key": (f'{POOL}"a\\nb": 1', "2:1: a\\nb: unknown key; known here: "),
    "escape sequence": (f'{POOL}metrics: {{country: "\\e[2J"}}', '2:20: metrics.country: "\\x1b[2J" is none of '),
    "one key many times": (f"l0: &l0 {{x: 1}}\n{ALIASES}", ": an alias makes the document endless: write it out"),
}


@pytest.mark.parametrize("case", CASES)
def test_strange_files(case: str, tmp_path: Path) -> None:
    """No text in a file is more than a mistake in it, and none reaches a terminal as it is."""
    text, expected = CASES[case]
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file)
    (line,) = str(caught.value).splitlines()
    assert expected in line.removeprefix(f"{file}:")
    assert line.isprintable()


def test_a_mistake_in_an_alias_is_told_once(tmp_path: Path) -> None:
    """A key given twice is one mistake, however many aliases lead to it."""
    file = tmp_path / "config.yaml"
    file.write_text(f"{POOL}a: &a {{k: 1, k: 2}}\nb: [*a, *a, *a]\n")
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert [problem.path for problem in caught.value.problems if "already" in problem.text] == ["a.k"]
