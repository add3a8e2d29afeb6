"""Country names, as geo-IP databases spell them, to codes of ISO 3166-1 alpha-2."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache

import pycountry

# Spellings that ISO 3166 lacks, or that pycountry has had only of late, by code; XK is what users of ISO 3166 agree on
# for Kosovo. What `_folded` evens out (case, accents, punctuation, order of words, "St." for "Saint") has one spelling.
_ALIASES: Mapping[str, tuple[str, ...]] = {
    "AX": ("Åland",),
    "BN": ("Brunei",),
    "BO": ("Bolivia",),
    "BQ": ("Bonaire", "Bonaire, Saint Eustatius and Saba", "Caribbean Netherlands", "BES Islands"),
    "BS": ("Bahamas", "Commonwealth of the Bahamas"),
    "CC": ("Cocos Islands", "Keeling Islands"),
    "CD": ("Democratic Republic of the Congo", "DR Congo", "Congo-Kinshasa", "Congo (DRC)", "DRC", "Zaire"),
    "CG": ("Congo", "Republic of the Congo", "Congo-Brazzaville", "Congo (Congo-Brazzaville)"),
    "CI": ("Ivory Coast", "Cote dIvoire", "Republic of the Ivory Coast"),
    "CV": ("Cape Verde", "Cape Verde Islands", "Cabo Verde"),
    "CW": ("Curaçao",),
    "CZ": ("Czech Republic", "Czechia"),
    "FK": ("Falkland Islands", "Falklands", "Malvinas", "Falkland Islands (Islas Malvinas)"),
    "FM": ("Micronesia", "Federated States of Micronesia"),
    "GB": ("UK", "Great Britain", "Great Britain (UK)", "Britain", "England", "Scotland", "Wales", "Northern Ireland"),
    "GM": ("Gambia",),
    "GS": ("South Georgia",),
    "HK": ("Hong Kong", "Hongkong", "Hong Kong SAR", "Hong Kong SAR China", "Hong Kong, China"),
    "HM": ("Heard and McDonald Islands", "Heard Island"),
    "IO": ("Chagos Archipelago",),
    "IR": ("Iran", "Persia"),
    "KN": ("Saint Kitts", "Saint Christopher and Nevis"),
    "KP": ("North Korea", "DPRK", "DPR Korea", "Democratic People's Republic of Korea"),
    "KR": ("South Korea", "Korea", "Republic of Korea"),
    "LA": ("Laos", "Lao", "Lao PDR"),
    "LY": ("Libya", "Libyan Arab Jamahiriya"),
    "MD": ("Moldova",),
    "MF": ("Saint Martin", "Saint Martin (France)"),
    "MK": (
        *("North Macedonia", "Macedonia", "Republic of Macedonia", "FYROM", "FYR Macedonia", "Macedonia (FYROM)"),
        "The former Yugoslav Republic of Macedonia",
    ),
    "MM": ("Myanmar", "Burma", "Myanmar (Burma)"),
    "MO": (
        "Macao",
        "Macau",
        "Macao SAR",
        "Macau SAR",
        "Macao SAR China",
        "Macau SAR China",
        "Macao, China",
        "Macau, China",
    ),
    "NL": ("Holland", "Kingdom of the Netherlands"),
    "PN": ("Pitcairn Islands",),
    "PS": (
        *(
            "Palestine",
            "State of Palestine",
            "Palestinian Territory",
            "Palestinian Territories",
            "Palestinian Authority",
        ),
        *("Occupied Palestinian Territory", "Occupied Palestinian Territories"),
    ),
    "RE": ("Réunion", "La Réunion", "Réunion Island"),
    "RU": ("Russia",),
    "SH": ("Saint Helena", "Ascension", "Tristan da Cunha"),
    "SJ": ("Svalbard", "Jan Mayen", "Svalbard and Jan Mayen Islands"),
    "ST": ("Sao Tome",),
    "SX": ("Sint Maarten", "Saint Maarten", "Saint Martin (Dutch part)", "Sint Maarten (Netherlands)"),
    "SY": ("Syria",),
    "SZ": ("Eswatini", "Swaziland", "Eswatini (Swaziland)", "Eswatini (formerly Swaziland)"),
    "TF": ("French Southern and Antarctic Lands",),
    "TL": ("Timor-Leste", "East Timor", "Timor-Leste (East Timor)"),
    "TR": ("Türkiye", "Turkey"),
    "TW": ("Taiwan", "Chinese Taipei", "Taiwan, China", "Taiwan, Republic of China"),
    "TZ": ("Tanzania",),
    "UM": ("US Outlying Islands", "US Minor Outlying Islands"),
    "US": ("USA", "US", "United States of America (USA)", "America"),
    "VA": ("Vatican", "Vatican City", "Vatican City State", "Holy See"),
    "VC": ("Saint Vincent",),
    "VE": ("Venezuela",),
    "VG": ("British Virgin Islands", "UK Virgin Islands", "BVI"),
    "VI": ("US Virgin Islands", "United States Virgin Islands", "USVI"),
    "VN": ("Vietnam",),
    "WF": ("Wallis and Futuna Islands",),
    "XK": ("Kosovo", "Republic of Kosovo", "Kosova"),
}

# Left out, not made a space: "d'Ivoire" is "dIvoire", "U.S." is "US". The escapes are an accent and apostrophes.
_INSIDE_WORDS = re.compile("['.`\u00b4\u02bc\u2018\u2019]")
_WORD = re.compile(r"[^\W_]+")
_SAME_WORDS = {"st": "saint", "ste": "saint"}
_SILENT_WORDS = frozenset({"and", "of", "the"})


@lru_cache(1024)  # there are some hundred names of countries, and each event has one
def country_code(name: str) -> str | None:
    """Return the alpha-2 code of a country, given its English name or the code itself; None where there is none."""
    stripped = name.strip()
    if stripped in _codes():
        return stripped
    return _table().get(_folded(stripped))


def _folded(name: str) -> tuple[str, ...]:
    """Return a name without what its writers differ in: "Korea, Republic of" is "the Republic of Korea"."""
    letters = unicodedata.normalize("NFKD", _INSIDE_WORDS.sub("", name))
    plain = "".join(each for each in letters if not unicodedata.combining(each)).casefold()
    words = (_SAME_WORDS.get(word, word) for word in _WORD.findall(plain))
    return tuple(sorted(word for word in words if word not in _SILENT_WORDS))


@cache
def _codes() -> frozenset[str]:
    return frozenset(country.alpha_2 for country in pycountry.countries) | _ALIASES.keys()


@cache
def _table() -> Mapping[tuple[str, ...], str]:
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
