"""Secrets: keys and tokens by the forms that their issuers gave them so that they can be found, private keys, passwords in URLs.

Forms are the issuers' own: AWS (IAM identifiers), GitHub and GitLab (token formats), Slack, Stripe, OpenAI, Anthropic, Google, Hugging Face,
npm, PyPI, SendGrid, DigitalOcean, and this gateway's (`sk-ollm-…`); JSON Web Tokens (RFC 7519); PEM private keys (RFC 7468).
"""

import base64
import binascii
import re
import string
from collections.abc import Iterator

import msgspec

from ollm.wire.detect.detector import AnyOf, Checked, Span
from ollm.wire.detect.traces import SLASH, Traces, edge

_MARKED = "|".join(  # a short word, then _ or -
    (
        r"gh[pousr]_[A-Za-z0-9]{36}",
        r"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}",
        r"gl(?:pat|dt|rt|cbt|ptt|ft|soat)-[A-Za-z0-9_-]{20,64}",
        r"xox[abeoprs]-[A-Za-z0-9-]{20,250}",
        r"xapp-[0-9]-[A-Z0-9]{8,16}-[0-9]{8,16}-[a-f0-9]{64}",
        r"[rs]k_(?:live|test)_[A-Za-z0-9]{24,247}",
        r"whsec_[A-Za-z0-9]{32,64}",
        r"sk-ollm-[a-z2-7]{16}-[A-Za-z0-9_-]{43}",
        r"sk-ant-(?:api|admin|oat)[0-9]{2}-[A-Za-z0-9_-]{80,120}",
        r"sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{40,200}",
        r"sk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}",
        r"sk-or-v1-[a-f0-9]{64}",
        r"hf_[A-Za-z]{34}",
        r"npm_[A-Za-z0-9]{36}",
        r"pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,400}",
        r"do[opr]_v1_[a-f0-9]{64}",
    )
)
_UNMARKED = "|".join(
    (
        r"(?:AKIA|ASIA)[A-Z2-7]{16}",
        r"AIza[A-Za-z0-9_-]{35}",
        r"ya29\.[A-Za-z0-9_-]{40,400}",
        r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}",
    )
)
_WORD = "A-Za-z0-9_-"
_TAGS = "|".join(  # what each of `_MARKED` has before its first _ or -; the shortest has 20 characters behind it
    f"(?<=(?:{tag}).)" for tag in ("[rs]k|hf", "gh[pousr]|hub|app|npm|do[opr]", "xox[abeoprs]|pypi|gl[drf]t", "glpat|glcbt|glptt|whsec", "glsoat")
)
_RUN = rf"(?<![{_WORD}])[{_WORD}][.{_WORD}]*+"  # the word that a text ends with
_TOKENS = (
    Checked(
        "[_-](?<=[a-z].)",
        rf"(?<![{_WORD}])({_MARKED})(?![{_WORD}])",
        _RUN,
        520,
        back=string.ascii_lowercase,
        trace=f"[_-](?<=[a-z].)(?=[{_WORD}]{{20}})(?:{_TAGS})",
    ),
    Checked(r"A(?:KIA|SIA|Iza)|SG\.|ya29\.", rf"(?<![{_WORD}])({_UNMARKED})(?![{_WORD}])", _RUN, 520, trace=_UNMARKED),
)


def _is_jwt(candidate: str, before: str) -> bool:
    head = candidate.split(".", 1)[0]
    try:
        found = msgspec.json.decode(base64.b64decode(head + "=" * (-len(head) % 4), altchars=b"-_"), type=dict[str, msgspec.Raw])
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return False
    return "alg" in found


_JWT_FORM = r"eyJ[A-Za-z0-9_-]{10,2000}\.[A-Za-z0-9_-]{2,6000}\.[A-Za-z0-9_-]{0,800}"
_JWT = Checked(
    "eyJ",
    rf"(?<![.{_WORD}])({_JWT_FORM})(?![{_WORD}])(?!\.[{_WORD}])",
    _RUN,
    8192,
    _is_jwt,
    trace=rf"eyJ{edge(3, '.' + _WORD)}[{_WORD}]{{10,2000}}+\.[{_WORD}]",
)

# What AWS gives beside a key's id has no form of its own, only a length: its name must stand before it.
_AWS = Checked(
    "[sS][eE][cC][rR][eE][tT]",
    r"[sS][eE][cC][rR][eE][tT][^\r\n]{0,24}?[\"'=: ]([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=_-])",
    r"[sS][eE][cC][rR][eE][tT][^\r\n]{0,66}|[sS](?:[eE](?:[cC](?:[rR][eE]?)?)?)?",
    80,
    lambda candidate, before: bool(re.search("[a-z]", candidate)) and bool(re.search("[0-9/+]", candidate)),
    trace="[sS][eE][cC][rR][eE][tT]",
)
_IN_URL = Checked(
    "://",
    r"(?<![A-Za-z0-9+.-])([a-z][a-z0-9+.-]{1,20}://[^\s/@:\"'<>]{1,64}:[^\s/@\"'<>]{3,128}@)(?=[A-Za-z0-9\[])",
    r"(?<![A-Za-z0-9+.-])[a-z][a-z0-9+.-]{0,20}(?::|:/|://[^\s\"'<>]*+)?",
    240,
    back=string.ascii_letters + string.digits + "+.-",
    trace=rf":{SLASH}{SLASH}[^\s/@\"'<>]++@",
)
_BEGIN = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_END = re.compile(r"-----END (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_BEGINNING = re.compile(r"-(?:-{0,4}|-{4}B[A-Z0-9 -]{0,70})\Z")
_LONGEST_KEY = 16 * 1024  # RSA of 8,192 bits has some 6,400 characters


class _PrivateKey:
    """PEM blocks. One without an end goes on up to the next `_LONGEST_KEY` characters: what is cut off is a key as well."""

    longest = _LONGEST_KEY

    @property
    def traces(self) -> Traces:
        """See `Detector`."""
        return (re.compile("-----BEGIN "),)

    def find(self, text: str) -> Iterator[Span]:
        """See `Detector`."""
        at = 0
        while (begin := _BEGIN.search(text, at)) is not None:
            limit = min(begin.start() + _LONGEST_KEY, len(text))
            end = _END.search(text, begin.end(), limit)
            at = end.end() if end is not None else limit
            yield Span(begin.start(), at)

    def open_from(self, text: str) -> int:
        """See `Detector`."""
        for span in self.find(text):
            if span.end == len(text) and span.end - span.start < _LONGEST_KEY:
                return span.start
        since = max(0, len(text) - 80)
        found = _BEGINNING.search(text, since)
        return found.start() if found is not None else len(text)


SECRET = AnyOf(*_TOKENS, _JWT, _AWS, _IN_URL, _PrivateKey())
