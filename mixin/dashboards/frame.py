"""What the three dashboards share: sections of panels on a grid, links between them, restarts as annotations."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from grafana_foundation_sdk.builders.dashboard import Dashboard, DashboardLink, Row
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from mixin.dashboards.panels import CALM, AnyPanel
from mixin.dashboards.queries import scraped
from mixin.dashboards.variables import DATASOURCE, VARIABLES

WIDTH = 24  # columns of Grafana's grid
TAG = "cognito-auth"
TITLE = "Cognito auth"


@dataclass(frozen=True, slots=True)
class Line:
    """Panels side by side: equally wide, or of these widths in columns."""

    height: int
    panels: Sequence[AnyPanel]
    widths: Sequence[int] = ()

    def placed(self) -> Sequence[tuple[AnyPanel, int]]:
        """Return each panel with its width."""
        widths = self.widths or [WIDTH // len(self.panels)] * len(self.panels)
        return list(zip(self.panels, widths, strict=True))


@dataclass(frozen=True, slots=True)
class Section:
    """What one question takes, under its heading."""

    title: str
    lines: Sequence[Line]


def dashboard(name: str, description: str, since: str, sections: Sequence[Section]) -> model.Dashboard:
    """Return the dashboard of this name, showing the time since then."""
    board = (
        Dashboard(f"{TITLE} / {name}")
        .uid(f"{TAG}-{name.lower()}")
        .description(description)
        .tags([TAG])
        .readonly()
        .timezone("browser")
        .time(since, "now")
        .refresh("1m")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .variables(list(VARIABLES))
        .link(_others())
        .annotation(_Restarts())
    )
    _lay_out(board, sections)
    built = board.build()
    for variable in built.templating.list_val or []:
        variable.auto = variable.auto_min = variable.auto_count = None  # the library gives every variable an interval's
    return built


def _lay_out(board: Dashboard, sections: Sequence[Section]) -> None:
    """Put the sections under each other; panels are numbered in the order in which they are read."""
    number = count(1)
    for section in sections:
        board.with_row(Row(section.title).id(next(number)))
        for line in section.lines:
            for panel, width in line.placed():
                board.with_panel(panel.id(next(number)).span(width).height(line.height))


def _others() -> DashboardLink:
    """Return links to the dashboards with the same tag, which keep what is chosen."""
    return (
        DashboardLink(TITLE)
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .tooltip("The other dashboards of the exporter")
        .icon("external link")
        .include_vars(True)
        .keep_time(True)
    )


class _Restart(model.AnnotationQuery):
    """The library knows the query of an annotation, but not how Prometheus's data source words what it finds."""

    def to_json(self) -> dict[str, object]:
        return {**super().to_json(), "titleFormat": "Restart of {{instance}}", "useValueForTime": True}


class _Restarts(Builder[model.AnnotationQuery]):
    """Marks where a process of the exporter has started: counters of its own begin at zero there, at this address or another."""

    def build(self) -> model.AnnotationQuery:
        start = scraped("process_start_time_seconds")
        return _Restart(
            name="Restarts of the exporter",
            datasource=DATASOURCE,
            icon_color=CALM,
            expr=f"{start} * 1000",  # milliseconds, as Grafana counts them
        )
