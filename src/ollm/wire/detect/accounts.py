"""Bank accounts: IBANs (ISO 13616), by the length that each country has registered and their check digits."""

import re
from collections.abc import Mapping

from ollm.wire.detect.checksums import mod97
from ollm.wire.detect.detector import Checked
from ollm.wire.detect.traces import number

# SWIFT, IBAN Registry: characters of each country's IBAN.
LENGTHS: Mapping[str, int] = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29, "BY": 28, "CH": 21, "CR": 22,
    "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22,
    "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HN": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30,
    "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20,
    "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22,
    "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26,
    "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}  # fmt: skip
_SEPARATOR = "[ \u00a0\u202f-]"


def _form() -> str:
    """One alternative for each length, so that a word behind an account doesn't hide it."""
    by_length: dict[int, list[str]] = {}
    for country, length in LENGTHS.items():
        by_length.setdefault(length, []).append("".join(f"[{letter}{letter.lower()}]" for letter in country))
    forms = (rf"(?:{'|'.join(sorted(names))})[0-9]{{2}}(?:{_SEPARATOR}?[A-Za-z0-9]){{{length - 4}}}" for length, names in sorted(by_length.items()))
    return "|".join(forms)


def _accepts(candidate: str, before: str) -> bool:
    return mod97(re.sub(_SEPARATOR, "", candidate).upper())


_TAIL = rf"(?<![0-9A-Za-z])(?:[A-Za-z]{{1,2}}|[A-Za-z]{{2}}[0-9]|[A-Za-z]{{2}}[0-9]{{2}}(?:{_SEPARATOR}?[A-Za-z0-9]){{0,31}}+{_SEPARATOR}?)"
_FORM = _form()
_GATE = "[0-9](?<=[A-Za-z][A-Za-z][0-9])(?<![0-9A-Za-z]...)[0-9]"
_TRACE = number("[0-9](?<=[A-Za-z][A-Za-z][0-9])[0-9]", _FORM, width=4)
IBAN = Checked(_GATE, f"(?<![0-9A-Za-z])({_FORM})(?![0-9A-Za-z])", _TAIL, 70, _accepts, back=2, trace=_TRACE)
