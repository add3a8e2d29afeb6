"""The kinds of panel the dashboards are made of, each with the house's look, and the colours that words have everywhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from grafana_foundation_sdk.builders import bargauge, common, geomap, heatmap, prometheus, stat, statetimeline, table
from grafana_foundation_sdk.builders import timeseries as lines
from grafana_foundation_sdk.builders.dashboard import FieldColor, ThresholdsConfig
from grafana_foundation_sdk.models import common as look
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.geomap import TooltipMode
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from mixin.dashboards.variables import DATASOURCE

GOOD, FAIR, BAD, WORST, CALM, DULL = "green", "yellow", "orange", "red", "blue", "#8e8e8e"

RESPONSES: Mapping[str, str] = {"Pass": GOOD, "Fail": WORST, "InProgress": FAIR}
RISK_LEVELS: Mapping[str, str] = {"None": CALM, "Low": FAIR, "Medium": BAD, "High": WORST, "Unknown": DULL}
DECISIONS: Mapping[str, str] = {"NoRisk": GOOD, "AccountTakeover": BAD, "Block": WORST, "Unknown": DULL}
VERDICTS: Mapping[str, str] = {"Valid": GOOD, "Invalid": WORST}
FAILURES_IN_A_ROW: Mapping[str, str] = {"1-2": DULL, "3-4": CALM, "5-9": FAIR, "10-19": BAD, "20+": WORST}
USER_STATES: Mapping[str, str] = {"ok": GOOD, "waiting": CALM, "not_found": DULL, "failing": WORST}
OUTCOMES: Mapping[str, str] = {"ok": GOOD, "throttled": FAIR, "timeout": BAD, "not_authorized": WORST}

USUAL, LIMIT = "usual", "limit"
"""What the name of a series ends in that is not the present, but what to hold it against: a dashed line, a limit in red."""

EVENT_BAR = "5m"
"""A bar of events stands for no less: they are seen by polls, minutes apart, and a bar a scrape would be a comb."""


@dataclass(frozen=True, slots=True)
class Query:
    """What to ask, and how what is answered is called: `{{label}}` is that label's value."""

    expr: str
    legend: str = ""

    def over_time(self) -> prometheus.Dataquery:
        """Return the query of a panel over time."""
        return prometheus.Dataquery().expr(self.expr).legend_format(self.legend).range()

    def at_the_end(self) -> prometheus.Dataquery:
        """Return the query of a single number, asked at the end of the time shown."""
        return prometheus.Dataquery().expr(self.expr).legend_format(self.legend).instant()

    def as_rows(self) -> prometheus.Dataquery:
        """Return the query of a table, whose columns are the labels and the value."""
        return prometheus.Dataquery().expr(self.expr).format(PromQueryFormat.TABLE).instant()


@dataclass(frozen=True, slots=True)
class Says:
    """What a panel shows in words: its title, what one should know to read it, and what stands there where there is nothing."""

    title: str
    description: str
    nothing: str = "none"


AnyPanel = stat.Panel | lines.Panel | bargauge.Panel | table.Panel | geomap.Panel | heatmap.Panel | statetimeline.Panel
"""The builders of panels share their methods, but no class that says so."""

_P = TypeVar(
    "_P", stat.Panel, lines.Panel, bargauge.Panel, table.Panel, geomap.Panel, heatmap.Panel, statetimeline.Panel
)


def _said(panel: _P, says: Says, targets: Sequence[prometheus.Dataquery]) -> _P:
    """Give a panel its words and its queries, which are called A, B, C as in Grafana's editor."""
    return (
        panel.title(says.title)
        .description(says.description)
        .no_value(says.nothing)
        .datasource(DATASOURCE)
        .targets([target.ref_id(chr(ord("A") + index)) for index, target in enumerate(targets)])
    )


def _steps(base: str, steps: Mapping[float, str]) -> ThresholdsConfig:
    """Return thresholds: the first colour, and from which value on there is another."""
    rest = [Threshold(value=value, color=colour) for value, colour in steps.items()]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps([Threshold(value=None, color=base), *rest])


def _by_thresholds() -> FieldColor:
    return FieldColor().mode(FieldColorModeId.THRESHOLDS)


def _fixed(colour: str) -> DynamicConfigValue:
    return DynamicConfigValue("color", {"mode": FieldColorModeId.FIXED, "fixedColor": colour})


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False)


def words(texts: Mapping[float, tuple[str, str]]) -> list[ValueMapping]:
    """Return what is written for a number, and in which colour."""
    return [
        ValueMap(
            {
                f"{value:g}": ValueMappingResult(text=text, color=colour, index=index)
                for index, (value, (text, colour)) in enumerate(texts.items())
            }
        )
    ]


def number(
    says: Says,
    expr: str,
    unit: str = "short",
    base: str = "text",
    steps: Mapping[float, str] | None = None,
    texts: Mapping[float, tuple[str, str]] | None = None,
) -> stat.Panel:
    """Return one number of the time shown."""
    panel = (
        _said(stat.Panel(), says, [Query(expr).at_the_end()])
        .unit(unit)
        .thresholds(_steps(base, steps or {}))
        .color_scheme(_by_thresholds())
        .reduce_options(_last())
        .graph_mode(look.BigValueGraphMode.NONE)
        .color_mode(look.BigValueColorMode.VALUE)
        .text_mode(look.BigValueTextMode.VALUE)
    )
    return panel.mappings(words(texts)) if texts else panel


def _dashed(panel: lines.Panel, ending: str, *more: DynamicConfigValue) -> lines.Panel:
    return panel.override_by_regexp(
        f"/{ending}$/",
        [
            DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [10, 10]}),
            DynamicConfigValue("custom.fillOpacity", 0),
            *more,
        ],
    )


def _styled(panel: lines.Panel, queries: Sequence[Query], colours: Mapping[str, str]) -> lines.Panel:
    """Give series the colours of their names, and dashes to what the present is held against."""
    for name, colour in colours.items():
        panel = panel.override_by_name(name, [_fixed(colour)])
    if any(query.legend.endswith(USUAL) for query in queries):
        panel = _dashed(panel, USUAL)
    if any(query.legend.endswith(LIMIT) for query in queries):
        panel = _dashed(panel, LIMIT, _fixed(WORST))
    return panel


def curves(
    says: Says,
    queries: Sequence[Query],
    unit: str = "short",
    colours: Mapping[str, str] | None = None,
) -> lines.Panel:
    """Return a panel of lines over time."""
    panel = (
        _said(lines.Panel(), says, [query.over_time() for query in queries])
        .unit(unit)
        .min(0)
        .color_scheme(FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .draw_style(look.GraphDrawStyle.LINE)
        .line_width(1)
        .fill_opacity(10)
        .show_points(look.VisibilityMode.NEVER)
        .tooltip(common.VizTooltipOptions().mode(look.TooltipDisplayMode.MULTI).sort(look.SortOrder.DESCENDING))
        .legend(
            common.VizLegendOptions()
            .display_mode(look.LegendDisplayMode.LIST)
            .placement(look.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
    )
    return _styled(panel, queries, colours or {})


def stack(
    says: Says,
    queries: Sequence[Query],
    unit: str = "short",
    colours: Mapping[str, str] | None = None,
) -> lines.Panel:
    """Return a panel of areas over time, one upon the other: parts of a whole that lasts."""
    return (
        curves(says, queries, unit, colours)
        .fill_opacity(40)
        .line_interpolation(look.LineInterpolation.STEP_AFTER)
        .stacking(common.StackingConfig().mode(look.StackingMode.NORMAL).group("A"))
    )


def bars(says: Says, queries: Sequence[Query], colours: Mapping[str, str] | None = None) -> lines.Panel:
    """Return a panel of events over time: each bar is how many were counted in the time that it stands for."""
    return (
        curves(says, queries, "short", colours)
        .interval(EVENT_BAR)
        .decimals(0)
        .draw_style(look.GraphDrawStyle.BARS)
        .bar_alignment(look.BarAlignment.BEFORE)
        .fill_opacity(80)
        .stacking(common.StackingConfig().mode(look.StackingMode.NORMAL).group("A"))
    )


def ranking(says: Says, query: Query, unit: str = "short") -> bargauge.Panel:
    """Return bars side by side, the longest first if the query sorts."""
    return (
        _said(bargauge.Panel(), says, [query.at_the_end()])
        .unit(unit)
        .min(0)
        .thresholds(_steps(CALM, {}))
        .color_scheme(_by_thresholds())
        .reduce_options(_last())
        .orientation(look.VizOrientation.HORIZONTAL)
        .display_mode(look.BarGaugeDisplayMode.BASIC)
        .name_placement(look.BarGaugeNamePlacement.LEFT)
        .value_mode(look.BarGaugeValueMode.TEXT)
        .show_unfilled(False)
    )


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: the label, or `Value` of a query by its letter; its heading, unit and the words for its numbers."""

    field: str
    heading: str
    unit: str = ""
    texts: Mapping[float, tuple[str, str]] | None = None

    def properties(self) -> list[DynamicConfigValue]:
        """Return what is different about this column."""
        unit = [DynamicConfigValue("unit", self.unit)] if self.unit else []
        if not self.texts:
            return unit
        coloured = DynamicConfigValue("custom.cellOptions", {"type": look.TableCellDisplayMode.COLOR_TEXT})
        return [*unit, DynamicConfigValue("mappings", words(self.texts)), coloured]


def rows(says: Says, queries: Sequence[str], columns: Sequence[Column], sort: str = "") -> table.Panel:
    """Return a table of these columns, as things are at the end of the time shown; rows of several queries are joined."""
    fields = [column.field for column in columns]
    panel = (
        _said(table.Panel(), says, [Query(expr).as_rows() for expr in queries])
        .unit("short")
        .show_header(True)
        .cell_height(look.TableCellHeight.SM)
        .sort_by([common.TableSortByFieldState().display_name(sort).desc(True)] if sort else [])
        .with_transformation(DataTransformerConfig("merge", options={}))
        .with_transformation(
            DataTransformerConfig(
                "organize",
                options={
                    "excludeByName": {},
                    "includeByName": dict.fromkeys(fields, True),
                    "indexByName": {field: index for index, field in enumerate(fields)},
                    "renameByName": {column.field: column.heading for column in columns},
                },
            )
        )
    )
    for column in columns:
        if properties := column.properties():
            panel = panel.override_by_name(column.heading, properties)
    return panel


def world(says: Says, query: str) -> geomap.Panel:
    """Return a map of the world with a circle upon each country, the larger the more."""
    circle = {
        "style": {
            "size": {"field": "Value", "min": 4, "max": 24},
            "color": {"field": "Value", "fixed": CALM},
            "opacity": 0.6,
            "symbol": {"mode": "fixed", "fixed": "img/icons/marker/circle.svg"},
        },
        "showLegend": False,
    }
    outline = {
        "src": "public/maps/countries.geojson",
        "rules": [],
        "style": {"color": {"fixed": DULL}, "opacity": 0.2, "lineWidth": 1},
    }
    return (
        _said(geomap.Panel(), says, [Query(query).as_rows()])
        .unit("short")
        .thresholds(_steps(CALM, {}))
        .color_scheme(_by_thresholds())
        .view(geomap.MapViewConfig().id("coords").lat(25).lon(10).zoom(2))
        .controls(geomap.ControlsOptions().show_zoom(True).mouse_wheel_zoom(False).show_attribution(False))
        .tooltip(geomap.TooltipOptions().mode(TooltipMode.DETAILS))
        # Grafana's own outlines: the default are tiles of a public server, which would see who looks, and not be there offline
        .basemap(common.MapLayerOptions().type("geojson").name("Countries").config(outline))
        .layers(
            [
                common.MapLayerOptions()
                .type("markers")
                .name("Events")
                .config(circle)
                .tooltip(True)
                .location(
                    common.FrameGeometrySource()
                    .mode(look.FrameGeometrySourceMode.LOOKUP)
                    .lookup("country")
                    .gazetteer("public/gazetteer/countries.json")
                )
            ]
        )
    )


def buckets(says: Says, expr: str, unit: str = "s") -> heatmap.Panel:
    """Return a histogram over time: the darker, the more."""
    query = Query(expr, "{{le}}").over_time().format(PromQueryFormat.HEATMAP)
    return (
        _said(heatmap.Panel(), says, [query])
        .interval(EVENT_BAR)
        .calculate(False)
        .color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64))
        .filter_values(heatmap.FilterValueRange().le(1e-9))
        .cell_gap(1)
        .y_axis(heatmap.YAxisConfig().unit(unit).axis_placement(look.AxisPlacement.LEFT))
        .cell_values(heatmap.CellValues().unit("short").decimals(0))
        .mode(look.TooltipDisplayMode.SINGLE)
        .show_legend()
        .unit(unit)
    )


def states(says: Says, query: Query, texts: Mapping[float, tuple[str, str]]) -> statetimeline.Panel:
    """Return a line for each series, coloured while it has a state."""
    return (
        _said(statetimeline.Panel(), says, [query.over_time()])
        .unit("short")
        .mappings(words(texts))
        .color_scheme(_by_thresholds())
        .thresholds(_steps(DULL, {}))
        .show_value(look.VisibilityMode.NEVER)
        .row_height(0.8)
        .merge_values(True)
        .fill_opacity(70)
        .line_width(0)
        .legend(
            common.VizLegendOptions()
            .display_mode(look.LegendDisplayMode.LIST)
            .placement(look.LegendPlacement.BOTTOM)
            .show_legend(False)
        )
        .tooltip(common.VizTooltipOptions().mode(look.TooltipDisplayMode.SINGLE).sort(look.SortOrder.NONE))
    )
