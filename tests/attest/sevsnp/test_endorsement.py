"""A signing key's certificate: each of AMD's statements there, in its one spelling, and nothing critical beside them."""

from collections.abc import Mapping

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from ollm.attest.sevsnp.endorsement import MAX_LEAF, read_endorsement
from ollm.testing.mint.snp import CSP_ID, SnpMachine
from ollm.testing.mint.snp_certificates import ia5_string, integer
from tests.attest.sevsnp.machines import machine, raises, refusing

GENOA, TURIN, VLEK = machine(), machine("Turin"), machine(vlek=True)


def leaf(changes: Mapping[str, bytes | None]) -> bytes:
    return GENOA.leaf(statements=GENOA.statements(changes))


def test_a_key_of_a_chip() -> None:
    endorsement = read_endorsement(GENOA.leaf())

    assert (endorsement.signing_key, endorsement.product) == ("vcek", "Genoa")
    assert (endorsement.tcb, endorsement.chip_id, endorsement.csp_id) == (GENOA.tcb, GENOA.chip_id, None)
    assert endorsement.certificate.serial_number == 0  # as AMD's


def test_a_chip_of_turin_has_a_short_id() -> None:
    endorsement = read_endorsement(TURIN.leaf())

    assert endorsement.product == "Turin"
    assert endorsement.tcb == TURIN.tcb
    assert endorsement.chip_id == TURIN.chip_id == bytes(range(1, 9)) + bytes(56)


def test_a_key_of_a_provider() -> None:
    endorsement = read_endorsement(VLEK.leaf())

    assert (endorsement.signing_key, endorsement.product) == ("vlek", "Genoa")
    assert (endorsement.chip_id, endorsement.csp_id) == (None, CSP_ID)


def test_the_stepping_in_a_name_is_no_part_of_the_product() -> None:
    assert machine("Milan").statements()["2"] == ia5_string("Milan-B0")
    assert read_endorsement(machine("Milan").leaf()).product == "Milan"


@pytest.mark.parametrize("each", [GENOA, TURIN])
def test_a_hardware_id_may_be_an_octet_string(each: SnpMachine) -> None:
    bare = each.statements()["4"]
    wrapped = each.leaf(statements=each.statements({"4": bytes((4, len(bare))) + bare}))

    assert read_endorsement(wrapped).chip_id == each.chip_id


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("a later structure", {"1": integer(2)}),
        ("no structure version", {"1": None}),
        ("no product", {"2": None}),
        ("another product", {"2": ia5_string("Rome-B0")}),
        ("an endless product", {"2": ia5_string("x" * 100)}),
        ("a product in UTF-8", {"2": b"\x0c\x05Genoa"}),
        ("a product that is no text", {"2": b"\x16\x05Geno\xff"}),
        ("a product cut short", {"2": b"\x16\x05Geno"}),
        ("bytes behind a product", {"2": b"\x16\x05Genoa\x00"}),
        ("a product with a long length", {"2": b"\x16\x81\x05Genoa"}),
        ("an empty product", {"2": b"\x16\x00"}),
        ("no bootloader", {"3.1": None}),
        ("no reserved number", {"3.4": None}),
        ("no microcode", {"3.8": None}),
        ("a number above a byte", {"3.8": b"\x02\x02\x01\x00"}),
        ("a huge number", {"3.8": b"\x02\x7f" + b"\x7f" * 127}),
        ("a negative number", {"3.8": b"\x02\x01\x80"}),
        ("a number with a leading zero", {"3.8": b"\x02\x02\x00\x7f"}),
        ("an empty number", {"3.8": b"\x02\x00"}),
        ("a boolean", {"3.8": b"\x01\x01\x01"}),
        ("nothing at all", {"3.8": b""}),
        ("neither chip nor provider", {"4": None}),
        ("chip and provider", {"5": ia5_string(CSP_ID)}),
        ("a short chip id", {"4": bytes(63)}),
        ("a chip id of Turin", {"4": bytes(8)}),
        ("a wrapped chip id of Turin", {"4": b"\x04\x08" + bytes(8)}),
        ("a chip id wrapped in another type", {"4": b"\x03\x40" + bytes(64)}),
        ("no chip id in its extension", {"4": b""}),
        ("a provider that is no text", {"4": None, "5": b"\x04\x01x"}),
    ],
)
def test_a_statement_that_is_not_exactly_right_is_refused(what: str, changes: dict[str, bytes | None]) -> None:
    with raises("snp.certificate"):
        read_endorsement(leaf(changes))


def test_refusals_hold_no_endless_text_of_the_peer() -> None:
    for changes in ({"2": ia5_string("x" * 100)}, {"3.1": bytes(100)}):
        with raises("snp.certificate") as raised:
            read_endorsement(leaf(changes))
        assert len(str(raised.value)) < 200


def test_a_chip_id_of_64_bytes_is_none_of_turin() -> None:
    with raises("snp.certificate", "8 bytes on Turin"):
        read_endorsement(TURIN.leaf(statements=TURIN.statements({"4": bytes(64)})))


def test_numbers_up_to_255_are_read() -> None:
    tcb = read_endorsement(leaf({"3.1": integer(0x7F), "3.3": integer(0x80), "3.8": integer(0xFF)})).tcb

    assert tcb == bytes((0x7F, 0, 0, 0, 0, 0, 0x80, 0xFF))


def test_a_critical_extension_is_refused() -> None:
    with raises("snp.certificate", "critical"):
        read_endorsement(GENOA.leaf(critical="3.8"))


def test_a_statement_twice_is_refused() -> None:
    doubled = leaf({"3.10": integer(219)}).replace(b"\x9c\x78\x01\x03\x0a", b"\x9c\x78\x01\x03\x08")  # cryptography itself would not build it
    assert doubled != leaf({})

    with raises("snp.certificate", "malformed extensions"):
        read_endorsement(doubled)


def test_other_extensions_of_amd_are_no_harm() -> None:
    assert read_endorsement(leaf({"6": b"\x05\x00", "2.1": b""})).product == "Genoa"


@pytest.mark.parametrize("der", [b"", b"certificate", bytes(MAX_LEAF), bytes(MAX_LEAF + 1), GENOA.leaf()[:-1], GENOA.leaf() + b"\x00"])
def test_bytes_that_are_no_certificate_are_refused(der: bytes) -> None:
    with raises("snp.certificate"):
        read_endorsement(der)


def test_a_certificate_that_is_too_large_is_not_even_parsed() -> None:
    padded = leaf({"6": bytes(MAX_LEAF)})
    x509.load_der_x509_certificate(padded)

    with raises("snp.certificate", f"{len(padded)} bytes"):
        read_endorsement(padded)


@given(st.binary(max_size=2000))
def test_only_our_refusal_escapes_for_any_bytes(der: bytes) -> None:
    with raises("snp.certificate"):
        read_endorsement(der)


@given(st.dictionaries(st.sampled_from(["1", "2", "3.1", "3.4", "3.8", "4", "5"]), st.none() | st.binary(max_size=80), min_size=1))
def test_only_our_refusal_escapes_for_any_statement(changes: dict[str, bytes | None]) -> None:
    assert refusing(lambda: read_endorsement(leaf(changes))) in (None, "snp.certificate")
