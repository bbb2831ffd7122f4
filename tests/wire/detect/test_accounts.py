"""IBANs."""

import pytest

from ollm.wire.detect.accounts import IBAN, LENGTHS
from tests.wire.detect.finding import found


@pytest.mark.parametrize("iban", ["DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "gb82west12345698765432"])
def test_found_though_a_word_follows(iban: str) -> None:
    assert found(IBAN, f"to {iban} by Friday") == [iban]


@pytest.mark.parametrize("text", ["DE89370400440532013001", "DE8937040044053201300", "XX89370400440532013000", "xDE89370400440532013000"])
def test_not_found(text: str) -> None:
    assert found(IBAN, text) == []


def test_no_country_is_longer_than_an_iban_can_be() -> None:
    assert max(LENGTHS.values()) <= 34
