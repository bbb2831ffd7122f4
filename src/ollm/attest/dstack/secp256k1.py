"""Which key made an ECDSA signature on secp256k1: how Ethereum names signers, by an address instead of a key.

    y² = x³ + 7 over the field of 2²⁵⁶ - 2³² - 977; the point R is (r, y) with y of the parity that v gives; the key is r⁻¹(sR - eG)

Only public values pass through here, so nothing is done in constant time. Sources: SEC 1 §4.1.6; SEC 2 §2.4.1; EIP-191.
"""

_P = 2**256 - 2**32 - 977
_N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)
_Point = tuple[int, int] | None  # None: the neutral element


def recover(digest: bytes, r: int, s: int, parity: int) -> bytes | None:
    """The 64 bytes of the public key under which (`r`, `s`) is a signature over the 32 bytes of `digest`; None when there is none.

    `parity` is that of R's y coordinate, 0 or 1. The two keys of an r above the group's order, which nobody has ever seen, are not looked for.
    """
    if not (0 < r < _N and 0 < s < _N):
        return None
    y_squared = (pow(r, 3, _P) + 7) % _P
    y = pow(y_squared, (_P + 1) // 4, _P)
    if y * y % _P != y_squared:
        return None
    point = (r, y if y % 2 == parity else _P - y)
    inverse = pow(r, -1, _N)
    key = _add(_multiply(point, s * inverse % _N), _multiply(_G, -int.from_bytes(digest, "big") * inverse % _N))
    return None if key is None else key[0].to_bytes(32, "big") + key[1].to_bytes(32, "big")


def _add(one: _Point, other: _Point) -> _Point:
    if one is None or other is None:
        return other if one is None else one
    if one[0] == other[0] and (one[1] + other[1]) % _P == 0:
        return None
    slope = 3 * one[0] * one[0] * pow(2 * one[1], -1, _P) if one == other else (other[1] - one[1]) * pow(other[0] - one[0], -1, _P)
    x = (slope * slope - one[0] - other[0]) % _P
    return x, (slope * (one[0] - x) - one[1]) % _P


def _multiply(point: _Point, by: int) -> _Point:
    total: _Point = None
    while by:
        if by & 1:
            total = _add(total, point)
        point = _add(point, point)
        by >>= 1
    return total
