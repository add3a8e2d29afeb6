"""Where simulated requests come from: countries in a geo-IP database's spelling, cities, devices, addresses."""

from dataclasses import dataclass
from random import Random

from exporter.event.event import Context


@dataclass(frozen=True, slots=True)
class Country:
    """A country by its English geo-IP name; `offset` is hours east of UTC, `weight` its share of users."""

    name: str
    offset: float
    cities: tuple[str, ...]
    weight: float = 1.0


COUNTRIES = (
    Country("Argentina", -3, ("Buenos Aires", "Córdoba"), 2),
    Country("Australia", 10, ("Sydney", "Melbourne", "Brisbane"), 4),
    Country("Austria", 1, ("Vienna", "Graz"), 3),
    Country("Brazil", -3, ("São Paulo", "Rio de Janeiro", "Recife"), 5),
    Country("Canada", -5, ("Toronto", "Montreal", "Ottawa"), 5),
    Country("Czechia", 1, ("Prague", "Brno"), 2),
    Country("France", 1, ("Paris", "Lyon", "Nantes"), 8),
    Country("Germany", 1, ("Berlin", "Hamburg", "Munich", "Leipzig"), 10),
    Country("Greece", 2, ("Athens", "Thessaloniki"), 1),
    Country("Hong Kong", 8, ("Hong Kong",), 1),
    Country("India", 5.5, ("Mumbai", "Bengaluru", "Delhi"), 6),
    Country("Indonesia", 7, ("Jakarta", "Surabaya"), 1),
    Country("Ireland", 0, ("Dublin", "Cork"), 3),
    Country("Italy", 1, ("Milan", "Rome", "Turin"), 5),
    Country("Japan", 9, ("Tokyo", "Osaka"), 4),
    Country("Kenya", 3, ("Nairobi",), 1),
    Country("Mexico", -6, ("Mexico City", "Monterrey"), 2),
    Country("Netherlands", 1, ("Amsterdam", "Utrecht"), 5),
    Country("New Zealand", 12, ("Auckland",), 1),
    Country("Nigeria", 1, ("Lagos",), 1),
    Country("Poland", 1, ("Warsaw", "Kraków"), 3),
    Country("Portugal", 0, ("Lisbon", "Porto"), 2),
    Country("Romania", 2, ("Bucharest", "Cluj-Napoca"), 1),
    Country("Singapore", 8, ("Singapore",), 2),
    Country("South Africa", 2, ("Johannesburg", "Cape Town"), 1),
    Country("South Korea", 9, ("Seoul", "Busan"), 2),
    Country("Spain", 1, ("Madrid", "Barcelona", "Sevilla"), 5),
    Country("Sweden", 1, ("Stockholm", "Gothenburg"), 3),
    Country("Switzerland", 1, ("Zurich", "Geneva"), 3),
    Country("Türkiye", 3, ("Istanbul", "Ankara"), 2),
    Country("United Kingdom", 0, ("London", "Loughborough", "Leeds"), 9),
    Country("United States", -6, ("Chicago", "Austin", "New York", "Seattle"), 15),
    Country("Vietnam", 7, ("Hanoi", "Ho Chi Minh City"), 1),
)

_DEVICES = (
    "Chrome 126, Windows 10",
    "Chrome 126, Windows 11",
    "Edge 126, Windows 11",
    "Firefox 127, Windows 10",
    "Firefox 127, Ubuntu",
    "Safari 17, Mac OS X 10.15",
    "Chrome 126, Mac OS X 10.15",
    "Mobile Safari 17, iOS 17",
    "Chrome Mobile 126, Android 14",
)
_TOOLS = ("python-requests 2.31, Other", "Other, Other", "Chrome 103, Windows 7", "HeadlessChrome 124, Linux")
_NETWORKS = ("192.0.2", "198.51.100", "203.0.113")  # RFC 5737: for documentation, nobody's


@dataclass(frozen=True, slots=True)
class Origin:
    """A device at an address in a city, as Cognito would tell them from a request."""

    country: Country
    city: str
    address: str
    device: str


def origin_in(rng: Random, country: Country, *, hostile: bool = False) -> Origin:
    """Draw a place of the country; a hostile one is a tool rather than a browser."""
    return Origin(
        country=country,
        city=rng.choice(country.cities),
        address=f"{rng.choice(_NETWORKS)}.{rng.randint(1, 254)}",
        device=rng.choice(_TOOLS if hostile else _DEVICES),
    )


def home_country(rng: Random) -> Country:
    """Draw a country by its share of users."""
    return rng.choices(COUNTRIES, [country.weight for country in COUNTRIES])[0]


def country_other_than(rng: Random, home: Country) -> Country:
    """Draw any country but `home`, all alike."""
    return rng.choice([country for country in COUNTRIES if country is not home])


def context(rng: Random, origin: Origin) -> Context | None:
    """Return what Cognito notes of the origin: mostly all of it, now and then with gaps or the string `null`."""
    if rng.random() < 0.01:
        return None
    return Context(
        ip_address=origin.address,
        device_name=_with_gaps(rng, origin.device, absent=0.03),
        timezone=_with_gaps(rng, _utc_offset(origin.country.offset), absent=0.03),
        city=_with_gaps(rng, origin.city, absent=0.02, null=0.05),
        country=_with_gaps(rng, origin.country.name, absent=0.005, null=0.005),
    )


def _with_gaps(rng: Random, value: str, *, absent: float, null: float = 0.0) -> str | None:
    draw = rng.random()
    if draw < absent:
        return None
    return "null" if draw < absent + null else value


def _utc_offset(hours: float) -> str:
    minutes = round(abs(hours) * 60)
    return f"{'-' if hours < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"
