"""Check digits: one function for each algorithm. Each takes the characters without separators, the check digits included."""

from collections.abc import Sequence

# Verhoeff's tables (J. Verhoeff, Error Detecting Decimal Codes, 1969): the dihedral group of ten elements, and a permutation of it.
_REFLECTED = tuple(tuple((i + j) % 5 + 5 * (i // 5 ^ j // 5) if i < 5 else (i - j) % 5 + 5 * (1 ^ j // 5) for j in range(10)) for i in range(10))
_SHUFFLE = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def _permutations() -> tuple[tuple[int, ...], ...]:
    rows = [tuple(range(10))]
    for _ in range(7):
        rows.append(tuple(_SHUFFLE[digit] for digit in rows[-1]))
    return tuple(rows)


_PERMUTED = _permutations()


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B: cards and others."""
    total = sum(int(digit) for digit in digits[-1::-2])
    total += sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return total % 10 == 0


def mod97(text: str) -> bool:
    """ISO/IEC 7064, MOD 97-10, as an IBAN has it: what comes first is moved behind, letters count from A = 10."""
    return int("".join(str(int(character, 36)) for character in text[4:] + text[:4])) % 97 == 1


def mod11_10(digits: str) -> bool:
    """ISO/IEC 7064, MOD 11,10 (hybrid)."""
    product = 10
    for digit in digits[:-1]:
        total = (int(digit) + product) % 10 or 10
        product = 2 * total % 11
    return (product + int(digits[-1])) % 10 == 1


def mod11_2(text: str) -> bool:
    """ISO/IEC 7064, MOD 11-2, whose check character may be X."""
    total = 0
    for character in text[:-1]:
        total = (total + int(character)) * 2 % 11
    return (12 - total) % 11 == (10 if text[-1] == "X" else int(text[-1]))


def verhoeff(digits: str) -> bool:
    """Verhoeff's scheme."""
    check = 0
    for place, digit in enumerate(reversed(digits)):
        check = _REFLECTED[check][_PERMUTED[place % 8][int(digit)]]
    return check == 0


def weighted(digits: str, weights: Sequence[int]) -> int:
    """The sum of digits by `weights`; digits without a weight don't count."""
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))
