"""Types for what must never be printed: secrets, and content on its way through."""

from typing import Any, NoReturn

import msgspec


class Sealed:
    """Bytes that can't print, format, pickle or compare themselves; `expose()` is the only way in.

    Used for prompts, answers and keys wherever they are held in an object that could reach a log or a traceback.
    """

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def expose(self) -> bytes:
        """The bytes themselves. Every call is a place where a reviewer looks."""
        return self._value

    def __repr__(self) -> str:
        return "<sealed>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "<sealed>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("sealed values can't be pickled")


class Hidden(msgspec.Struct, frozen=True):
    """Base of structs that hold content or secrets: nothing that prints one shows its fields.

    A `__repr__` alone is not enough: rich asks for `__rich_repr__` first, and msgspec answers with every field.
    """

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []
