"""The key of a caller without a lasting secret: its receipts rest under one that it brings, or that it is told once.

X-Receipt-Key: base64url of 32 bytes, 43 characters without padding
"""

import base64

from ollm.errors import ApiError
from ollm.gateway.entropy import entropy
from ollm.serving.http import Scope
from ollm.wire.jwk import decode_base64url

HEADER = b"x-receipt-key"
_SIZE = 32


def receipt_key(scope: Scope) -> tuple[bytes, bool]:
    """The key, and whether it was made here for want of one. Raises: ApiError 400 for one in another form, or more than one."""
    said = [value for name, value in scope["headers"] if name == HEADER]
    if not said:
        return entropy.take(_SIZE), True
    key = decode_base64url(said[0].decode("latin-1"))
    if len(said) > 1 or key is None or len(key) != _SIZE:
        message = "X-Receipt-Key must stand there once, as base64url of 32 random bytes: 43 characters without padding."
        raise ApiError(400, "invalid_request_error", "invalid_receipt_key", message)
    return key, False


def told(key: bytes) -> tuple[bytes, bytes]:
    """The header that tells a client the key that was made for it."""
    return HEADER, base64.urlsafe_b64encode(key).rstrip(b"=")
