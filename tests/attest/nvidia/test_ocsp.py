"""Revocation answers: about the very certificate, by whom its issuer made responder, and holding now."""

import hashlib
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp as x509_ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from ollm.attest.nvidia import ocsp
from ollm.attest.nvidia.ocsp import Link
from ollm.errors import EvidenceRefused
from ollm.testing.mint.nvidia import answer, new_responder
from ollm.testing.mint.x509 import DAY, Authority, issue
from tests.attest.nvidia.devices import GPU, device, parsed
from tests.sim.hardware import NOW

HOUR = 3600
PROVISIONER, MODEL, ROOT = GPU.parties[2:]
LINKS = ocsp.device_links(parsed(GPU.parties))
LINK = LINKS[1]  # the provisioner's certificate, issued by the model's
GOOD = answer(PROVISIONER, MODEL, NOW)


def judged(*responses: bytes, links: tuple[Link, ...] = (LINK,), now: int = NOW) -> int:
    """When the first answer that is relied upon ends."""
    found = ocsp.check_responders(ocsp.parse(responses), links, now)
    ocsp.check_status(found)
    return min(period.end for period in ocsp.check_present(found, links, now))


def refused(*responses: bytes, links: tuple[Link, ...] = (LINK,), now: int = NOW) -> EvidenceRefused:
    with pytest.raises(EvidenceRefused) as caught:
        judged(*responses, links=links, now=now)
    return caught.value


def test_nvidia_answers_for_what_it_issued_itself() -> None:
    assert [link.name for link in LINKS] == ["chip certificate", "provisioner certificate", "model certificate"]
    signers = GPU.hierarchy.rim_chain
    assert [link.name for link in ocsp.signer_links(parsed(signers), ("signer", "product CA", "chip CA", "root"))] == [
        "signer",
        "product CA",
        "chip CA",
    ]


def test_the_question_names_certificate_and_issuer() -> None:
    request = x509_ocsp.load_der_ocsp_request(ocsp.request(LINK))
    assert request.serial_number == PROVISIONER.certificate.serial_number
    assert isinstance(request.hash_algorithm, hashes.SHA384)
    assert not list(request.extensions)


def test_an_answer_holds_until_its_end() -> None:
    assert judged(GOOD) == NOW + 23 * HOUR


@pytest.mark.parametrize(
    ("now", "check"),
    [
        (NOW - HOUR - 1, "ocsp.present"),
        (NOW - HOUR, None),
        (NOW + 23 * HOUR - 1, None),
        (NOW + 23 * HOUR, "ocsp.present"),
        (NOW + 90 * DAY, "ocsp.responder"),  # the responder's own end
    ],
)
def test_both_ends_of_an_answer(now: int, check: str | None) -> None:
    if check is None:
        judged(GOOD, now=now)
    else:
        assert refused(GOOD, now=now).check == check


def test_of_several_answers_the_freshest_counts() -> None:
    assert judged(answer(PROVISIONER, MODEL, NOW, hours=(-30, -6)), answer(PROVISIONER, MODEL, NOW, hours=(-1, 2)), GOOD) == NOW + 23 * HOUR


def test_each_certificate_needs_its_own() -> None:
    assert refused(GOOD, links=LINKS).got == "no answer about the chip certificate"
    assert refused().check == "ocsp.present"


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (None, "provisioner certificate revoked"),
        (x509.ReasonFlags.key_compromise, "provisioner certificate revoked (keyCompromise)"),
        (x509.ReasonFlags.certificate_hold, "provisioner certificate revoked (certificateHold)"),
    ],
)
def test_a_revoked_certificate_is_refused_with_the_reason(reason: x509.ReasonFlags | None, words: str) -> None:
    revoked = answer(PROVISIONER, MODEL, NOW, status=x509_ocsp.OCSPCertStatus.REVOKED, reason=reason)
    assert (refused(revoked).check, refused(revoked).got) == ("ocsp.status", words)
    assert refused(GOOD, revoked).check == "ocsp.status"  # a good answer beside it excuses nothing


def test_unknown_is_not_good() -> None:
    assert refused(answer(PROVISIONER, MODEL, NOW, status=x509_ocsp.OCSPCertStatus.UNKNOWN)).got == "provisioner certificate unknown to the responder"


def test_an_answer_about_another_certificate() -> None:
    another = device("GB100").parties[2]
    assert refused(answer(another, device("GB100").parties[3], NOW)).check == "ocsp.responder"


def test_an_answer_about_another_certificate_of_the_same_issuer() -> None:
    sibling = issue("sibling", MODEL, start=NOW - DAY, end=NOW + DAY)
    assert "about serial number" in refused(answer(sibling, MODEL, NOW)).got


def test_an_answer_about_that_serial_number_of_another_issuer() -> None:
    """Name and key of the issuer are compared, and both."""
    named = hashlib.sha384(MODEL.certificate.subject.public_bytes()).digest()
    keyed = x509_ocsp.load_der_ocsp_response(GOOD).issuer_key_hash
    judged(_about(named, keyed))
    for name, key in ((named, bytes(48)), (bytes(48), keyed)):
        assert "about serial number" in refused(_about(name, key)).got


def _about(issuer_name_hash: bytes, issuer_key_hash: bytes) -> bytes:
    who, serial = new_responder(MODEL, NOW), PROVISIONER.certificate.serial_number
    builder = x509_ocsp.OCSPResponseBuilder().add_response_by_hash(
        issuer_name_hash, issuer_key_hash, serial, hashes.SHA384(), x509_ocsp.OCSPCertStatus.GOOD, _at(-1), _at(23), None, None
    )
    builder = builder.responder_id(x509_ocsp.OCSPResponderEncoding.HASH, who.certificate).certificates([who.certificate])
    return builder.sign(who.key, hashes.SHA384()).public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize(
    "responder",
    [
        new_responder(ROOT, NOW),  # certified higher up
        new_responder(PROVISIONER, NOW),  # by the certificate itself
        new_responder(MODEL, NOW, usage=ExtendedKeyUsageOID.SERVER_AUTH),
        new_responder(MODEL, NOW, days=0),
        issue("responder", MODEL, start=NOW - DAY, end=NOW + DAY, authority=False),  # without extended key usage
        issue("responder", MODEL, start=NOW - DAY, end=NOW + DAY),  # an authority
        issue("responder", MODEL, start=NOW - DAY, end=NOW + DAY, authority=False, algorithm=hashes.SHA256()),
        MODEL,  # the issuer itself: NVIDIA never answers so
    ],
)
def test_only_a_responder_of_the_issuer_answers(responder: Authority) -> None:
    assert refused(answer(PROVISIONER, MODEL, NOW, responder=responder)).check == "ocsp.responder"


def test_the_responder_itself_signed() -> None:
    genuine = x509_ocsp.load_der_ocsp_response(GOOD).signature
    anothers = next(
        other
        for other in (x509_ocsp.load_der_ocsp_response(answer(PROVISIONER, MODEL, NOW)).signature for _ in range(100))
        if len(other) == len(genuine)
    )
    assert refused(GOOD.replace(genuine, anothers)).check == "ocsp.responder"


def test_with_the_algorithm_of_the_hierarchy() -> None:
    who = new_responder(MODEL, NOW)
    builder = x509_ocsp.OCSPResponseBuilder().add_response(
        PROVISIONER.certificate, MODEL.certificate, hashes.SHA384(), x509_ocsp.OCSPCertStatus.GOOD, _at(-1), _at(1), None, None
    )
    builder = builder.responder_id(x509_ocsp.OCSPResponderEncoding.NAME, who.certificate).certificates([who.certificate])
    weaker = builder.sign(who.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    assert refused(weaker).check == "ocsp.responder"
    judged(builder.sign(who.key, hashes.SHA384()).public_bytes(serialization.Encoding.DER))


@pytest.mark.parametrize("algorithm", [hashes.SHA256(), hashes.SHA512()])
def test_other_digests_that_name_a_certificate(algorithm: hashes.HashAlgorithm) -> None:
    judged(answer(PROVISIONER, MODEL, NOW, algorithm=algorithm))


def _at(hours: int) -> datetime:
    return datetime.fromtimestamp(NOW + hours * HOUR, UTC)


def _built(*, responders: int = 1, nonce: bool = False) -> bytes:
    who = new_responder(MODEL, NOW)
    builder = x509_ocsp.OCSPResponseBuilder().add_response(
        PROVISIONER.certificate, MODEL.certificate, hashes.SHA384(), x509_ocsp.OCSPCertStatus.GOOD, _at(-1), _at(1), None, None
    )
    builder = builder.responder_id(x509_ocsp.OCSPResponderEncoding.HASH, who.certificate)
    if responders:
        builder = builder.certificates([who.certificate] * responders)
    if nonce:
        builder = builder.add_extension(x509.OCSPNonce(b"nonce"), critical=True)
    return builder.sign(who.key, hashes.SHA384()).public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"no response",
        GOOD[:-1],
        GOOD + b"\x00",
        x509_ocsp.OCSPResponseBuilder.build_unsuccessful(x509_ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(serialization.Encoding.DER),
        answer(PROVISIONER, MODEL, NOW, hours=(-1, None)),  # never ends
        answer(PROVISIONER, MODEL, NOW, algorithm=hashes.SHA1()),
        _built(responders=0),
        _built(responders=2),
        _built(nonce=True),
    ],
)
def test_what_is_no_such_response(response: bytes) -> None:
    assert refused(response).check == "ocsp.format"


def test_caps() -> None:
    assert refused(bytes(ocsp.MAX_RESPONSE + 1)).check == "ocsp.format"
    assert refused(*[GOOD] * (ocsp.MAX_RESPONSES + 1)).check == "ocsp.format"


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")  # a flip can make a serial number negative
@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.exhaustive)])
def test_no_flipped_byte_changes_what_an_answer_says(stride: int) -> None:
    for at in range(0, len(GOOD), stride):
        for mask in (0x01, 0x80, 0xFF):
            flipped = bytearray(GOOD)
            flipped[at] ^= mask
            _nothing_passes(bytes(flipped), at)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60), st.integers(0, len(GOOD)), st.integers(0, 60))
def test_only_refusals_escape(noise: bytes, at: int, cut: int) -> None:
    for data in (noise, GOOD[:at] + noise + GOOD[at + cut :]):
        _nothing_passes(data, at)


def _nothing_passes(data: bytes, at: int) -> None:
    try:
        end = judged(data)
    except EvidenceRefused:
        return
    assert end == NOW + 23 * HOUR, at
