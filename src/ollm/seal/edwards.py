"""An Ed25519 key used for X25519: RFC 8032 points and RFC 7748 u-coordinates of one curve (RFC 7748 §4.1 has the map).

`cryptography` has no such conversion. Only public values pass through the arithmetic here; secret ones go through SHA-512 into
the library's X25519.
"""

import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ollm.errors import SealError

_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P  # RFC 8032 §5.1: the curve is -x² + y² = 1 + d x² y²
_LOW_ORDER_U = frozenset(  # u-coordinates of the points of order 2, 4 and 8
    {
        0,
        1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    }
)


def x25519_public(ed25519_public: bytes) -> bytes:
    """The X25519 public key of an Ed25519 public key: u = (1 + y) / (1 - y).

    Raises: SealError INVALID_KEY_CONFIG for what is no canonical point of the curve, or one of low order, whose shared secrets
    everybody knows.
    """
    if len(ed25519_public) != 32:
        raise SealError("INVALID_KEY_CONFIG", "an Ed25519 public key has 32 bytes")
    y = int.from_bytes(ed25519_public, "little") & (1 << 255) - 1  # the top bit is the sign of x, which u does not have
    if y >= _P:
        raise SealError("INVALID_KEY_CONFIG", "not a canonical Ed25519 point")
    if y == 1:
        raise SealError("INVALID_KEY_CONFIG", "an Ed25519 point of low order")  # the neutral element; it has no u
    # x² = (y² - 1) / (d y² + 1) must be a square (RFC 8032 §5.1.3); d is no square, so the divisor is never zero.
    x_squared = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    if x_squared and pow(x_squared, (_P - 1) // 2, _P) != 1:
        raise SealError("INVALID_KEY_CONFIG", "not a point of the Ed25519 curve")
    u = (1 + y) * pow(1 - y, -1, _P) % _P
    if u in _LOW_ORDER_U:
        raise SealError("INVALID_KEY_CONFIG", "an Ed25519 point of low order")
    return u.to_bytes(32, "little")


def x25519_private(ed25519_private: Ed25519PrivateKey) -> X25519PrivateKey:
    """The X25519 key of an Ed25519 key: the scalar of RFC 8032 §5.1.5; X25519 itself clamps it (RFC 7748 §5)."""
    return X25519PrivateKey.from_private_bytes(hashlib.sha512(ed25519_private.private_bytes_raw()).digest()[:32])
