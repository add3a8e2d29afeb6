"""The chart as helm renders it, and what of it is made from other files: `python -m tests.deploy.helm_chart` writes that anew."""

import json
import re
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from textwrap import indent
from typing import Any

import yaml

from exporter.configuration.models import Config
from tests.conftest import need

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "cognito-auth-exporter"
SCHEMA = CHART / "values.schema.json"
GOLDEN = Path(__file__).parent / "golden" / "helm"
HELM = ROOT / ".venv" / "helm" / "helm"
DASHBOARDS = sorted((ROOT / "monitoring" / "dashboards").glob("*.json"))
RULES = sorted((ROOT / "monitoring").glob("*.rules.yml"))
CASES = {
    path.name.removesuffix("-values.yaml"): f"--values={path}" for path in sorted((CHART / "ci").glob("*-values.yaml"))
}
"""The flags that make each case of the folder ci."""

# Go's regular expressions, by which helm validates, have no (?=…). It keeps a duration from being empty, as minLength does.
_LOOKAHEAD = "(?=[0-9])"


def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run helm; whether it succeeds is for the caller to say."""
    program = need(HELM, "`make chart` unpacks it, on Linux on x86-64")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=60)


@cache
def template(*arguments: str | Path, chart: Path = CHART, release: str = "watch") -> str:
    """Return what helm renders. Raises `ValueError` with what helm says against it."""
    done = helm("template", release, chart, "--namespace=monitoring", *arguments)
    if done.returncode:
        raise ValueError(done.stderr)
    return done.stdout


def objects(text: str) -> list[dict[str, Any]]:
    """Return the objects of a rendered chart."""
    return [each for each in yaml.safe_load_all(text) if each is not None]


def by_kind(*arguments: str, release: str = "watch") -> dict[str, dict[str, Any]]:
    """Return the objects that helm renders by kind, dashboards left out: there is one of each."""
    found = objects(template(*arguments, release=release))
    return {each["kind"]: each for each in found if "grafana_dashboard" not in each["metadata"]["labels"]}


def container(*arguments: str) -> dict[str, Any]:
    """Return the container of the pod that helm renders."""
    found: dict[str, Any] = by_kind(*arguments)["StatefulSet"]["spec"]["template"]["spec"]["containers"][0]
    return found


def golden(case: str) -> str:
    """Return what a case renders, but for the files of monitoring/, which are in the repository once."""
    text = template(CASES[case])
    for file in DASHBOARDS:
        text = text.replace(indent(file.read_text(), "    "), f"    ({file.relative_to(ROOT)})\n")
    return re.sub(r"(?<=^  groups:\n)(?:    .*\n)+", "    (monitoring/*.rules.yml)\n", text, flags=re.MULTILINE)


def values_schema() -> str:
    """Return the schema of the values: as it is written by hand, with the exporter's own configuration in it, without `state`."""
    config = Config.model_json_schema()
    definitions: dict[str, Any] = config.pop("$defs")
    del definitions["State"], config["properties"]["state"]
    schema = json.loads(SCHEMA.read_text())
    schema["$defs"] = _for_go({**definitions, "Config": config})
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _for_go(schema: Any) -> Any:
    """Return a schema with patterns that Go knows."""
    if isinstance(schema, list):
        return [_for_go(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    adapted = {key: _for_go(value) for key, value in schema.items()}
    if _LOOKAHEAD in str(schema.get("pattern")):
        adapted |= {"pattern": schema["pattern"].replace(_LOOKAHEAD, ""), "minLength": 1}
    return adapted


def main() -> None:
    """Write the schema and the golden files."""
    SCHEMA.write_text(values_schema())
    for file in GOLDEN.glob("*.yaml"):
        file.unlink()
    for case in CASES:
        (GOLDEN / f"{case}.yaml").write_text(golden(case))


if __name__ == "__main__":
    main()
