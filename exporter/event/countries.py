"""Country names, as geo-IP databases spell them, to codes of ISO 3166-1 alpha-2."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache

import pycountry

# Spellings that ISO 3166 does not have, by code; XK is what users of ISO 3166 agree on for Kosovo. Case, accents, punctuation,
# "the", "&" for "and" and "St." for "Saint" make no difference.
_ALIASES: Mapping[str, tuple[str, ...]] = {
    "AX": ("Aland", "Åland"),
    "BN": ("Brunei",),
    "BO": ("Bolivia (Plurinational State of)",),
    "BQ": ("Bonaire", "Caribbean Netherlands", "Bonaire, Saint Eustatius and Saba", "BES Islands"),
    "CC": ("Cocos Islands", "Keeling Islands"),
    "CD": (
        "DR Congo", "D.R. Congo", "DRC", "Congo DR", "Congo DRC", "Congo (DRC)", "Democratic Republic of the Congo",
        "Democratic Republic of Congo", "Congo, Democratic Republic of", "Congo (Democratic Republic of the)",
        "Congo Democratic Republic", "Congo-Kinshasa", "Congo Kinshasa", "Zaire",
    ),
    "CG": (
        "Congo Republic", "Republic of the Congo", "Republic of Congo", "Congo, Republic of the", "Congo, Republic",
        "Congo (Republic)", "Congo (Congo-Brazzaville)", "Congo-Brazzaville",
    ),
    "CI": ("Ivory Coast", "Cote dIvoire", "Republic of Ivory Coast"),
    "CV": ("Cape Verde", "Cape Verde Islands"),
    "CZ": ("Czech Republic", "The Czech Republic"),
    "FK": ("Falkland Islands", "Malvinas", "Islas Malvinas", "Falklands"),
    "FM": ("Micronesia", "Federated States of Micronesia", "Micronesia (Federated States of)"),
    "GB": (
        "UK", "U.K.", "Great Britain", "Britain", "England", "Scotland", "Wales", "Northern Ireland",
        "United Kingdom of Great Britain and Northern Ireland", "Great Britain (UK)",
    ),
    "GM": ("The Gambia", "Gambia, The"),
    "GS": ("South Georgia", "South Georgia and South Sandwich Islands"),
    "HK": ("Hong Kong SAR", "Hong Kong SAR China", "Hong Kong, China", "Hongkong"),
    "HM": ("Heard and McDonald Islands", "Heard Island"),
    "IM": ("Man, Isle of",),
    "IO": ("Chagos Archipelago",),
    "IR": ("Iran (Islamic Republic of)", "Persia"),
    "JO": ("Hashemite Kingdom of Jordan",),
    "KN": ("Saint Kitts", "Saint Kitts & Nevis", "Saint Christopher and Nevis"),
    "KP": (
        "North Korea", "Korea, North", "DPRK", "Democratic People's Republic of Korea", "DPR Korea",
        "Korea (Democratic People's Republic of)",
    ),
    "KR": ("South Korea", "Korea, South", "Korea", "Republic of Korea", "Korea (Republic of)", "Korea Republic"),
    "LA": ("Laos", "Lao PDR", "Lao People's Democratic Republic", "Lao"),
    "LY": ("Libyan Arab Jamahiriya", "State of Libya"),
    "MD": ("Moldova (Republic of)", "Republic of Moldova"),
    "MF": ("Saint Martin", "Saint-Martin", "Saint Martin (France)"),
    "MK": (
        "Macedonia", "FYROM", "Republic of Macedonia", "FYR Macedonia", "The former Yugoslav Republic of Macedonia",
        "Macedonia, the former Yugoslav Republic of", "Macedonia (FYROM)", "Republic of North Macedonia",
    ),
    "MM": ("Burma", "Myanmar (Burma)", "Burma (Myanmar)"),
    "MO": ("Macau", "Macao SAR", "Macau SAR", "Macao SAR China", "Macau SAR China", "Macau, China", "Macao, China"),
    "NL": ("Holland", "Netherlands (Kingdom of the)"),
    "PM": ("Saint-Pierre-et-Miquelon",),
    "PN": ("Pitcairn Islands",),
    "PS": (
        "Palestine", "Palestinian Territory", "Palestinian Territories", "Palestinian Territory, Occupied",
        "Occupied Palestinian Territory", "Palestinian Authority", "State of Palestine",
    ),
    "RE": ("Reunion", "Reunion Island", "La Réunion"),
    "RU": ("Russia",),
    "SH": ("Saint Helena", "Ascension", "Tristan da Cunha"),
    "SJ": ("Svalbard", "Svalbard & Jan Mayen", "Jan Mayen", "Svalbard and Jan Mayen Islands"),
    "ST": ("Sao Tome",),
    "SX": ("Sint Maarten", "St. Maarten", "Saint Martin (Dutch part)", "Sint Maarten (Netherlands)"),
    "SY": ("Syria",),
    "SZ": ("Swaziland", "Eswatini (Swaziland)", "eSwatini (formerly Swaziland)"),
    "TF": ("French Southern and Antarctic Lands", "French Southern Territory"),
    "TL": ("East Timor", "Timor-Leste (East Timor)", "Timor Leste"),
    "TR": ("Turkey", "Turkiye"),
    "TW": ("Taiwan", "Taiwan (Province of China)", "Chinese Taipei", "Taiwan, Republic of China", "Taiwan, China"),
    "TZ": ("Tanzania", "Tanzania (United Republic of)"),
    "UM": ("U.S. Outlying Islands", "U.S. Minor Outlying Islands", "US Minor Outlying Islands"),
    "US": ("USA", "U.S.A.", "US", "U.S.", "United States of America (USA)", "America"),
    "VA": ("Vatican", "Vatican City", "Vatican City State", "Holy See", "Holy See (Vatican)", "Vatican City (Holy See)"),
    "VC": ("Saint Vincent", "Saint Vincent & Grenadines"),
    "VE": ("Venezuela (Bolivarian Republic of)",),
    "VG": ("British Virgin Islands", "Virgin Islands (British)", "Virgin Islands, British", "UK Virgin Islands", "BVI"),
    "VI": ("U.S. Virgin Islands", "US Virgin Islands", "United States Virgin Islands", "Virgin Islands (U.S.)", "USVI"),
    "VN": ("Vietnam", "Viet Nam", "Socialist Republic of Vietnam"),
    "WF": ("Wallis & Futuna Islands", "Wallis and Futuna Islands"),
    "XK": ("Kosovo", "Republic of Kosovo", "Kosova"),
}  # fmt: skip

_APOSTROPHES = re.compile(r"['’‘ʼ`´.]")  # left out, not made a space: "d'Ivoire" is "dIvoire", "U.S." is "US"
_WORDS = re.compile(r"[^\W_]+")
_SAME_WORDS = {"st": "saint", "ste": "saint"}
_SILENT_WORDS = frozenset({"the"})


def country_code(name: str) -> str | None:
    """Return the alpha-2 code of a country's English name, or of the code itself in upper case; None where there is none."""
    stripped = name.strip()
    if stripped in _codes():
        return stripped
    return _table().get(_folded(stripped))


def _folded(name: str) -> str:
    """Return a name without what writers of names differ in."""
    letters = unicodedata.normalize("NFKD", _APOSTROPHES.sub("", name).replace("&", " and "))
    plain = "".join(each for each in letters if not unicodedata.combining(each)).casefold()
    words = (_SAME_WORDS.get(word, word) for word in _WORDS.findall(plain))
    return " ".join(word for word in words if word not in _SILENT_WORDS)


@cache
def _codes() -> frozenset[str]:
    return frozenset(country.alpha_2 for country in pycountry.countries) | _ALIASES.keys()


@cache
def _table() -> Mapping[str, str]:
    """Return codes by folded name; an alias never takes the place of a name of ISO 3166."""
    aliases = ((alias, code) for code, names in _ALIASES.items() for alias in names)
    return {_folded(name): code for name, code in (*aliases, *_iso_names())}


def _iso_names() -> Iterator[tuple[str, str]]:
    """Yield (name, code) for each name that ISO 3166-1 has: short, common and official."""
    for country in pycountry.countries:
        for kind in ("name", "common_name", "official_name"):
            name = getattr(country, kind, None)
            if name:
                yield name, country.alpha_2
