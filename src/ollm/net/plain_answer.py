"""A whole small answer that came in one read, taken apart without a parser's callbacks.

Most answers to small requests are one such read: a head of plain fields, and as many bytes behind it as Content-Length says. They are
recognised by one strict pattern and cut in C. Everything else (chunks, repeated fields, a body still on its way, anything that looks odd) is
for httptools to read or to refuse: what is taken here is what httptools takes, with the same result, and a property test holds the two together.
"""

import re
from typing import NamedTuple

_MAX_HEAD = 16 * 1024  # bytes; larger heads are httptools' to count
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_VALUE = rb"[!-~](?:[ -~]*[!-~])?"  # printable ASCII without space around it
_HEAD = re.compile(rb"HTTP/1\.1 ([2-5][0-9]{2}) [ -~]{0,128}\r\n((?:" + _TOKEN + rb": " + _VALUE + rb"\r\n){1,100}+)\r\n")
_FIELD = re.compile(rb"([^:]++): ([^\r]++)\r\n")
_LENGTH = re.compile(rb"[0-9]{1,9}")
_BODILESS = frozenset((204, 205, 304))
_STAYS = b"keep-alive"
_lower = bytes.lower
_OTHERS = frozenset((b"transfer-encoding", b"proxy-connection", b"upgrade", b"trailer"))  # fields that change how the rest is read


class PlainAnswer(NamedTuple):
    """`headers` has lowercase names; the connection stays open behind it."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


def plain_answer(data: bytes) -> PlainAnswer | None:
    """The answer that `data` is, with nothing missing and nothing behind it; None for whatever httptools had better read."""
    head = _HEAD.match(data, 0, _MAX_HEAD)
    if head is None:
        return None
    names, values = zip(*_FIELD.findall(head[2]), strict=True)
    headers = dict(zip(map(_lower, names), values, strict=True))
    length = headers.get(b"content-length", b"")
    if len(headers) != len(names) or not _OTHERS.isdisjoint(headers) or headers.get(b"connection", _STAYS).lower() != _STAYS:
        return None
    status = int(head[1])
    if status in _BODILESS or not _LENGTH.fullmatch(length) or len(data) - head.end() != int(length):
        return None
    return PlainAnswer(status, headers, data[head.end() :])
