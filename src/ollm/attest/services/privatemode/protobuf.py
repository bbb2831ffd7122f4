"""Messages of Protocol Buffers, as attestation documents of Go programs carry them: each field by its number, each read once.

    field   varint of number << 3 | type, then: 0 varint · 1 eight bytes · 2 varint of a length, and so many bytes · 5 four bytes
    varint  seven bits to a byte, lowest first; the high bit says that another byte follows

Stricter than the format: no field stands twice (the format lets the last win), and numbers fit the width that they are read with.

Source: Protocol Buffers documentation, Encoding.
"""

from ollm.errors import EvidenceRefused

_MAX_VARINT = 10  # bytes of a 64-bit number
_FIXED = {1: 8, 5: 4}  # size by type
_VARINT, _LENGTH = 0, 2


class Message:
    """The fields of one message. Reading one that is not there, or of another kind or size, is a refusal."""

    __slots__ = ("_check", "_fields", "_name", "_several")

    def __init__(self, data: bytes, check: str, name: str, *, repeated: int = 0) -> None:
        """`name` is what the message is, for people; the field `repeated` alone may stand there several times.

        Raises: EvidenceRefused naming `check`.
        """
        self._check = check
        self._name = name
        self._fields: dict[int, int | bytes] = {}
        self._several: list[bytes] = []
        at = 0
        while at < len(data):
            tag, at = self._varint(data, at)
            number, kind = tag >> 3, tag & 7
            if number == 0 or number in self._fields:
                raise self._refused(f"field {number} twice, or without a number")
            value: int | bytes
            if kind == _VARINT:
                value, at = self._varint(data, at)
            else:
                if kind == _LENGTH:
                    size, at = self._varint(data, at)
                elif kind in _FIXED:
                    size = _FIXED[kind]
                else:
                    raise self._refused(f"a field of type {kind}")
                if size > len(data) - at:
                    raise self._refused("a field that is cut off")
                value, at = data[at : at + size], at + size
            if number != repeated:
                self._fields[number] = value
            elif isinstance(value, bytes):
                self._several.append(value)
            else:
                raise self._refused(f"field {number} that is no bytes")

    def __contains__(self, number: object) -> bool:
        return number in self._fields

    def only(self, numbers: range) -> None:
        """There is no field beside `numbers`. Raises: EvidenceRefused."""
        for number in self._fields:
            if number not in numbers:
                raise self._refused(f"a field {number} of no known meaning")

    def is_number(self, number: int) -> bool:
        """Whether there is a field `number` that is a varint."""
        return isinstance(self._fields.get(number), int)

    def number(self, number: int, size: int) -> int:
        """Field `number`, of at most `size` bytes; zeros are left out on the wire. Raises: EvidenceRefused."""
        value = self._fields.get(number, 0)
        if not isinstance(value, int) or value >> 8 * size:
            raise self._refused(f"field {number} that is no number of {size} bytes")
        return value

    def octets(self, number: int, size: int) -> bytes:
        """Field `number`, of exactly `size` bytes. Raises: EvidenceRefused."""
        value = self.rest(number)
        if len(value) != size:
            raise self._refused(f"field {number} of {len(value)} bytes, not {size}")
        return value

    def rest(self, number: int) -> bytes:
        """Field `number`, of any size; nothing where it is left out. Raises: EvidenceRefused."""
        value = self._fields.get(number, b"")
        if not isinstance(value, bytes):
            raise self._refused(f"field {number} that is no bytes")
        return value

    def several(self, count: int, size: int) -> tuple[bytes, ...]:
        """The repeated field, which stands there `count` times with `size` bytes. Raises: EvidenceRefused."""
        if [len(value) for value in self._several] != [size] * count:
            raise self._refused(f"not {count} times {size} bytes")
        return tuple(self._several)

    def message(self, number: int, name: str, *, repeated: int = 0) -> "Message":
        """Field `number`, itself a message: `name`. Raises: EvidenceRefused."""
        if number not in self._fields:
            raise self._refused(f"no {name}")
        return Message(self.rest(number), self._check, name, repeated=repeated)

    def _varint(self, data: bytes, at: int) -> tuple[int, int]:
        value = 0
        for index, byte in enumerate(data[at : at + _MAX_VARINT]):
            value |= (byte & 0x7F) << 7 * index
            if byte < 0x80:
                if value >> 64:
                    break
                return value, at + index + 1
        raise self._refused("a number that is cut off, or too large")

    def _refused(self, what: str) -> EvidenceRefused:
        return EvidenceRefused(self._check, f"{what}, in {self._name}", "a message as the format defines it")
