"""A whole request that came in one read, taken apart without a parser's callbacks.

Most requests are one such read: a head of plain fields, and as many bytes behind it as Content-Length says. They are recognised by one strict
pattern and cut in C. Everything else (a body still on its way, chunks, repeated fields, an upgrade, anything that looks odd) is for httptools
to read or to refuse: what is taken here is what httptools takes, with the same result, and a property test holds the two together.
"""

import re
from typing import NamedTuple

from ollm.serving.framing import HOST
from ollm.serving.http import Header
from ollm.serving.limits import Limits

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_VALUE = rb"[!-~](?:[ -~]*[!-~])?"  # printable ASCII without space around it
_HEAD = re.compile(rb"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (/[!-~]*+) HTTP/1\.1\r\n((?:" + _TOKEN + rb": " + _VALUE + rb"\r\n)++)\r\n")
_FIELD = re.compile(rb"([^:]++): ([^\r]++)\r\n")
_LENGTH = re.compile(rb"[0-9]{1,9}")
_STAYS = b"keep-alive"
_lower = bytes.lower
# Fields that change how the rest is read, or what is answered before it.
_OTHERS = frozenset((b"transfer-encoding", b"expect", b"proxy-connection", b"upgrade", b"trailer"))


class PlainRequest(NamedTuple):
    """`headers` have lowercase names; the connection stays open behind it."""

    method: str
    target: bytes
    headers: list[Header]
    body: bytes


def plain_request(data: bytes, limits: Limits) -> PlainRequest | None:
    """The request that `data` is, with nothing missing and nothing behind it; None for whatever httptools had better read."""
    head = _HEAD.match(data, 0, limits.header_bytes)
    if head is None:
        return None
    method, target, lines = head.groups()
    names, values = zip(*_FIELD.findall(lines), strict=True)
    headers = list(zip(map(_lower, names), values, strict=True))
    fields = dict(headers)
    if not len(fields) == len(headers) <= limits.header_fields or not _OTHERS.isdisjoint(fields):
        return None
    if fields.get(b"connection", _STAYS).lower() != _STAYS or not HOST.fullmatch(fields.get(b"host", b"")):
        return None
    length = fields.get(b"content-length", b"0")
    if not _LENGTH.fullmatch(length) or len(data) - head.end() != int(length):
        return None
    return PlainRequest(method.decode(), target, headers, data[head.end() :])
