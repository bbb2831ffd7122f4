"""When an artefact holds is read from its own bytes, and what can't be read is refused in our words, whatever the bytes."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from hypothesis import given
from hypothesis import strategies as st

from ollm.errors import CollateralError
from ollm.net.collateral.kinds import KINDS
from ollm.net.collateral.periods import Term, chain, rim_certificates, signed_member, term
from tests.net.collateral.vendor import DAY, HOUR, NOW, certificate, crl, der, ocsp_answer, pem, rim

SIGNATURE = "ab" * 64
CHAIN = quote(pem(certificate(end=NOW + 10 * DAY), certificate(end=NOW + 20 * DAY)).decode())


def document(**members: Any) -> bytes:
    said = {"issueDate": "2027-01-15T07:00:00Z", "nextUpdate": "2027-01-20T08:00:00Z", "tcbEvaluationDataNumber": 20, **members}
    return json.dumps({"tcbInfo": said, "signature": SIGNATURE}).encode()


def of_document(body: bytes, issuers: str = CHAIN) -> Term:
    return term("tcb-info", body, {"tcb-info-issuer-chain": issuers}, NOW)


def test_tcb_info_ends_with_its_next_update() -> None:
    assert of_document(document()) == Term(NOW - HOUR, NOW + 5 * DAY, (20, NOW - HOUR))


def test_tcb_info_does_not_outlive_its_signer() -> None:
    assert of_document(document(nextUpdate="2028-01-01T00:00:00Z")).end == NOW + 10 * DAY


def test_a_revocation_list_has_its_dates_and_its_number() -> None:
    assert term("root-crl", crl(number=9), {}, NOW) == Term(NOW - 60, NOW + 30 * DAY, (9, NOW - 60))
    assert term("amd-crl", crl(number=None), {}, NOW).version == (0, NOW - 60)
    assert term("pck-crl", crl(), {"sgx-pck-crl-issuer-chain": CHAIN}, NOW).end == NOW + 10 * DAY


def test_certificates_hold_while_all_of_them_do() -> None:
    assert term("vcek", der(certificate(start=NOW - 5, end=NOW + 9)), {}, NOW) == Term(NOW - 5, NOW + 9)
    both = pem(certificate(start=NOW - 100, end=NOW + 50), certificate(start=NOW - 10, end=NOW + 500))
    assert term("amd-chain", both, {}, NOW) == Term(NOW - 10, NOW + 50)


@pytest.mark.parametrize("prefix", ["ds:", "", "dsig-1.1:"])
def test_a_rim_ends_with_the_first_certificate_in_its_signature(prefix: str) -> None:
    body = rim(certificate(end=NOW + 300 * DAY), certificate(end=NOW + 900 * DAY), prefix=prefix)
    assert term("rim", body, {}, NOW).end == NOW + 300 * DAY
    assert len(rim_certificates(body)) == 2


def test_an_ocsp_answer_ends_with_its_next_update() -> None:
    assert term("ocsp", ocsp_answer(), {}, NOW) == Term(NOW - 60, NOW + DAY, (NOW - 60,))


def test_what_names_no_end_is_given_one() -> None:
    assert term("nras-keys", b'{"keys": []}', {}, NOW) == Term(NOW, NOW + HOUR)


@pytest.mark.parametrize(
    ("older", "newer", "superseded"),
    [((5, 10), (6, 9), True), ((5, 10), (5, 11), True), ((5, 10), (5, 10), False), ((6, 9), (5, 10), False), ((), (), False), ((), (5,), False)],
)
def test_versions_order_two_copies(older: tuple[int, ...], newer: tuple[int, ...], superseded: bool) -> None:
    assert Term(0, 1, older).before(Term(0, 1, newer)) is superseded


@pytest.mark.parametrize(
    "body",
    [
        document(nextUpdate="soon"),
        document(nextUpdate=5),
        document(issueDate="2027-13-45T00:00:00Z"),
        document(tcbEvaluationDataNumber="many"),
        document(tcbEvaluationDataNumber=None),
        document().replace(b": 20", b": Infinity"),
        document().replace(b": 20", b": 1e999"),
        b'{"tcbInfo":{},"signature":"' + SIGNATURE.encode() + b'"}',
    ],
)
def test_tcb_info_without_usable_dates_is_refused(body: bytes) -> None:
    with pytest.raises(CollateralError):
        of_document(body)


@pytest.mark.parametrize("issuers", ["", "no PEM", quote("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")])
def test_tcb_info_without_its_issuers_is_refused(issuers: str) -> None:
    with pytest.raises(CollateralError):
        of_document(document(), issuers)
    with pytest.raises(CollateralError, match="tcb-info-issuer-chain"):
        chain("tcb-info", {})


def test_a_revocation_list_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless:
        next_update_utc = None

    monkeypatch.setattr(x509, "load_der_x509_crl", lambda body: Endless())
    with pytest.raises(CollateralError):
        term("root-crl", b"a list without nextUpdate", {}, NOW)


def test_an_ocsp_answer_that_says_nothing_is_refused() -> None:
    later = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(Encoding.DER)
    with pytest.raises(CollateralError):
        term("ocsp", later, {}, NOW)


def test_an_ocsp_answer_that_never_ends_is_refused() -> None:
    with pytest.raises(CollateralError):
        term("ocsp", ocsp_answer(end=None), {}, NOW)


@pytest.mark.parametrize("kind", KINDS)
def test_an_artefact_too_large_or_empty_is_refused(kind: str) -> None:
    for body in (b"", bytes(KINDS[kind].max_bytes + 1)):
        with pytest.raises(CollateralError, match=f"of {len(body)} bytes"):
            term(kind, body, {}, NOW)


@pytest.mark.parametrize("kind", KINDS)
@given(body=st.binary(max_size=200) | st.text(max_size=60).map(str.encode), header=st.text(max_size=60))
def test_bytes_that_are_no_artefact_are_refused_in_our_words(kind: str, body: bytes, header: str) -> None:
    headers = dict.fromkeys(KINDS[kind].headers, header)
    try:
        found = term(kind, body, headers, NOW)
    except CollateralError:
        pass
    else:
        assert kind in ("nras-keys", "sigstore-root") and found.end > NOW


VALID = {
    "tcb-info": document(),
    "root-crl": crl(),
    "vcek": der(certificate()),
    "amd-chain": pem(certificate()),
    "rim": rim(certificate()),
    "ocsp": ocsp_answer(),
}


@pytest.mark.parametrize("kind", VALID)
@given(data=st.data())
def test_changed_bytes_give_a_term_or_a_refusal_and_nothing_else(kind: str, data: st.DataObject) -> None:
    body = bytearray(VALID[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert isinstance(term(kind, bytes(body), {"tcb-info-issuer-chain": CHAIN}, NOW), Term)
    except CollateralError:
        pass


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (f'{{"tcbInfo":{{"a":1}},"signature":"{SIGNATURE}"}}', '{"a":1}'),
        (f'{{"signature":"{SIGNATURE}", "tcbInfo" : {{ "b" : "}}\\"{{" , "a" :1.0}} }}', '{ "b" : "}\\"{" , "a" :1.0}'),
        (f'\n{{"tcbInfo":\n{{"é":"\\u00e9"}}\n,"signature":"{SIGNATURE.upper()}"}}', '{"é":"\\u00e9"}'),
    ],
)
def test_the_signed_member_is_cut_out_as_it_stands(body: str, text: str) -> None:
    assert signed_member(body.encode(), "tcbInfo") == (text, b"\xab" * 64)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"\xff",
        b'{"tcbInfo":{}}',
        b'{"signature":"ab"}',
        b'{"tcbInfo":{},"signature":"ab"}',
        b'{"tcbInfo":{},"signature":5}',
        b'{"tcbInfo":{},"signature":"zz"}',
        b'{"tcbInfo":"{","signature":"' + SIGNATURE.encode() + b'"}',
        b'{"tcbInfo":' + b"[" * 100_000,
        b'{"tcbInfo":{"a":' + b"[" * 100_000,
    ],
)
def test_what_is_no_signed_answer_is_refused(body: bytes) -> None:
    with pytest.raises(CollateralError):
        signed_member(body, "tcbInfo")


@pytest.mark.parametrize(
    "body", [b"", b"<X509Certificate></X509Certificate>", b"<X509Certificate>%</X509Certificate>", b"<X509Certificate>AAA</X509Certificate>"]
)
def test_a_rim_without_certificates_is_refused(body: bytes) -> None:
    with pytest.raises(CollateralError):
        rim_certificates(body)
