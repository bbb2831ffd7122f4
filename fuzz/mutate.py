"""Damage to well-formed input, the same for the same seed: bytes and lengths of any format, tokens and nesting of text."""

import random
import re
from collections.abc import Callable, Sequence

MAX_GROWTH = 1 << 16  # bytes that one edit may add
_BYTES = (0x00, 0x01, 0x7F, 0x80, 0x81, 0x82, 0x84, 0xFE, 0xFF)
_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[A-Za-z0-9_+/=.-]+|[^A-Za-z0-9\s]')
_MEMBER = re.compile(rb'"[^"\\]*"\s*:\s*(?:"[^"\\]*"|[^,{}\[\]"]+)')
_ELEMENT = re.compile(rb"<[^<>!?]+>")
_DIGITS = re.compile(rb"\d+")
_TOKENS = (
    *(b"null", b"true", b"-1", b"0", b"1e999", b"NaN", b'""', b"[]", b"{}", b'{"":0}', b"\\u0000", b"\\ud800", b"\xff\xfe", b"\xef\xbb\xbf", b"\r\n"),
    *(b"&amp;", b"&#0;", b"&undefined;", b"<a>", b"</a>", b"<!--", b"-->", b"<![CDATA[", b"]]>", b"<?xml?>", b" xmlns=''", b" Id='x'"),
    *(b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----", b"====", b".", b"..", b"sha256:", b"1970-01-01T00:00:00Z", b"9" * 40),
)
_ENTITIES = b'<!DOCTYPE a [<!ENTITY b "' + b"b" * 64 + b'"><!ENTITY c "&b;&b;&b;&b;"><!ENTITY d SYSTEM "file:///dev/null">]>'

Edit = Callable[[bytearray, random.Random], None]


def damaged(seeds: Sequence[bytes], rng: random.Random, *, text: bool = False) -> bytes:
    """One of `seeds` with one to four edits, or with the end of another."""
    data = bytearray(rng.choice(seeds))
    if rng.random() < 0.05:
        other = rng.choice(seeds)
        data[_place(data, rng) :] = other[_place(other, rng) :]
    edits = TEXT_EDITS if text and rng.random() < 0.7 else EDITS
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        rng.choice(edits)(data, rng)
    return bytes(data)


def _place(data: bytes | bytearray, rng: random.Random) -> int:
    return rng.randint(0, len(data))


def _length(rng: random.Random) -> int:
    """Mostly short, at times long."""
    return rng.randint(1, rng.choice((1, 4, 16, 64, 256, 1024)))


# Edits of bytes


def _bit(data: bytearray, rng: random.Random) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _byte(data: bytearray, rng: random.Random) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.choice((*_BYTES, rng.randrange(256)))


def _run(data: bytearray, rng: random.Random) -> None:
    at = _place(data, rng)
    size = len(data[at : at + _length(rng)])
    data[at : at + size] = rng.choice((bytes(size), b"\xff" * size, rng.randbytes(size)))


def _cut(data: bytearray, rng: random.Random) -> None:
    at = _place(data, rng)
    del data[at : at + _length(rng)]


def _end(data: bytearray, rng: random.Random) -> None:
    del data[_place(data, rng) :]


def _twice(data: bytearray, rng: random.Random) -> None:
    at = _place(data, rng)
    data[at:at] = data[at : at + _length(rng)]


def _foreign(data: bytearray, rng: random.Random) -> None:
    at = _place(data, rng)
    data[at:at] = rng.randbytes(_length(rng))


def _swap(data: bytearray, rng: random.Random) -> None:
    first, second, size = _place(data, rng), _place(data, rng), _length(rng)
    one, other = bytes(data[first : first + size]), bytes(data[second : second + size])
    if len(one) == len(other):
        data[first : first + size], data[second : second + size] = other, one


def _number(data: bytearray, rng: random.Random) -> None:
    """An integer of one to eight bytes: off by one, doubled, or an extreme. Lengths are such integers."""
    size, order = rng.choice((1, 2, 2, 3, 4, 4, 8)), rng.choice(("little", "big"))
    if len(data) < size:
        return
    at = rng.randint(0, len(data) - size)
    value = int.from_bytes(data[at : at + size], order)  # type: ignore[arg-type]  # order is one of the two
    value = rng.choice((value + 1, value - 1, value * 2, value // 2, rng.choice(_NUMBERS), len(data), len(data) - at)) % (1 << 8 * size)
    data[at : at + size] = value.to_bytes(size, order)  # type: ignore[arg-type]  # order is one of the two


def _long(data: bytearray, rng: random.Random) -> None:
    data.extend(rng.choice((bytes(1), b"\xff", b"[", b"\x30\x80", b"\x81", b" ")) * rng.choice((1, 64, 4096, MAX_GROWTH // 2)))


EDITS: tuple[Edit, ...] = (_bit, _bit, _byte, _byte, _run, _cut, _end, _twice, _foreign, _swap, _number, _number, _number, _long)


# Edits of text


def _found(pattern: re.Pattern[bytes], data: bytearray, rng: random.Random) -> re.Match[bytes] | None:
    """A match of `pattern` from somewhere on."""
    start = _place(data, rng)
    return pattern.search(data, start) or pattern.search(data)


def _token(data: bytearray, rng: random.Random) -> None:
    """A token replaced by one that means something elsewhere, or by another of the same text."""
    if old := _found(_TOKEN, data, rng):
        other = _found(_TOKEN, data, rng)
        data[old.start() : old.end()] = rng.choice((rng.choice(_TOKENS), other.group() if other else b""))


def _inserted(data: bytearray, rng: random.Random) -> None:
    at = _place(data, rng)
    data[at:at] = rng.choice(_TOKENS)


def _member_twice(data: bytearray, rng: random.Random) -> None:
    """A member of an object, or an element, once more."""
    if found := _found(rng.choice((_MEMBER, _ELEMENT)), data, rng):
        separator = b"," if found.group().startswith(b'"') else b""
        data[found.end() : found.end()] = separator + found.group()


def _nested(data: bytearray, rng: random.Random) -> None:
    """A value inside many others, closed or not."""
    depth = rng.choice((2, 130, 1000, 10_000))
    opening, closing = rng.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"<a>", b"</a>"), (b"(", b")")))
    found = _found(_TOKEN, data, rng)
    inner = found.group() if found else b"0"
    at, end = (found.start(), found.end()) if found else (0, 0)
    data[at:end] = opening * depth + inner + closing * rng.choice((depth, depth, 0))


def _huge(data: bytearray, rng: random.Random) -> None:
    """A number with thousands of digits, or a tiny change of it."""
    if found := _found(_DIGITS, data, rng):
        digits = b"%d" % (int(found.group()[:18]) + rng.choice((-1, 1)))
        data[found.start() : found.end()] = rng.choice((digits, b"9" * 4301, b"1" + b"0" * 400, b"1e400", b"0x10", b"007", b"1.5", b"-" + digits))


def _flood(data: bytearray, rng: random.Random) -> None:
    """The same member, element or token very often."""
    if found := _found(rng.choice((_MEMBER, _ELEMENT, _TOKEN)), data, rng):
        piece = found.group() + (b"," if found.group().startswith(b'"') else b"")
        data[found.start() : found.start()] = piece * min(rng.choice((2, 100, 5000)), MAX_GROWTH // len(piece) + 1)


def _case(data: bytearray, rng: random.Random) -> None:
    if found := _found(_TOKEN, data, rng):
        data[found.start() : found.end()] = found.group().swapcase()


def _entities(data: bytearray, rng: random.Random) -> None:
    """A document type with entities, as the well-known attacks on XML have."""
    at = max(data.find(b"?>") + 2, 0) if b"?>" in data else 0
    data[at:at] = _ENTITIES
    if found := _found(_TOKEN, data, rng):
        data[found.start() : found.end()] = rng.choice((b"&c;", b"&d;"))


TEXT_EDITS: tuple[Edit, ...] = (_token, _token, _token, _inserted, _member_twice, _nested, _huge, _flood, _case, _entities)
