"""Requests that are made to cost a server more than they cost to send. Built here from the limits that they go beyond."""

from collections.abc import Callable
from typing import NamedTuple

BOUNDARY = "b"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
JSON = "application/json"
_MIB = 1024 * 1024


class Bomb(NamedTuple):
    """`body` makes about so many bytes. `content_type` says at which endpoints it is read."""

    content_type: str
    body: Callable[[int], bytes]
    mibs: float = 4.0
    status: int = 400

    def made(self) -> bytes:
        return self.body(int(self.mibs * _MIB))


def _filled(head: bytes, element: bytes, tail: bytes) -> Callable[[int], bytes]:
    return lambda size: head + element * (size // len(element)) + tail


def _numbered(head: bytes, element: bytes, tail: bytes) -> Callable[[int], bytes]:
    """As `_filled`, with another number in each element: no parser can share what it makes of them."""
    return lambda size: head + b"".join(element % number for number in range(size // len(element % 100_000))) + tail


def _part(name: bytes, data: bytes, *headers: bytes) -> bytes:
    lines = (b'Content-Disposition: form-data; name="' + name + b'"', *headers)
    return b"--b\r\n" + b"\r\n".join(lines) + b"\r\n\r\n" + data + b"\r\n"


_MODEL = _part(b"model", b"demo")
_END = b"--b--\r\n"
_FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
_JSON = b'{"model":"demo","messages":[],"x":'

BOMBS: dict[str, Bomb] = {
    # depth
    "arrays in arrays": Bomb(JSON, lambda size: _JSON + b"[" * (size // 2) + b"]" * (size // 2) + b"}"),
    "arrays that never end": Bomb(JSON, _filled(_JSON, b"[", b"")),
    "objects in objects": Bomb(JSON, lambda size: _JSON + b'{"a":' * (size // 6) + b"1" + b"}" * (size // 6) + b"}"),
    "a little too deep": Bomb(JSON, lambda size: _JSON + b"[" * 129 + b"]" * 129 + b"}"),
    # digits
    "one endless integer": Bomb(JSON, _filled(_JSON, b"9", b"}")),
    "one endless fraction": Bomb(JSON, _filled(_JSON + b"0.", b"3", b"}")),
    "a huge exponent": Bomb(JSON, _filled(_JSON + b"1e", b"9", b"}")),
    "many long numbers": Bomb(JSON, _filled(_JSON + b"[", b"9" * 309 + b",", b"1]}")),
    # keys and values
    "many keys": Bomb(JSON, _numbered(_JSON + b"1,", b'"k%d":1,', b'"z":1}')),
    "many keys within": Bomb(JSON, _numbered(_JSON + b"{", b'"k%d":1,', b'"z":1}}')),
    "the same key again and again": Bomb(JSON, _filled(_JSON + b"1,", b'"k":1,', b'"k":1}')),
    "many empty objects": Bomb(JSON, _filled(_JSON + b"[", b"{},", b"1]}")),
    "many empty arrays": Bomb(JSON, _filled(_JSON + b"[", b"[],", b"1]}")),
    "as many empty arrays as are taken": Bomb(JSON, _filled(_JSON + b"[", b"[],", b"1,,]}"), mibs=0.28),
    "twice as many": Bomb(JSON, _filled(_JSON + b"[", b"[],", b"1]}"), mibs=0.6),
    "as many as fit": Bomb(JSON, _filled(_JSON + b"[", b"[],", b"1]}"), mibs=31),
    "many objects with a key each": Bomb(JSON, _numbered(_JSON + b"[", b'{"k%d":1},', b"1]}")),
    "a text full of escapes without an end": Bomb(JSON, _filled(_JSON + b'"', b"\\u0041", b"")),
    "no JSON at all": Bomb(JSON, _filled(b"", b"\x00", b"")),
    # forms
    "many parts": Bomb(FORM, lambda size: _MODEL + _part(b"x", b"y") * (size // len(_part(b"x", b"y"))) + _END),
    "many empty parts": Bomb(FORM, _filled(b"", b"--b\r\n\r\n\r\n", _END)),
    "a part with an endless header": Bomb(FORM, lambda size: _part(b"x", b"", b"X-A: " + b"a" * size) + _END),
    "a part with many headers": Bomb(FORM, lambda size: _part(b"x", b"", *[b"Content-Length: 1"] * (size // 19)) + _END),
    "a field as large as a file": Bomb(FORM, lambda size: _MODEL + _part(b"prompt", b"x" * size) + _END),
    "what almost ends": Bomb(FORM, lambda size: _MODEL + _FILE + b"\r\n--" * (size // 4)),
    "ends that are none": Bomb(FORM, lambda size: _MODEL + _FILE + b"\r\n--bb" * (size // 6)),
    "a file that never ends": Bomb(FORM, lambda size: _MODEL + _FILE + b"x" * size, mibs=16),
    "a file of line breaks": Bomb(FORM, lambda size: _MODEL + _FILE + b"\r\n" * (size // 2), mibs=16),
    # size
    "more than is taken": Bomb(JSON, _filled(_JSON + b'"', b"x", b'"}'), mibs=33, status=413),
    "a form of more than is taken": Bomb(FORM, lambda size: _MODEL + _FILE + b"x" * size + b"\r\n" + _END, mibs=33, status=413),
}
