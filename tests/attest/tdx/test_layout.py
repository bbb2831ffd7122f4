"""Bytes to fields: every length, type and spelling that is not exactly right is refused, and nothing but our refusal escapes."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.attest.tdx.layout import MAX_QUOTE, parse_quote, pem, pem_certificates
from ollm.errors import EvidenceRefused
from ollm.sim.machine import SimulatedMachine
from ollm.sim.pki import create_pki
from tests.attest.service import refused_check
from tests.sim.hardware import NOW, REPORT_DATA, FrozenClock

MACHINE = SimulatedMachine(create_pki(NOW), FrozenClock())
V4 = MACHINE.quote(REPORT_DATA)
V5 = MACHINE.quote_report(MACHINE.td_report, version=5)


def refusal(data: bytes) -> EvidenceRefused:
    with pytest.raises(EvidenceRefused) as raised:
        parse_quote(data)
    return raised.value


def patched(quote: bytes, offset: int, data: bytes) -> bytes:
    return quote[:offset] + data + quote[offset + len(data) :]


def test_fields_of_version_4() -> None:
    quote = parse_quote(V4)

    assert (quote.header.version, quote.header.attestation_key_type, quote.header.tee_type) == (4, 2, 0x81)
    assert quote.header.user_data == V4[28:48]
    state = MACHINE.td_report
    for name in state.__struct_fields__:
        if name != "report_data":
            assert getattr(quote.td_report, name) == getattr(state, name)
    assert quote.td_report.report_data == REPORT_DATA
    assert quote.td_report.mr_service_td is None
    assert quote.signed == V4[:632]
    assert quote.signature == V4[636:700]
    assert quote.attestation_key == V4[700:764]
    assert quote.qe_report == V4[770:1154]
    assert quote.qe_report_signature == V4[1154:1218]
    assert quote.qe_auth_data == V4[1220:1252]
    assert quote.pck_chain.root == MACHINE.pki.root_der


def test_version_5_adds_the_service_td() -> None:
    quote = parse_quote(V5)

    assert quote.header.version == 5
    assert quote.td_report.mrtd == MACHINE.td_report.mrtd
    assert quote.td_report.mr_service_td == bytes(48)
    assert quote.signed == V5[:702]


def test_version_5_with_a_report_of_1_0_has_no_service_td() -> None:
    report = V4[48:632]
    quote = parse_quote(patched(V4[:48], 0, b"\x05\x00") + b"\x02\x00" + (584).to_bytes(4, "little") + report + V4[632:])

    assert quote.td_report.mr_service_td is None
    assert quote.td_report.report_data == REPORT_DATA


def test_the_identity_covers_what_is_signed_and_nothing_else() -> None:
    assert parse_quote(V4).identity == hashlib.sha256(V4[:632]).hexdigest()
    assert parse_quote(V4 + bytes(70)).identity == parse_quote(V4).identity


@pytest.mark.parametrize(
    ("check", "what", "data"),
    [
        ("quote.format", "empty", b""),
        ("quote.format", "version 3", patched(V4, 0, b"\x03\x00")),
        ("quote.format", "attestation key type of P-384", patched(V4, 2, b"\x03\x00")),
        ("quote.format", "TEE type of SGX", patched(V4, 4, bytes(4))),
        ("quote.format", "bytes behind", V4 + bytes(9) + b"\x01"),
        ("quote.format", "larger than any quote", V4 + bytes(MAX_QUOTE)),
        ("quote.format", "signature data longer than the quote", patched(V4, 632, b"\xff\xff\xff\xff")),
        ("quote.format", "body of unknown type", patched(V5, 48, b"\x04\x00")),
        ("quote.format", "body with another size", patched(V5, 50, b"\x00\x00\x00\x00")),
        ("quote.certification_data", "no signature data", V4[:632] + bytes(4)),
        ("quote.certification_data", "outer type 5", patched(V4, 764, b"\x05\x00")),
        ("quote.certification_data", "outer size too small", patched(V4, 766, b"\x00\x00\x00\x00")),
        ("quote.certification_data", "other size of QE authentication data", patched(V4, 1218, b"\x1f\x00")),
        ("quote.certification_data", "inner type 6", patched(V4, 1252, b"\x06\x00")),
        ("quote.certification_data", "inner size too large", patched(V4, 1254, b"\xff\xff\x00\x00")),
        ("quote.certification_data", "chain in DER", patched(V4, 1258, b"\x30\x82\x02\x00")),
    ],
)  # fmt: skip
def test_a_quote_that_is_not_exactly_right_is_refused(check: str, what: str, data: bytes) -> None:
    assert refusal(data).check == check, what


def test_zero_padding_is_what_real_quoting_services_add() -> None:
    assert parse_quote(V4 + bytes(3000)).signature == parse_quote(V4).signature


def with_chain(chain: bytes) -> bytes:
    """V4 with another PCK chain, lengths put right."""
    vouched = V4[770:1254] + len(chain).to_bytes(4, "little") + chain
    signature_data = V4[636:766] + len(vouched).to_bytes(4, "little") + vouched
    return V4[:632] + len(signature_data).to_bytes(4, "little") + signature_data


CHAIN = V4[1258:].removesuffix(b"\x00")


def test_the_final_nul_of_the_chain_is_optional() -> None:
    assert parse_quote(with_chain(CHAIN)).pck_chain == parse_quote(with_chain(CHAIN + b"\x00")).pck_chain


@pytest.mark.parametrize(
    "chain",
    [
        b"",
        CHAIN + b"\x00\x00",
        CHAIN + b"\n",
        CHAIN.replace(b"\n", b"\r\n"),
        CHAIN.replace(b"\n", b"", 1),
        CHAIN + pem(b"a fourth"),
        CHAIN[: CHAIN.rindex(b"-----BEGIN")],
        CHAIN.replace(b"\nMII", b"\n MII", 1),
        CHAIN.replace(b"=", b"", 1) if b"=" in CHAIN else CHAIN[:-1],
    ],
    ids=["none", "two NULs", "an empty line", "CRLF", "one line break less", "a fourth", "two", "a space", "no padding"],
)
def test_a_chain_in_another_spelling_is_refused(chain: bytes) -> None:
    assert refusal(with_chain(chain)).check == "quote.certification_data"


def test_base64_with_stray_bits_is_another_spelling() -> None:
    der = b"x"  # "eA==": the low four bits of A belong to nothing
    assert pem_certificates(pem(der), "check") == (der,)
    with pytest.raises(EvidenceRefused):
        pem_certificates(pem(der).replace(b"eA==", b"eB=="), "check")


@given(st.binary(min_size=1, max_size=2000))
def test_pem_has_lines_of_64_and_reads_back(der: bytes) -> None:
    text = pem(der)

    assert pem_certificates(text, "check") == (der,)
    lines = text.splitlines()
    assert base64.b64decode(b"".join(lines[1:-1])) == der
    assert all(len(line) == 64 for line in lines[1:-2])


@given(st.sampled_from([V4, V5]), st.data())
def test_every_truncation_is_refused(quote: bytes, data: st.DataObject) -> None:
    assert refusal(quote[: data.draw(st.integers(0, len(quote) - 1))]).check.startswith("quote.")


@given(st.binary(max_size=6000))
def test_only_our_refusal_escapes_for_any_bytes(data: bytes) -> None:
    with pytest.raises(EvidenceRefused):
        parse_quote(data)


@given(st.sampled_from([V4, V5]), st.lists(st.tuples(st.integers(0, 1300), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4))
def test_only_our_refusal_escapes_for_bent_quotes(quote: bytes, edits: list[tuple[int, bytes]]) -> None:
    for offset, data in edits:
        quote = patched(quote, offset, data)
    assert refused_check(lambda: parse_quote(quote)) in (None, "quote.format", "quote.certification_data")
