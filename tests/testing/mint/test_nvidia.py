"""Minted devices have the true form: what NVIDIA's real ones have, and verify with nothing of ours."""

from itertools import pairwise

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509 import ocsp

from ollm.attest.certificates import SIMULATED_MARKER_OID
from ollm.testing.mint import nvidia as mint
from ollm.testing.mint.nvidia_rim import measurement
from tests.sim.hardware import NOW

NONCE = bytes(range(32))
HIERARCHY = mint.create(NOW)
GPU = HIERARCHY.device()


@pytest.mark.parametrize(("chip", "size"), [("GH100", 64), ("GB100", 64), ("LS_10", 31)])
def test_a_report_has_the_recorded_shape(chip: str, size: int) -> None:
    device = mint.create(NOW, chip, beside=HIERARCHY).device()
    report = device.report(NONCE)
    assert report[:4] == b"\x11\xe0\x01\xff" and report[4:36] == NONCE and report[36:41] == b"\x00\x11\x60\x00\x00"
    assert report[41] == size and int.from_bytes(report[42:45], "little") == size * 55
    assert report[45:52] == b"\x01\x01\x33\x00\x30\x30\x00"
    r, s = (int.from_bytes(half, "big") for half in (report[-96:-48], report[-48:]))
    device.leaf.key.public_key().verify(encode_dss_signature(r, s), report[:-96], ec.ECDSA(hashes.SHA384()))


def test_two_devices_answer_one_nonce_differently() -> None:
    assert GPU.report(NONCE)[:-96] != HIERARCHY.device().report(NONCE)[:-96]


def test_models_share_roots_only_where_they_stand_beside() -> None:
    beside = mint.create(NOW, "LS_10", beside=HIERARCHY)
    assert beside.policy() == HIERARCHY.policy()
    assert mint.create(NOW).policy() != HIERARCHY.policy()
    assert HIERARCHY.policy(min_gpus=8).min_gpus == 8


def test_each_certificate_is_issued_by_the_next() -> None:
    for parties in (GPU.parties, HIERARCHY.rim_chain):
        for party, issuer in pairwise(parties):
            party.certificate.verify_directly_issued_by(issuer.certificate)
    assert [each.public_bytes for each in x509.load_pem_x509_certificates(GPU.pem.encode())].__len__() == 5


@pytest.mark.parametrize("marked", [True, False])
def test_leaves_say_that_they_are_simulated(marked: bool) -> None:
    made = mint.create(NOW, marked=marked)
    for leaf in (made.device().leaf, made.rim_signer):
        assert (SIMULATED_MARKER_OID in {extension.oid.dotted_string for extension in leaf.certificate.extensions}) is marked


def test_answers_cover_what_nvidia_answers_for() -> None:
    serials = [ocsp.load_der_ocsp_response(answer).serial_number for answer in GPU.answers(NOW)]
    assert serials == [party.certificate.serial_number for party in (*GPU.parties[1:4], *HIERARCHY.rim_chain[:3])]


def test_knobs() -> None:
    report = GPU.report(NONCE, measured={3: b"\x07" * 48}, fields={99: b"new", 21: None})
    assert b"\x07" * 48 in report and b"\x63\x00\x03\x00new" in report and measurement(3) not in report
    revoked = ocsp.load_der_ocsp_response(
        mint.answer(GPU.chip, HIERARCHY.provisioner, NOW, status=ocsp.OCSPCertStatus.REVOKED, reason=x509.ReasonFlags.certificate_hold)
    )
    assert revoked.revocation_reason is x509.ReasonFlags.certificate_hold
    assert mint.create(NOW, signer_days=(1, 2)).rim_signer.certificate.not_valid_before_utc.timestamp() == NOW + 86_400
