"""Payment cards: ISO/IEC 7812 numbers of the large networks, by their issuers' ranges, lengths and check digit.

Written as one run of digits, or in the groups that cards are printed in, with one kind of separator. Ranges are those that the networks
publish: Visa 4; Mastercard 51 to 55 and 2221 to 2720; American Express 34 and 37; Diners Club 300 to 305, 309, 36, 38, 39; Discover 6011,
644 to 649, 65; JCB 3528 to 3589; UnionPay 62; Maestro 5018, 5020, 5038, 5893, 6304, 6759, 6761 to 6763; Mir 2200 to 2204.
"""

import re

from ollm.wire.detect.checksums import luhn
from ollm.wire.detect.detector import Checked
from ollm.wire.detect.traces import number

_SEPARATOR = "[ .\u2013\u00a0\u202f-]"
_GROUPED = "|".join(
    (
        r"[0-9]{4}(?P<s>SEP)[0-9]{4}(?P=s)[0-9]{4}(?P=s)[0-9]{1,4}(?:(?P=s)[0-9]{1,3})?",
        r"[0-9]{4}(?P<t>SEP)[0-9]{6}(?P=t)[0-9]{4,5}",
    )
).replace("SEP", _SEPARATOR)
_CANDIDATE = rf"(?<![0-9A-Za-z])(?<![0-9][.,])([0-9]{{13,19}}|{_GROUPED})(?![0-9A-Za-z])"
_TAIL = rf"(?<![0-9A-Za-z])[0-9](?:{_SEPARATOR}?[0-9])*+{_SEPARATOR}?"
_ROUGHLY = r"[0-9]{13,19}|[0-9]{4}SEP(?:[0-9]{6}|[0-9]{4}SEP[0-9]{4})SEP[0-9]{1,5}(?:SEP[0-9]{1,3})?".replace("SEP", _SEPARATOR)
_LONGEST = 24  # 19 digits and 4 separators, and what follows them

_ISSUERS: tuple[tuple[re.Pattern[str], frozenset[int]], ...] = tuple(
    (re.compile(prefix), frozenset(lengths))
    for prefix, lengths in (
        ("4", (13, 16, 19)),
        ("5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720", (16,)),
        ("3[47]", (15,)),
        ("30[0-59]|3[689]", (14, 16, 19)),
        ("6011|64[4-9]|65", (16, 19)),
        ("35(?:2[89]|[3-8])", (16, 17, 18, 19)),
        ("62", (16, 17, 18, 19)),
        ("5018|5020|5038|5893|6304|6759|676[1-3]", (13, 14, 15, 16, 17, 18, 19)),
        ("220[0-4]", (16, 17, 18, 19)),
    )
)


def _accepts(candidate: str, before: str) -> bool:
    digits = re.sub(r"[^0-9]", "", candidate)
    return any(prefix.match(digits) and len(digits) in lengths for prefix, lengths in _ISSUERS) and len(set(digits)) > 1 and luhn(digits)


PAYMENT_CARD = Checked(
    "[0-9](?<![0-9A-Za-z].)(?=[0-9]{3})", _CANDIDATE, _TAIL, _LONGEST, _accepts, trace=number("[0-9]", _ROUGHLY, ahead="(?=[0-9]{3})")
)
