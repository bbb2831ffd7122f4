"""How a person or a machine is reached: e-mail addresses, telephone numbers, IP addresses. They have no check digits, only a shape."""

import ipaddress
import re
import string

from ollm.wire.detect.detector import AnyOf, Checked
from ollm.wire.detect.traces import SLASH

# RFC 5321 §4.5.3.1: 64 characters before the @, 255 behind it; quoted local parts aren't looked for.
EMAIL = Checked(
    "@",
    r"(?<![A-Za-z0-9._%+@-])([A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24})(?![A-Za-z0-9@])",
    r"(?<![A-Za-z0-9._%+@-])[A-Za-z0-9][A-Za-z0-9._%+@-]*+",
    320,
    back=string.ascii_letters + string.digits + "._%+-",
    trace=r"@[A-Za-z0-9](?<=[A-Za-z0-9._%+-]@.)[A-Za-z0-9-]{0,62}+\.[A-Za-z0-9]",
)

# ITU-T E.164: at most 15 digits with the calling code.
_CALLING = re.compile(
    r"1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|2[1-69][0-9]|3[578][0-9]|42[013]|50[0-9]|59[0-9]|6[789][0-9]|80[08]|85[0-689]|88[0-38]|96[0-8]|97[0-9]|99[2-8]"
)
_SEPARATOR = "[ .\u00a0\u202f/-]"


def _international(candidate: str, before: str) -> bool:
    digits = re.sub(r"[^0-9]", "", candidate)
    return 8 <= len(digits) <= 15 and _CALLING.match(digits) is not None and len(set(digits)) > 2


PHONE = AnyOf(
    Checked(
        r"\+(?<![0-9A-Za-z+].)(?=[1-9])",
        rf"(?<![0-9A-Za-z+])(\+[1-9](?:{_SEPARATOR}?\(?[0-9]\)?){{6,13}}{_SEPARATOR}?[0-9])(?![0-9A-Za-z])",
        r"(?<![0-9A-Za-z+])\+[0-9() .\u00a0\u202f/-]*+",
        48,
        _international,
        trace=rf"\+[1-9](?:(?:[ .\u00a0\u202f-]|{SLASH})?\(?[0-9]\)?){{6}}",
    ),
    # NANP: area and exchange begin with 2 to 9; in brackets or separated, since ten bare digits are an order number as well.
    Checked(
        r"\((?=[2-9][0-9]{2}\))",
        r"(?<![0-9A-Za-z+])(\([2-9][0-9]{2}\) ?[2-9][0-9]{2}[ .-][0-9]{4})(?![0-9A-Za-z]|[.-][0-9])",
        r"(?<![0-9A-Za-z+])\([0-9() .-]*+",
        20,
        trace=r"\([2-9][0-9]{2}\) ?[2-9][0-9]{2}[ .-][0-9]{4}",
    ),
    Checked(
        r"[2-9](?<![0-9A-Za-z+].)(?=[0-9]{2}[.-])",
        r"(?<![0-9][.,-])([2-9][0-9]{2}([.-])[2-9][0-9]{2}\2[0-9]{4})(?![0-9A-Za-z]|[.-][0-9])",
        r"(?<![0-9A-Za-z+])[0-9][0-9.-]*+",
        20,
        trace=r"[2-9](?=[0-9]{2}[.-])[0-9]{2}([.-])[2-9][0-9]{2}\1[0-9]{4}",
    ),
)


def _address(candidate: str, before: str) -> bool:
    try:
        ipaddress.ip_address(candidate)
    except ValueError:
        return False
    return len(candidate) > 5  # "a::b" stands in programs


IP = AnyOf(
    Checked(
        r"[0-9](?<![0-9A-Za-z_.:-].)(?=[0-9]{0,2}\.[0-9])",
        r"((?:[0-9]{1,3}\.){3}[0-9]{1,3})(?![0-9A-Za-z_-]|\.[0-9])",
        r"(?<![0-9A-Za-z_.:-])[0-9][0-9.]*+",
        20,
        _address,
        trace=r"[0-9](?=\.[0-9])(?:\.[0-9]{1,3}){3}",
    ),
    Checked(
        "(?<!:):(?=[0-9A-Fa-f]{0,4}:)",
        r"(?<![0-9A-Za-z_.:-])([0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]+)(?![0-9A-Za-z_:-]|\.[0-9])",
        r"(?<![0-9A-Za-z_.:-])[0-9A-Fa-f:][0-9A-Fa-f:.]*+",
        48,
        _address,
        back=string.hexdigits,
        trace=":(?::|(?:[0-9A-Fa-f]{1,4}:){6})",  # without two together it has all seven
    ),
)
