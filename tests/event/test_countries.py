"""Country names to codes: every name of ISO 3166-1, and the spellings of geo-IP databases."""

import pycountry
import pytest

from exporter.event.countries import _ALIASES, _folded, country_code

SPELLINGS = {
    "AX": "Åland Islands|Aland Islands|Åland|Aland",
    "BA": "Bosnia and Herzegovina|Bosnia & Herzegovina",
    "BL": "Saint Barthélemy|St. Barthelemy|St Barthélemy",
    "BN": "Brunei|Brunei Darussalam",
    "BO": "Bolivia|Bolivia, Plurinational State of|Bolivia (Plurinational State of)",
    "BQ": "Bonaire, Sint Eustatius and Saba|Bonaire, Saint Eustatius and Saba|Bonaire, Sint Eustatius, and Saba|Bonaire",
    "BS": "Bahamas|The Bahamas|Bahamas, The",
    "CC": "Cocos (Keeling) Islands|Cocos Islands",
    "CD": "DR Congo|D.R. Congo|DRC|Democratic Republic of the Congo|Democratic Republic of Congo|Congo-Kinshasa"
    "|Congo - Kinshasa|Congo (Kinshasa)|Congo, The Democratic Republic of the|Congo (Democratic Republic of the)"
    "|Congo, Democratic Republic of the|Congo DR|the Democratic Republic of the Congo",
    "CG": "Congo|Republic of the Congo|Congo Republic|Congo-Brazzaville|Congo - Brazzaville|Congo (Brazzaville)"
    "|Congo, Republic of the|Republic of Congo",
    "CI": "Ivory Coast|Cote d'Ivoire|Côte d'Ivoire|Côte d\u2019Ivoire|Cote D'ivoire|Cote dIvoire",
    "CV": "Cape Verde|Cabo Verde",
    "CW": "Curaçao|Curacao",
    "CZ": "Czechia|Czech Republic|The Czech Republic",
    "FK": "Falkland Islands|Falkland Islands (Malvinas)|Falkland Islands (Islas Malvinas)",
    "FM": "Micronesia|Federated States of Micronesia|Micronesia, Federated States of|Micronesia (Federated States of)",
    "GB": "United Kingdom|UK|U.K.|Great Britain|England|Scotland|Wales|Northern Ireland|The United Kingdom",
    "GM": "Gambia|The Gambia|Gambia, The",
    "GS": "South Georgia and the South Sandwich Islands|South Georgia & South Sandwich Islands|South Georgia",
    "GW": "Guinea-Bissau|Guinea Bissau",
    "HK": "Hong Kong|Hong Kong SAR China|Hong Kong SAR|HONG KONG",
    "HM": "Heard Island and McDonald Islands|Heard and McDonald Islands",
    "IR": "Iran|Iran, Islamic Republic of|Iran (Islamic Republic of)|Islamic Republic of Iran",
    "JO": "Jordan|Hashemite Kingdom of Jordan",
    "KN": "Saint Kitts and Nevis|St. Kitts and Nevis|St Kitts & Nevis|St Kitts and Nevis",
    "KP": "North Korea|Korea, North|Democratic People's Republic of Korea|Korea (Democratic People's Republic of)",
    "KR": "South Korea|Korea|Republic of Korea|Korea, Republic of|Korea (Republic of)|Korea, South|Korea Republic",
    "LA": "Laos|Lao People's Democratic Republic|Lao PDR",
    "LC": "Saint Lucia|St. Lucia|St Lucia",
    "LT": "Lithuania|Republic of Lithuania",
    "LY": "Libya|Libyan Arab Jamahiriya",
    "MD": "Moldova|Moldova, Republic of|Republic of Moldova|Moldova (Republic of)",
    "MF": "Saint Martin|St. Martin|Saint Martin (French part)|St Martin",
    "MK": "North Macedonia|Macedonia|FYROM|Macedonia, the former Yugoslav Republic of|Republic of Macedonia",
    "MM": "Myanmar|Burma|Myanmar [Burma]|Myanmar (Burma)",
    "MO": "Macao|Macau|Macao SAR China|Macau SAR China",
    "NL": "Netherlands|The Netherlands|Netherlands (Kingdom of the)",
    "PM": "Saint Pierre and Miquelon|St. Pierre & Miquelon",
    "PN": "Pitcairn|Pitcairn Islands",
    "PS": "Palestine|Palestinian Territory|Palestinian Territories|State of Palestine|Palestine, State of"
    "|Palestinian Territory, Occupied|Occupied Palestinian Territory",
    "RE": "Réunion|Reunion|La Réunion",
    "RU": "Russia|Russian Federation",
    "SH": "Saint Helena|St. Helena|Saint Helena, Ascension and Tristan da Cunha",
    "SJ": "Svalbard and Jan Mayen|Svalbard & Jan Mayen|Svalbard",
    "ST": "Sao Tome and Principe|São Tomé and Príncipe|São Tomé & Príncipe",
    "SX": "Sint Maarten|Sint Maarten (Dutch part)|St. Maarten",
    "SY": "Syria|Syrian Arab Republic",
    "SZ": "Eswatini|Swaziland|eSwatini|Eswatini (Swaziland)",
    "TL": "East Timor|Timor-Leste|Timor Leste",
    "TR": "Turkey|Türkiye|Turkiye|TÜRKİYE",
    "TT": "Trinidad and Tobago|Trinidad & Tobago",
    "TW": "Taiwan|Taiwan, Province of China|Taiwan (Province of China)|Taiwan, Republic of China",
    "TZ": "Tanzania|Tanzania, United Republic of|United Republic of Tanzania|Tanzania (United Republic of)",
    "UM": "United States Minor Outlying Islands|U.S. Minor Outlying Islands|U.S. Outlying Islands",
    "US": "United States|United States of America|USA|U.S.A.|U.S.|US|the United States|The United States of America",
    "VA": "Vatican|Vatican City|Vatican City State|Holy See|Holy See (Vatican City State)|The Holy See",
    "VC": "Saint Vincent and the Grenadines|St. Vincent & Grenadines|St Vincent and Grenadines",
    "VE": "Venezuela|Venezuela, Bolivarian Republic of|Venezuela (Bolivarian Republic of)",
    "VG": "British Virgin Islands|Virgin Islands, British|Virgin Islands (British)",
    "VI": "U.S. Virgin Islands|US Virgin Islands|Virgin Islands, U.S.|Virgin Islands (U.S.)"
    "|United States Virgin Islands",
    "VN": "Vietnam|Viet Nam|Việt Nam",
    "XK": "Kosovo|Republic of Kosovo",
}

NO_COUNTRIES = [
    *("", " ", "unknown", "Unknown", "null", "none", "other", "Other", "the", "..", "\ud800", "日本", "\0", "us?no"),
    *("Netherlands Antilles", "Virgin Islands", "Yugoslavia", "Soviet Union", "Atlantis", "Europe", "EU", "ZZ", "gb"),
    *("Asia/Pacific Region", "Anonymous Proxy", "Satellite Provider", "South", "Republic", "Guinea Korea", "x" * 80),
]


@pytest.mark.parametrize(
    ("code", "name"), [(code, name) for code, all_ in SPELLINGS.items() for name in all_.split("|")]
)
def test_spellings_of_geo_ip_databases_have_a_code(code: str, name: str) -> None:
    """However a geo-IP database spells a country, it is one code, whatever the case and the white space around."""
    assert {country_code(each) for each in (name, f"  {name.upper()} ", f"{name}.")} == {code}


@pytest.mark.parametrize("country", list(pycountry.countries), ids=lambda country: country.alpha_2)
def test_every_name_of_iso_3166_is_its_own_code(country: "pycountry.db.Country") -> None:
    """Each country's code and all of its names in ISO 3166-1 give that code, and no alias takes one away."""
    kinds = ("alpha_2", "name", "common_name", "official_name")
    names = [name for kind in kinds if (name := getattr(country, kind, None))]
    assert {name: country_code(name) for name in names} == dict.fromkeys(names, country.alpha_2)


@pytest.mark.parametrize("name", NO_COUNTRIES)
def test_what_is_no_country_has_no_code(name: str) -> None:
    """A name that is no country, or might be two, has no code, so that it is passed on as it is."""
    assert country_code(name) is None


def test_no_spelling_is_ambiguous() -> None:
    """No two countries share a spelling, whichever of them would win."""
    spelt: dict[tuple[str, ...], str] = {}
    for code, name in [(code, name) for code, names in _ALIASES.items() for name in names]:
        assert spelt.setdefault(_folded(name), code) == code, name
        assert country_code(name) == code, name
