"""Keccak-256 as Ethereum and dstack use it: SHA3-256 with the padding from before FIPS 202, which `hashlib` doesn't have.

Source: FIPS 202 §3 (the permutation) and §4 (the sponge); Keccak reference, version 3.0 (padding 0x01 instead of 0x06).
"""

_RATE = 136  # bytes: 1600 bits of state less twice 256
_MASK = (1 << 64) - 1


def _rounds() -> tuple[int, ...]:
    """Constants of the 24 rounds, FIPS 202 §3.2.5: bits of a shift register."""
    constants, register = [], 1
    for _ in range(24):
        constant = 0
        for j in range(7):
            constant |= (register & 1) << ((1 << j) - 1)
            register = (register << 1) ^ (0x171 if register & 0x80 else 0)
        constants.append(constant)
    return tuple(constants)


def _walk() -> tuple[tuple[int, int, int], ...]:
    """Steps rho and pi, FIPS 202 §3.2.2 and §3.2.3: (from lane, to lane, rotation); lane (x, y) is number x + 5y."""
    steps, x, y = [(0, 0, 0)], 1, 0
    for t in range(24):
        steps.append((x + 5 * y, y + 5 * ((2 * x + 3 * y) % 5), (t + 1) * (t + 2) // 2 % 64))
        x, y = y, (2 * x + 3 * y) % 5
    return tuple(steps)


_CONSTANTS = _rounds()
_STEPS = _walk()


def keccak_256(data: bytes, padding: int = 0x01) -> bytes:
    """Digest of `data`, 32 bytes. With `padding` 0x06 it is SHA3-256."""
    padded = bytearray(data + bytes([padding]) + bytes(-(len(data) + 1) % _RATE))
    padded[-1] |= 0x80
    state = [0] * 25
    for start in range(0, len(padded), _RATE):
        for lane in range(_RATE // 8):
            state[lane] ^= int.from_bytes(padded[start + 8 * lane : start + 8 * lane + 8], "little")
        state = _permute(state)
    return b"".join(lane.to_bytes(8, "little") for lane in state[:4])


def _permute(state: list[int]) -> list[int]:
    for constant in _CONSTANTS:
        parity = [state[x] ^ state[x + 5] ^ state[x + 10] ^ state[x + 15] ^ state[x + 20] for x in range(5)]
        state = [lane ^ parity[(at - 1) % 5] ^ _rotated(parity[(at + 1) % 5], 1) for at, lane in enumerate(state)]
        moved = [0] * 25
        for source, target, rotation in _STEPS:
            moved[target] = _rotated(state[source], rotation)
        state = [lane ^ (~moved[at - at % 5 + (at + 1) % 5] & moved[at - at % 5 + (at + 2) % 5]) for at, lane in enumerate(moved)]
        state[0] ^= constant
    return state


def _rotated(lane: int, by: int) -> int:
    return (lane << by | lane >> (64 - by)) & _MASK
