"""Structs that several threads may be the first to decode."""

from typing import TypeVar

import msgspec

_Struct = TypeVar("_Struct", bound=msgspec.Struct)


def resolved(kind: type[_Struct]) -> type[_Struct]:
    """Class decorator: the types of `kind`'s fields, and of the structs in them, are worked out now.

    msgspec (0.22) does that at the first decoding or conversion, and the process dies with SIGSEGV when two threads are first at once.
    Appraisals run on threads, so every struct that one of them decodes into is `resolved`.
    """
    msgspec.json.Decoder(kind)
    return kind
