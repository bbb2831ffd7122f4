"""Numbers of persons, on the examples that their offices publish."""

import pytest

from ollm.wire.detect.persons import PERSONS
from tests.wire.detect.finding import found

EXAMPLES = [
    ("be_rrn", "85.07.30-033.28"),
    ("br_cpf", "529.982.247-25"),
    ("ca_sin", "130 692 544"),
    ("ch_ahv", "756.9217.0769.85"),
    ("cn_ric", "11010519491231002X"),
    ("de_steuer_id", "86 095 742 719"),
    ("es_dni", "12345678Z"),
    ("es_dni", "X1234567L"),
    ("fi_hetu", "131052-308T"),
    ("fr_nir", "2 55 08 14 168 025 38"),
    ("in_aadhaar", "2341 2341 2346"),
    ("it_cf", "RSSMRA85T10A562S"),
    ("pl_pesel", "44051401359"),
    ("se_personnummer", "811218-9876"),
    ("uk_nino", "AB 12 34 56 C"),
    ("uk_nino", "AB123456C"),
    ("us_ssn", "536-90-4399"),
]


@pytest.mark.parametrize(("country", "number"), EXAMPLES)
def test_found(country: str, number: str) -> None:
    assert found(PERSONS[country], f"(no. {number})") == [number]
    assert found(PERSONS[country], f"x{number}") == []
    assert found(PERSONS[country], f"{number}1") == []


@pytest.mark.parametrize(
    ("country", "number"),
    [
        ("be_rrn", "85.13.30-033.28"),
        ("br_cpf", "111.111.111-11"),
        ("ca_sin", "046 454 286"),
        ("de_steuer_id", "11 122 345 678"),
        ("de_steuer_id", "11 223 456 789"),
        ("nl_bsn", "0000.00.000"),
        ("pl_pesel", "44991401359"),
        ("uk_nino", "GB123456C"),
        ("us_ssn", "666-90-4399"),
        ("us_ssn", "078-05-1120"),
    ],
)
def test_never_issued(country: str, number: str) -> None:
    assert found(PERSONS[country], number) == []


@pytest.mark.parametrize(
    ("country", "number", "word"), [("nl_bsn", "111222333", "BSN"), ("ca_sin", "130692544", "SIN"), ("in_aadhaar", "234123412346", "Aadhaar")]
)
def test_a_short_number_counts_with_its_name_only(country: str, number: str, word: str) -> None:
    assert found(PERSONS[country], f"{word}: {number}") == [number]
    assert found(PERSONS[country], f"order: {number}") == []


def test_corsica() -> None:
    head = "2550819168025"
    number = f"255082A168025{97 - int(head) % 97:02}"
    assert found(PERSONS["fr_nir"], number) == [number]
