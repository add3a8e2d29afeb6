"""`python -m mixin.dashboards` writes the dashboards anew."""

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from mixin.dashboards import exporter, overview, threats

FOLDER = Path(__file__).parents[2] / "monitoring" / "dashboards"
BUILDERS = {"overview.json": overview.build, "threats.json": threats.build, "exporter.json": exporter.build}


def text(dashboard: Dashboard) -> str:
    """Return a dashboard as it is checked in."""
    return json.dumps(dashboard, cls=JSONEncoder, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write all of them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, build in BUILDERS.items():
        (FOLDER / name).write_text(text(build()), encoding="utf-8")


if __name__ == "__main__":
    main()
