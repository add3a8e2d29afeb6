"""What a viewer chooses at the top of each dashboard: the data source, then jobs, instances and user pools of the exporter."""

from grafana_foundation_sdk.builders.dashboard import DatasourceVariable, QueryVariable
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableOption, VariableRefresh, VariableSort

from exporter.metrics.families import BUILD_INFO, UP

DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
"""The data source of every panel: whichever is chosen."""

_ALL = VariableOption(selected=True, text=["All"], value=["$__all"])


def _labels(name: str, title: str, description: str, series: str) -> QueryVariable:
    """Return a variable that offers a label's values, all of them at first."""
    return (
        QueryVariable(name)
        .label(title)
        .description(description)
        .datasource(DATASOURCE)
        .query(f"label_values({series}, {name})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".+")  # a series without the label is none of the exporter's
        .current(_ALL)
    )


VARIABLES = (
    DatasourceVariable("datasource").label("Data source").description("The Prometheus to ask.").type("prometheus"),
    _labels("job", "Job", "Prometheus jobs that scrape the exporter.", BUILD_INFO.name),
    _labels("instance", "Instance", "Processes of the exporter.", f'{BUILD_INFO.name}{{job=~"$job"}}'),
    _labels(
        "user_pool",
        "User pool",
        "User pools that these processes poll.",
        f'{UP.name}{{job=~"$job", instance=~"$instance"}}',
    ),
)
