"""Numbers of persons: each country's form, and its own check digits.

Some numbers are too short for their checks to single them out: one nine-digit number in eleven passes for a Dutch one. Those count only in
their printed groups, or with their name before them (`_NAMED`). The American and the British number have no check digit at all: there the
form and the values that were never issued decide.
"""

import re
from collections.abc import Callable, Mapping

from ollm.wire.detect.checksums import luhn, mod11_2, mod11_10, verhoeff, weighted
from ollm.wire.detect.detector import AnyOf, Checked, Detector
from ollm.wire.detect.traces import number

_NAMED: Mapping[str, re.Pattern[str]] = {
    "nl": re.compile(r"\b(?:bsn|burgerservicenummer|sofi-?nummer|citizen service number)\b", re.IGNORECASE),
    "ca": re.compile(r"\b(?:sin|nas|social insurance|assurance sociale)\b", re.IGNORECASE),
    "in": re.compile(r"\b(?:aadhaar|aadhar|uidai|uid)\b", re.IGNORECASE),
}
_CODICE_ODD = dict(zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", (
    1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23,
), strict=True))  # fmt: skip


def _digits(text: str) -> str:
    return re.sub(r"[^0-9]", "", text)


def _date(month: str, day: str) -> bool:
    return 1 <= int(month) <= 12 and 1 <= int(day) <= (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[int(month) - 1]


def _be_rrn(text: str, before: str) -> bool:
    """National register: YYMMDD, a counter, and 97 less the rest by 97; born from 2000 on, with a 2 before it."""
    digits = _digits(text)
    head, check = digits[:9], int(digits[9:])
    return _date(digits[2:4], digits[4:6]) and check in (97 - int(head) % 97, 97 - int("2" + head) % 97)


def _br_cpf(text: str, before: str) -> bool:
    """Receita Federal: two check digits by MOD 11."""
    digits = _digits(text)
    if len(set(digits)) == 1:
        return False
    return all(weighted(digits[:at], range(at + 1, 1, -1)) * 10 % 11 % 10 == int(digits[at]) for at in (9, 10))


def _ca_sin(text: str, before: str) -> bool:
    """Service Canada: Luhn; none begins with 0 or 8."""
    digits = _digits(text)
    return digits[0] not in "08" and luhn(digits) and (len(text) > 9 or _NAMED["ca"].search(before) is not None)


def _ch_ahv(text: str, before: str) -> bool:
    """AHV number: an EAN-13 that begins with 756."""
    digits = _digits(text)
    return weighted(digits, (1, 3) * 6 + (1,)) % 10 == 0


def _cn_ric(text: str, before: str) -> bool:
    """GB 11643-1999: division, date of birth, counter, ISO 7064 MOD 11-2."""
    return _date(text[10:12], text[12:14]) and mod11_2(text.upper())


def _de_steuer_id(text: str, before: str) -> bool:
    """Section 139b AO: of the first ten digits one occurs twice or three times (then never in a row), all others at most once; MOD 11,10."""
    digits = _digits(text)
    head = digits[:10]
    often = sorted((head.count(digit) for digit in set(head)), reverse=True)
    if often[0] not in (2, 3) or (len(often) > 1 and often[1] > 1) or re.search(r"([0-9])\1\1", head):
        return False
    return mod11_10(digits)


def _es_dni(text: str, before: str) -> bool:
    """DNI and NIE: a letter by the number's rest by 23; X, Y, Z stand for 0, 1, 2."""
    number = re.sub(r"[ .-]", "", text.upper())
    return number[-1] == "TRWAGMYFPDXBNJZSQVHLCKE"[int(number[0].translate({88: "0", 89: "1", 90: "2"}) + number[1:-1]) % 23]


def _fi_hetu(text: str, before: str) -> bool:
    """Digital and Population Data Services Agency: DDMMYY, century, counter, a sign by the rest by 31."""
    upper = text.upper()
    return _date(upper[2:4], upper[:2]) and upper[-1] == "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(upper[:6] + upper[7:10]) % 31]


def _fr_nir(text: str, before: str) -> bool:
    """INSEE: 97 less the rest by 97; for Corsica 2A counts as 19 and 2B as 18."""
    number = re.sub(r"[^0-9AB]", "", text.upper())
    return 97 - int(number[:13].replace("2A", "19").replace("2B", "18")) % 97 == int(number[13:])


def _in_aadhaar(text: str, before: str) -> bool:
    """UIDAI: Verhoeff; none begins with 0 or 1."""
    return verhoeff(_digits(text)) and (len(text) > 12 or _NAMED["in"].search(before) is not None)


def _it_cf(text: str, before: str) -> bool:
    """Ministry of Finance, decree of 23 December 1976: characters at odd places by a table, at even ones by their order."""
    upper = text.upper()
    total = sum(_CODICE_ODD[character] for character in upper[0:15:2])
    total += sum(int(character) if character.isdigit() else ord(character) - 65 for character in upper[1:15:2])
    return ord(upper[15]) - 65 == total % 26


def _nl_bsn(text: str, before: str) -> bool:
    """The eleven test: weights 9 to 2, and -1 for the last."""
    digits = _digits(text)
    if weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 != 0 or len(set(digits)) == 1:
        return False
    return len(text) > 9 or _NAMED["nl"].search(before) is not None


def _pl_pesel(text: str, before: str) -> bool:
    """PESEL: YYMMDD, the century in the month, and a check digit."""
    month = int(text[2:4])
    return (
        month // 20 < 5
        and 1 <= month % 20 <= 12
        and _date(f"{month % 20}", text[4:6])
        and weighted(text, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0
    )


def _se_personnummer(text: str, before: str) -> bool:
    """Personal and coordination numbers (day + 60): Luhn over the last ten digits."""
    digits = _digits(text)[-10:]
    day = int(digits[4:6])
    return _date(digits[2:4], str(day - 60 if day > 60 else day)) and luhn(digits)


_UK_NEVER = frozenset({"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"})


def _uk_nino(text: str, before: str) -> bool:
    """HMRC, National Insurance Manual NIM39110: prefixes that were never used."""
    return text[:2].upper() not in _UK_NEVER


_SSN_NEVER = frozenset({"078-05-1120", "219-09-9999", "123-45-6789"})  # printed on sample cards


def _us_ssn(text: str, before: str) -> bool:
    """Social Security Administration: no area 000, 666 or 9xx, no group 00, no serial 0000."""
    return text.replace(" ", "-") not in _SSN_NEVER


_EDGE, _END = "(?<![0-9A-Za-z])(?<![0-9][.,-])", "(?![0-9A-Za-z])(?![.,-][0-9])"
_DIGITS = rf"{_EDGE}[0-9](?:[ .\u00a0\u202f/+-]?[0-9])*+[ .,\u00a0\u202f/+-]?"  # what a number in groups may be in the middle of
_SPACE = "[ \u00a0]?"


def _number(
    form: str, tail: str, longest: int, accepts: Callable[[str, str], bool], *, first: str = "[0-9]", ahead: str = "", back: int = 0
) -> Detector:
    """`first`: a character of `form` that is looked for, `back` characters from its beginning; `ahead`: what comes next."""
    gate = f"{first}(?<![0-9A-Za-z]{'.' * (back + 1)}){ahead}"
    trace = number(first, form, width=back + 1, ahead=ahead)
    return Checked(gate, f"{_EDGE}({form}){_END}", tail, longest, accepts, back=back, trace=trace)


_TWO, _THREE, _SIX = "(?=[0-9])", "(?=[0-9]{2})", "(?=[0-9]{5})"  # what comes behind the first digit
_NINO = "[A-CEGHJ-PR-TW-Za-ceghj-pr-tw-z][A-CEGHJ-NPR-TW-Za-ceghj-npr-tw-z]"
_OMOCODIA = "[0-9L-NP-Vl-np-v]"  # digits, or the letters that stand for them where two persons would have the same code

PERSONS: Mapping[str, Detector] = {
    "be_rrn": _number(r"[0-9]{2}\.[0-9]{2}\.[0-9]{2}-[0-9]{3}\.[0-9]{2}|[0-9]{11}", _DIGITS, 24, _be_rrn, ahead=_TWO),
    "br_cpf": _number(r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}|[0-9]{11}", _DIGITS, 24, _br_cpf, ahead=_THREE),
    "ca_sin": _number(r"[0-9]{3}(?: [0-9]{3} |-[0-9]{3}-)[0-9]{3}|[0-9]{9}", _DIGITS, 24, _ca_sin, ahead=_THREE),
    "ch_ahv": _number(
        r"756\.[0-9]{4}\.[0-9]{4}\.[0-9]{2}|756[0-9]{10}|756 [0-9]{4} [0-9]{4} [0-9]{2}", _DIGITS, 24, _ch_ahv, first="7", ahead="(?=56)"
    ),
    "cn_ric": _number(r"[1-9][0-9]{5}(?:19|20)[0-9]{9}[0-9Xx]", rf"{_EDGE}[0-9]++[Xx]?[.,-]?", 24, _cn_ric, ahead=_SIX),
    "de_steuer_id": _number(r"[1-9][0-9]{10}|[1-9][0-9] [0-9]{3} [0-9]{3} [0-9]{3}", _DIGITS, 24, _de_steuer_id, ahead=_TWO),
    "es_dni": AnyOf(
        _number(r"[0-9]{8}[ -]?[A-Za-z]|[0-9]{2}\.[0-9]{3}\.[0-9]{3}[ -]?[A-Za-z]", rf"{_DIGITS}[A-Za-z]?[.,-]?", 24, _es_dni, ahead=_TWO),
        _number(
            r"[XYZxyz][ -]?[0-9]{7}[ -]?[A-Za-z]",
            rf"{_EDGE}[XYZxyz][ -]?(?:[0-9]++[ -]?[A-Za-z]?[.,-]?)?",
            24,
            _es_dni,
            first="[XYZxyz]",
            ahead="(?=[ -]?[0-9])",
        ),
    ),
    "fi_hetu": _number(
        r"[0-9]{6}[-+A-FU-Ya-fu-y][0-9]{3}[0-9A-FHJ-NPR-Ya-fhj-npr-y]", rf"{_EDGE}[0-9][0-9A-Za-z+-]*+[.,-]?", 24, _fi_hetu, ahead=_SIX
    ),
    "fr_nir": _number(
        rf"[1-478]{_SPACE}[0-9]{{2}}{_SPACE}[0-9]{{2}}{_SPACE}(?:[0-9]{{2}}|2[ABab]){_SPACE}[0-9]{{3}}{_SPACE}[0-9]{{3}}{_SPACE}[0-9]{{2}}",
        rf"{_EDGE}[0-9](?:[ \u00a0]?[0-9ABab])*+[ .,\u00a0-]?",
        32,
        _fr_nir,
        first="[1-478]",
        ahead="(?=[ \u00a0]?[0-9]{2})",
    ),
    "in_aadhaar": _number(r"[2-9][0-9]{3}(?: [0-9]{4} |-[0-9]{4}-)[0-9]{4}|[2-9][0-9]{11}", _DIGITS, 24, _in_aadhaar, ahead=_THREE),
    "it_cf": _number(
        rf"[A-Za-z]{{6}}[0-9]{{2}}[A-EHLMPR-Ta-ehlmpr-t]{_OMOCODIA}{{2}}[A-Za-z]{_OMOCODIA}{{3}}[A-Za-z]",
        rf"{_EDGE}[A-Za-z]{{1,6}}+(?:[0-9][0-9A-Za-z]*+)?[.,-]?",
        24,
        _it_cf,
        first="[0-9](?<=[A-Za-z]{6}[0-9])",
        back=6,
    ),
    "nl_bsn": _number(r"[0-9]{9}|[0-9]{4}(?: [0-9]{2} |\.[0-9]{2}\.)[0-9]{3}", _DIGITS, 24, _nl_bsn, ahead=_THREE),
    "pl_pesel": _number(r"[0-9]{11}", _DIGITS, 24, _pl_pesel, ahead=_SIX),
    "se_personnummer": _number(r"(?:19|20)[0-9]{6}-?[0-9]{4}|[0-9]{6}[-+][0-9]{4}", _DIGITS, 24, _se_personnummer, ahead=_SIX),
    "uk_nino": AnyOf(
        *(
            _number(
                rf"{_NINO}{separator}[0-9]{{2}}{separator}[0-9]{{2}}{separator}[0-9]{{2}}{separator}[A-Da-d]",
                rf"{_EDGE}[A-Za-z]{{1,2}}+(?:{separator}[0-9 -]*+[A-Za-z]?[.,-]?)?",
                24,
                _uk_nino,
                first=f"[0-9](?<=[A-Za-z]{{2}}{separator}[0-9])",
                back=back,
            )
            for separator, back in (("", 2), (" ", 3), ("-", 3))
        )
    ),
    "us_ssn": _number(
        r"(?!000|666|9)[0-9]{3}(?: (?!00)[0-9]{2} |-(?!00)[0-9]{2}-)(?!0000)[0-9]{4}", _DIGITS, 24, _us_ssn, ahead=_THREE + "(?=..[ -])"
    ),
}
