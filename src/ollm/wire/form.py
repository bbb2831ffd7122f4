"""A request as multipart/form-data (RFC 7578): read strictly, and sent on as parts of our own making.

    body      = *part "--" boundary "--" CRLF
    part      = "--" boundary CRLF content-disposition [content-type] CRLF CRLF data CRLF

Two readers that disagree about a form let a caller show the gateway one model and the provider another. So what goes on is written anew from
what was read: our boundary, our headers, in the client's order; the data of each part byte for byte. A form is refused that readers take
differently: a field of routing twice, names with escapes, transfer encodings, lines before the first boundary, anything behind the last.
All of it stays in memory.
"""

import re

from ollm.errors import WireError
from ollm.values.secret import Hidden
from ollm.wire.endpoints import Endpoint
from ollm.wire.preferences import NO_PREFERENCES, Preferences
from ollm.wire.request import MAX_MODEL_NAME
from ollm.wire.rules import BodyRules

MEDIA_TYPE = "multipart/form-data"
MAX_PARTS = 128
MAX_FIELD = 1024 * 1024  # bytes of a field that is no file: a prompt, a schema
_MAX_HEAD = 4 * 1024

_BOUNDARY = re.compile(r"multipart/form-data;\s*boundary=(?:\"([0-9A-Za-z'()+_,./:=?-]{1,70})\"|([0-9A-Za-z'+_.-]{1,70}))", re.IGNORECASE)
_FILE = rb'[^"\\\x00-\x1f\x7f]{0,255}'
_NAME = rb'form-data; ?name="([A-Za-z0-9_.\[\]-]{1,128})"'
_STAR = rb"(?:; ?filename\*=utf-8''([A-Za-z0-9%!#$&+.^_`|~-]{1,800}))?"  # RFC 5987, which some clients use for names beyond ASCII
_DISPOSITION = re.compile(_NAME + rb'(?:; ?filename="(' + _FILE + rb')")?' + _STAR, re.IGNORECASE)
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_TYPE = re.compile(rb"[A-Za-z0-9!#$&^_.+-]{1,64}/[A-Za-z0-9!#$&^_.+-]{1,64}(?:; ?[A-Za-z0-9_-]{1,32}=[A-Za-z0-9_.\"-]{1,64}){0,4}")
_TEXT_TYPES = (b"", b"text/plain", b"application/json")
_ONCE = frozenset({"model", "stream", "response_format", "provider"})


class Part(Hidden, frozen=True):
    """One field or file of a form. All of it is the client's content."""

    name: str
    filename: bytes | None
    type: bytes  # b"" where the client named none
    data: bytes

    def __repr__(self) -> str:
        return "<part>"


class FormRequest(Hidden, frozen=True, eq=False):
    """One request with a form as its body."""

    endpoint: Endpoint
    model: str
    stream: bool
    parts: tuple[Part, ...]
    boundary: str  # of the form that is sent on
    text: bool = False  # the answer is text, not JSON
    preferences: Preferences = NO_PREFERENCES
    include_usage: bool = True
    characters = 0  # no form is spoken

    def __repr__(self) -> str:
        return f"<{self.endpoint.name} request stream={self.stream}>"

    @property
    def text_bytes(self) -> int:
        """Bytes of its fields; a file's are no text."""
        return sum(len(part.data) for part in self.parts if part.filename is None)

    @property
    def content_type(self) -> str:
        return f"{MEDIA_TYPE}; boundary={self.boundary}"

    def forward(self, upstream_model: str) -> bytes:
        """The form to send on, with the provider's name of the model."""
        mark = b"--" + self.boundary.encode()
        out: list[bytes] = []
        for part in self.parts:
            out += (mark, b'\r\nContent-Disposition: form-data; name="', part.name.encode(), b'"')
            if part.filename is not None:
                out += (b'; filename="', part.filename, b'"')
            if part.type:
                out += (b"\r\nContent-Type: ", part.type)
            out += (b"\r\n\r\n", upstream_model.encode() if part.name == "model" else part.data, b"\r\n")
        return b"".join((*out, mark, b"--\r\n"))


def parse_form(body: bytes, content_type: str, endpoint: Endpoint, boundary: str, default: str = "") -> FormRequest:
    """Read the form in `body`. `boundary` is for the form that goes on: one that nobody could know before.

    `default` is the model of a form that names none.

    Raises: WireError with `param` naming the field at fault.
    """
    parts = tuple(_parts(body, content_type))
    if boundary.encode() in body:
        raise WireError("the form holds the gateway's own boundary")
    fields = {part.name: part.data for part in parts if part.filename is None}
    names = [part.name for part in parts if part.name in _ONCE]
    if len(set(names)) != len(names) or not set(names) <= set(fields):
        raise WireError("a field of the form is given twice, or as a file", "model")
    model = _word(fields, "model") or default
    if "model" not in fields:
        parts = (*parts, Part("model", None, b"", b""))
    if not 0 < len(model) <= MAX_MODEL_NAME:
        raise WireError("model is required", "model")
    _rule(endpoint.rules, fields)
    if "provider" in fields:
        raise WireError("a form has no preferences of routing: send X-OLLM-Require and X-OLLM-Sessions as headers", "provider")
    stream = endpoint.streams is not None and _flag(fields, "stream")
    return FormRequest(endpoint, model, stream, parts, boundary, text=_word(fields, "response_format") in endpoint.texts)


def _rule(rules: BodyRules, fields: dict[str, bytes]) -> None:
    for name, reason in rules.refused.items():
        if name in fields:
            raise WireError(reason, name)
    for name, (value, reason) in rules.refused_values.items():
        if _word(fields, name) == value:
            raise WireError(reason, name)


def _word(fields: dict[str, bytes], name: str) -> str:
    try:
        return fields.get(name, b"").decode()
    except UnicodeDecodeError:
        raise WireError(f"{name} must be text in UTF-8", name) from None


def _flag(fields: dict[str, bytes], name: str) -> bool:
    word = _word(fields, name).lower()
    if word not in ("", "true", "false", "1", "0"):
        raise WireError(f"{name} must be a boolean", name)
    return word in ("true", "1")


def _parts(body: bytes, content_type: str) -> list[Part]:
    found = _BOUNDARY.fullmatch(content_type.strip())
    if found is None:
        raise WireError("the content type must be multipart/form-data with a plain boundary")
    mark = b"--" + (found[1] or found[2]).encode()
    if not body.startswith(mark + b"\r\n"):
        raise WireError("the form does not begin with its boundary")
    at = len(mark)
    parts: list[Part] = []
    delimiter = b"\r\n" + mark
    while True:
        if len(parts) >= MAX_PARTS:
            raise WireError("the form has too many parts")
        head = body.find(b"\r\n\r\n", at, at + _MAX_HEAD)
        end = body.find(delimiter, head + 4) if head >= 0 else -1
        if end < 0:
            raise WireError("the form has a part without an end, or with too many headers")
        parts.append(_part(body[at + 2 : head], body[head + 4 : end]))
        at = end + len(delimiter)
        after = body[at : at + 4]
        if after in (b"--", b"--\r\n"):
            if len(body) > at + len(after):
                raise WireError("the form goes on behind its end")
            return parts
        if not after.startswith(b"\r\n"):
            raise WireError("the form has a part without an end, or with too many headers")


def _part(head: bytes, data: bytes) -> Part:
    disposition, kind = None, b""
    for line in head.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        value = value.strip(b" \t")
        if name.lower() == b"content-disposition" and disposition is None:
            disposition = _DISPOSITION.fullmatch(value)
        elif name.lower() == b"content-type" and not kind and _TYPE.fullmatch(value):
            kind = value
        elif name.lower() != b"content-length" or not colon:
            raise WireError("a part of the form has a header that a form's part can't have")
    if disposition is None:
        raise WireError("a part of the form has no plain name")
    filename = disposition[2] if disposition[3] is None else _PERCENT.sub(lambda found: bytes.fromhex(found[1].decode()), disposition[3])
    if filename is not None and not re.fullmatch(_FILE, filename):
        raise WireError("a file of the form has no plain name")
    if filename is None:
        if len(data) > MAX_FIELD:
            raise WireError("a field of the form is too large")
        if kind.partition(b";")[0] not in _TEXT_TYPES:
            raise WireError("a field of the form is neither text nor a file")
    return Part(disposition[1].decode(), filename, kind, data)


def boundary_of(stem: str) -> str:
    """A boundary that belongs to one request: `stem` is random, so no body can have been made to hold it."""
    return f"ollm-{stem}"
