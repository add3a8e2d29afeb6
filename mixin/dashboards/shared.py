"""Panels that stand on two dashboards."""

from grafana_foundation_sdk.builders import stat

from exporter.metrics.families import EVENT_LAG, NEW_COUNTRY_SIGN_INS
from mixin.dashboards.panels import BAD, FAIR, GOOD, WORST, Says, number
from mixin.dashboards.queries import IN_RANGE, count, of, quantile, some


def from_new_countries() -> stat.Panel:
    """Return the number of sign-ins from countries new for their users."""
    return number(
        Says(
            "From new countries",
            "Passed sign-ins from a country in which no earlier one of the same user was seen, in the time shown.",
            "not counted",
        ),
        count(of(NEW_COUNTRY_SIGN_INS)),
        base=GOOD,
        steps={1: BAD},
    )


def delay() -> stat.Panel:
    """Return how late events are counted."""
    return number(
        Says(
            "Delay",
            "Nine of ten events counted in the time shown were counted within this time of their creation. "
            "What happened since may not be known yet.",
            "no events",
        ),
        some(quantile(0.9, EVENT_LAG, over=IN_RANGE)),
        unit="s",
        base=GOOD,
        steps={900: FAIR, 3600: WORST},
    )
