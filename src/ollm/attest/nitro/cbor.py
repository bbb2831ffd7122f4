"""CBOR (RFC 8949), the few kinds of items that a Nitro document consists of, each in its one spelling.

A general decoder does more than a document needs, and each of these is a way for two readers to disagree or for a small input to cost
much: tags (big numbers, decimal fractions, regular expressions, references), floats, lengths that are not the shortest, map keys twice,
bytes after the item. None is decoded here. Source: RFC 8949 §3 and, for what is refused, §4.2.1.
"""

from collections.abc import Iterator
from typing import TypeAlias, Union

from ollm.errors import EvidenceRefused

Value: TypeAlias = Union[int, bytes, str, list["Value"], dict[Union[int, str], "Value"], None]  # noqa: UP007  # quoted names know no |

_MAX_DEPTH = 4  # a document has three levels
_SHORTEST = (24, 1 << 8, 1 << 16, 1 << 32)  # the least argument that takes 1, 2, 4, 8 bytes
_INDEFINITE = 31
_BREAK = 0xFF
_NULL = 22


def decode(data: bytes, check: str, *, indefinite: bool = False) -> Value:
    """The one item that `data` is. `indefinite`: maps and arrays may end with a break instead of stating their length.

    Raises: EvidenceRefused naming `check`.
    """
    reader = _Reader(data, check, indefinite=indefinite)
    value = reader.item(0)
    if not reader.ended:
        raise EvidenceRefused(check, "bytes after the CBOR item", "none")
    return value


def bytes_head(size: int) -> bytes:
    """What stands before the bytes of a byte string of `size` bytes."""
    if size < _SHORTEST[0]:
        return bytes([2 << 5 | size])
    width = sum(size >= least for least in _SHORTEST) - 1
    return bytes([2 << 5 | 24 + width]) + size.to_bytes(1 << width, "big")


class _Reader:
    """Takes items off the front of `data`."""

    def __init__(self, data: bytes, check: str, *, indefinite: bool) -> None:
        self._data = data
        self._at = 0
        self._check = check
        self._indefinite = indefinite

    @property
    def ended(self) -> bool:
        return self._at == len(self._data)

    def item(self, depth: int) -> Value:
        """The next item. Raises: EvidenceRefused."""
        if depth > _MAX_DEPTH:
            raise self._refused(f"CBOR deeper than {_MAX_DEPTH} levels")
        major, argument = self._head()
        match major:
            case 0:
                return self._definite(argument)
            case 1:
                return -1 - self._definite(argument)
            case 2:
                return self._take(self._definite(argument))
            case 3:
                return self._text(self._take(self._definite(argument)))
            case 4:
                return [self.item(depth + 1) for _ in self._entries(argument)]
            case 5:
                return self._map(argument, depth)
            case 7 if argument == _NULL:
                return None
            case _:
                raise self._refused(f"CBOR of major type {major}")

    def _head(self) -> tuple[int, int | None]:
        """Major type and argument of the next item; the argument is None where the length is indefinite."""
        first = self._take(1)[0]
        major, info = first >> 5, first & 0x1F
        if info < _SHORTEST[0]:
            return major, info
        if info == _INDEFINITE:
            return major, None
        if info > 27:
            raise self._refused(f"CBOR of reserved length {info}")
        argument = int.from_bytes(self._take(1 << (info - 24)), "big")
        if argument < _SHORTEST[info - 24]:
            raise self._refused("CBOR with a length or number that is not the shortest")
        return major, argument

    def _take(self, size: int) -> bytes:
        if size > len(self._data) - self._at:
            raise self._refused(f"CBOR that ends before its {size} bytes at offset {self._at}")
        self._at += size
        return self._data[self._at - size : self._at]

    def _definite(self, argument: int | None) -> int:
        if argument is None:
            raise self._refused("CBOR of indefinite length")
        return argument

    def _entries(self, count: int | None) -> Iterator[None]:
        """Once for each entry of a container that states its `count`, or until its break."""
        if count is not None or not self._indefinite:
            yield from (None for _ in range(self._definite(count)))
            return
        while self._data[self._at : self._at + 1] != bytes([_BREAK]):
            yield None  # at the end of the data the entry refuses
        self._at += 1

    def _map(self, count: int | None, depth: int) -> dict[int | str, Value]:
        found: dict[int | str, Value] = {}
        for _ in self._entries(count):
            key = self.item(depth + 1)
            if not isinstance(key, (int, str)) or key in found:
                raise self._refused("CBOR with a key twice, or of another kind")
            found[key] = self.item(depth + 1)
        return found

    def _text(self, data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise self._refused("CBOR text that is no UTF-8") from None

    def _refused(self, got: str) -> EvidenceRefused:
        return EvidenceRefused(self._check, got, "integers, bytes, text, arrays, maps and null, each in its one spelling")
