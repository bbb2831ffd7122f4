"""Strings that are not just strings: each has one spelling, checked where it enters."""

import hashlib
import re
from typing import NewType

from ollm.errors import WireError

Hex32 = NewType("Hex32", str)  # 64 lowercase hex characters: a nonce, an SPKI digest, a session id
Sha256 = NewType("Sha256", str)  # "sha256:" and 64 lowercase hex characters (ACI appendix A)
KeyId = NewType("KeyId", str)  # public part of an API key
RequestId = NewType("RequestId", str)  # 32 lowercase hex characters, minted by us; the stem of every id of one request

_HEX32 = re.compile(r"[0-9a-f]{64}")
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")


def hex32(text: str) -> Hex32:
    """Return `text` as 32 bytes in lowercase hex. Raises: WireError."""
    if not _HEX32.fullmatch(text):
        raise WireError("expected 64 lowercase hexadecimal characters")
    return Hex32(text)


def sha256_name(text: str) -> Sha256:
    """Return `text` as a named digest. Raises: WireError."""
    if not _SHA256.fullmatch(text):
        raise WireError("expected sha256: and 64 lowercase hexadecimal characters")
    return Sha256(text)


def sha256_of(data: bytes) -> Sha256:
    """Name of the SHA-256 of `data`, as ACI writes digests."""
    return Sha256("sha256:" + hashlib.sha256(data).hexdigest())
