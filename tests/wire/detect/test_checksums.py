"""Check digits, on numbers that their issuers print as examples."""

import pytest

from ollm.wire.detect import checksums


@pytest.mark.parametrize("number", ["4111111111111111", "378282246310005", "8112189876"])
def test_luhn(number: str) -> None:
    assert checksums.luhn(number)
    assert not checksums.luhn(number[:-1] + str((int(number[-1]) + 1) % 10))


@pytest.mark.parametrize("iban", ["DE89370400440532013000", "GB82WEST12345698765432", "FR1420041010050500013M02606"])
def test_mod97(iban: str) -> None:
    assert checksums.mod97(iban)
    assert not checksums.mod97(iban[:-1] + str((int(iban[-1]) + 1) % 10))


def test_mod11_10() -> None:
    assert checksums.mod11_10("86095742719")
    assert not checksums.mod11_10("86095742718")


def test_mod11_2() -> None:
    assert checksums.mod11_2("11010519491231002X")
    assert not checksums.mod11_2("110105194912310020")


def test_verhoeff_sees_every_single_digit_and_every_swap() -> None:
    good = "234123412346"
    assert checksums.verhoeff(good)
    for place in range(12):
        for digit in "0123456789":
            changed = good[:place] + digit + good[place + 1 :]
            assert checksums.verhoeff(changed) == (changed == good)
    for place in range(11):
        swapped = good[:place] + good[place + 1] + good[place] + good[place + 2 :]
        assert checksums.verhoeff(swapped) == (swapped == good)


def test_weighted() -> None:
    assert checksums.weighted("123", (1, 10)) == 21
