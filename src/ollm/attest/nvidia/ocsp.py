"""Whether certificates were revoked, as NVIDIA's OCSP responders say (RFC 6960), at a given time.

NVIDIA answers for every certificate that it issued itself: of a device's chain all but the leaf, which the chip makes for itself at
each boot, and the root; of a reference file's chain all but the root. Each answer is signed by a responder that the issuer of the
certificate certified for that alone, holds for a day, and carries no nonce, so answers can be kept and shared.

An answer is believed only for the certificate whose issuer it names by name and key. Every answer that is at hand is judged, also
where none is required: one that says revoked is never overlooked.
"""

import hashlib
from collections.abc import Sequence
from itertools import pairwise

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, SignatureAlgorithmOID

from ollm.attest import certificates
from ollm.attest.certificates import Period, refusing
from ollm.attest.nvidia import chain
from ollm.errors import EvidenceRefused

MAX_RESPONSE = 8 * 1024  # real ones have 1 KB
MAX_RESPONSES = 32  # of one device at most ten
_HASHES = {"sha256": hashlib.sha256, "sha384": hashlib.sha384, "sha512": hashlib.sha512}


class Link(msgspec.Struct, frozen=True):
    """A certificate and its issuer's, about which a responder can be asked."""

    name: str
    certificate: x509.Certificate
    issuer: x509.Certificate

    @property
    def key(self) -> bytes:
        return chain.der(self.certificate)


class Answer(msgspec.Struct, frozen=True):
    """One response, parsed and nothing more."""

    response: ocsp.OCSPResponse
    responder: x509.Certificate
    serial: int
    hash_name: str
    issuer_name_hash: bytes
    issuer_key_hash: bytes
    revoked: str | None  # why, in words; None: good
    period: Period

    def about(self, link: Link) -> bool:
        """Whether it answers for this certificate of this issuer."""
        digest = _HASHES[self.hash_name]
        issuer_key = link.issuer.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return (
            self.serial == link.certificate.serial_number
            and self.issuer_name_hash == digest(link.issuer.subject.public_bytes()).digest()
            and self.issuer_key_hash == digest(issuer_key).digest()
        )


def device_links(device: Sequence[x509.Certificate]) -> tuple[Link, ...]:
    """Certificates of a device's chain that NVIDIA answers for: not the leaf, which no responder knows, and not the root."""
    return _links(device, chain.DEVICE_NAMES)[1:]


def signer_links(signers: Sequence[x509.Certificate], names: Sequence[str]) -> tuple[Link, ...]:
    """Certificates of a reference file's chain that NVIDIA answers for."""
    return _links(signers, names)


def _links(chained: Sequence[x509.Certificate], names: Sequence[str]) -> tuple[Link, ...]:
    return tuple(Link(name, *pair) for name, pair in zip(names, pairwise(chained), strict=False))


def request(link: Link) -> bytes:
    """DER of the question about `link`, for whoever fetches the answer. It has no nonce: answers are shared."""
    return ocsp.OCSPRequestBuilder().add_certificate(link.certificate, link.issuer, hashes.SHA384()).build().public_bytes(Encoding.DER)


def parse(responses: Sequence[bytes]) -> tuple[Answer, ...]:
    """Take responses apart. Raises: EvidenceRefused with ocsp.format."""
    if len(responses) > MAX_RESPONSES or any(len(response) > MAX_RESPONSE for response in responses):
        raise EvidenceRefused("ocsp.format", f"{len(responses)} responses, or a long one", f"at most {MAX_RESPONSES} of {MAX_RESPONSE} bytes")
    return tuple(_parse(response) for response in responses)


def _parse(data: bytes) -> Answer:
    with refusing("ocsp.format", "bytes that are no OCSP response", "a successful one by a responder whose certificate is in it"):
        response = ocsp.load_der_ocsp_response(data)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise ValueError("status")
        (single,), (responder,) = list(response.responses), response.certificates
        if any(extension.critical for extension in (*response.extensions, *response.single_extensions)):
            raise ValueError("critical extension")
        hash_name = single.hash_algorithm.name
        if hash_name not in _HASHES or single.next_update_utc is None:
            raise ValueError("hash, or no end")
        period = Period("OCSP response", int(single.this_update_utc.timestamp()), int(single.next_update_utc.timestamp()))
        return Answer(response, responder, single.serial_number, hash_name, single.issuer_name_hash, single.issuer_key_hash, _revoked(single), period)


def _revoked(single: ocsp.OCSPSingleResponse) -> str | None:
    if single.certificate_status is ocsp.OCSPCertStatus.GOOD:
        return None
    if single.certificate_status is ocsp.OCSPCertStatus.UNKNOWN:
        return "unknown to the responder"
    reason = single.revocation_reason
    return "revoked" if reason is None else f"revoked ({reason.value})"


def check_responders(answers: Sequence[Answer], links: Sequence[Link], now: int) -> tuple[tuple[Link, Answer], ...]:
    """Each answer is about one of `links` and by a responder of that certificate's issuer. Raises: EvidenceRefused with ocsp.responder."""
    found = []
    for answer in answers:
        link = next((link for link in links if answer.about(link)), None)
        if link is None:
            raise EvidenceRefused("ocsp.responder", f"an answer about serial number {answer.serial:x}"[:80], "about a certificate that is relied on")
        _check_responder(answer, link, now)
        found.append((link, answer))
    return tuple(found)


def check_status(found: Sequence[tuple[Link, Answer]]) -> None:
    """No answer says that a certificate was revoked or put on hold, or that it is unknown. Raises: EvidenceRefused with ocsp.status."""
    for link, answer in found:
        if answer.revoked is not None:
            raise EvidenceRefused("ocsp.status", f"{link.name} {answer.revoked}", "good")


def check_present(found: Sequence[tuple[Link, Answer]], links: Sequence[Link], now: int) -> tuple[Period, ...]:
    """There is an answer about each of `links` that holds at `now`; when those hold. Raises: EvidenceRefused with ocsp.present."""
    relied: list[Period] = []
    for link in links:
        held = [answer.period for about, answer in found if about.key == link.key]
        current = [period for period in held if period.start <= now < period.end]
        if held and not current:
            certificates.check_periods([Period(f"answer about the {link.name}", held[0].start, held[0].end)], now, "ocsp.present")
        if not current:
            raise EvidenceRefused("ocsp.present", f"no answer about the {link.name}", "one that holds now")
        relied.append(max(current, key=lambda period: period.end))
    return tuple(relied)


def _check_responder(answer: Answer, link: Link, now: int) -> None:
    """RFC 6960 §4.2.2.2: the issuer of the certificate certified the responder, directly and for OCSP signing."""
    check, name = "ocsp.responder", f"responder for the {link.name}"
    chain.check_chain((answer.responder, link.issuer), (name, f"issuer of the {link.name}"), check)
    certificates.check_periods(chain.periods((answer.responder,), (name,), check), now, check)
    with refusing(check, f"{name} that is not one, or another's signature", "the signature of a certificate for OCSP signing"):
        usage = answer.responder.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        if ExtendedKeyUsageOID.OCSP_SIGNING not in usage or answer.response.signature_algorithm_oid != SignatureAlgorithmOID.ECDSA_WITH_SHA384:
            raise ValueError("usage or algorithm")
        chain.p384_key(answer.responder).verify(answer.response.signature, answer.response.tbs_response_bytes, ec.ECDSA(hashes.SHA384()))
