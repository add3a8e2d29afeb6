"""Rules whose time passes faster."""

from pathlib import Path

import pytest
import yaml

from mixin.faster import faster_duration, faster_expression, main

DURATIONS = {
    "1h": "60000ms",
    "1h30m": "90000ms",
    "5m": "5000ms",
    "30s": "500ms",
    "100ms": "2ms",
    "1ms": "1ms",
    "1w": "10080000ms",
}


@pytest.mark.parametrize(("duration", "faster"), DURATIONS.items())
def test_durations_shrink_to_a_millisecond_at_least(duration: str, faster: str) -> None:
    """A duration in Prometheus' form is sixty times shorter, and never nothing, which Prometheus refuses."""
    assert faster_duration(duration, 60) == faster


EXPRESSIONS = {
    "rate(a[5m])": "rate(a[5000ms])",
    "max_over_time(a[1h:30s] offset 1d)": "max_over_time(a[60000ms:500ms] offset 1440000ms)",
    'increase(a{window="5m", path=~"[1h]"}[5m]) > 300': 'increase(a{window="5m", path=~"[1h]"}[5000ms]) > 300',
    "user_pool:a:increase1h > 4 + 3 * user_pool:a:p90": "user_pool:a:increase1h > 4 + 3 * user_pool:a:p90",
    "time() - a > 120": "time() - a > 120",
}


@pytest.mark.parametrize(("expression", "faster"), EXPRESSIONS.items())
def test_only_durations_change(expression: str, faster: str) -> None:
    """Ranges, offsets and steps shrink; names, texts and thresholds stay."""
    assert faster_expression(expression, 60) == faster


def test_waits_of_rules_shrink(tmp_path: Path) -> None:
    """The waits of groups and alerts shrink with the windows; labels and annotations stay."""
    alert = {"alert": "A", "expr": "a[1h]", "for": "5m", "labels": {"for": "5m"}, "annotations": {"summary": "5m"}}
    rules = tmp_path / "a.rules.yml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": "g", "interval": "1m", "rules": [alert]}]}))
    assert main(["--by=60", f"--into={tmp_path / 'faster'}", str(rules)]) == 0
    faster = yaml.safe_load((tmp_path / "faster" / "a.rules.yml").read_text())
    changed = {**alert, "expr": "a[60000ms]", "for": "5000ms"}
    assert faster == {"groups": [{"name": "g", "interval": "1000ms", "rules": [changed]}]}


@pytest.mark.parametrize(
    "text", ["", "groups", "groups: [1]", "groups: [{rules: [{}]}]", "a: b: c", "groups: [{name: g}]"]
)
def test_what_is_no_file_of_rules_is_named(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file without rules, and one that is missing, are named in one line, without a traceback."""
    rules = tmp_path / "a.yml"
    rules.write_text(text)
    assert main(["--by=60", f"--into={tmp_path / 'faster'}", str(rules)]) == 1
    assert capsys.readouterr().err.startswith(f"{rules}: this is no file of Prometheus rules")
    rules.unlink()
    assert main(["--by=60", f"--into={tmp_path / 'faster'}", str(rules)]) == 1
    assert capsys.readouterr().err == f"{rules}: No such file or directory\n"


@pytest.mark.parametrize("factor", ["0", "-1", "inf", "nan", "fast"])
def test_factors_that_mean_nothing_are_refused(factor: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A factor is a number above 0."""
    with pytest.raises(SystemExit) as ended:
        main([f"--by={factor}", "--into=x", "y"])
    assert ended.value.code == 2
    assert "--by" in capsys.readouterr().err
