"""NVIDIA's OCSP responder (or a mirror): whether certificates of devices and of RIM signers are revoked (RFC 6960).

    POST {ocsp}   application/ocsp-request: one certificate, named by SHA-384 hashes as the responder's answers name it, and a nonce

An answer holds for a day. One that repeats our nonce was made for us; one without a nonce is as fresh as its dates say, since not every
responder knows nonces (RFC 9654 §2.1) and no cache can. One with another nonce was made for somebody else, and is refused.
Which key signed an answer, and whether it says good, is for appraisal.
"""

import hashlib
import secrets

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

from ollm.errors import CollateralError, UpstreamError
from ollm.net.collateral.artefact import Artefact, Key
from ollm.net.collateral.asking import Asker
from ollm.net.collateral.cache import CollateralCache
from ollm.ports import Fetched

MEDIA_TYPE = "application/ocsp-request"
_NONCE_SIZE = 32  # RFC 9654 §2.1
_ERRORS = (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.InvalidVersion, x509.UnsupportedGeneralNameType)


class OcspResponder:
    """Answers about certificates, out of the cache."""

    def __init__(self, cache: CollateralCache, asker: Asker, *, ocsp_url: str) -> None:
        self._cache = cache
        self._asker = asker
        self._url = ocsp_url.rstrip("/") + "/"

    def key(self, certificate: bytes, issuer: bytes) -> Key:
        """What is asked about `certificate` (DER). Raises: UpstreamError for what is no certificate."""
        leaf, _ = _pair(certificate, issuer)
        # Issuer and serial number are what an OCSP request names (RFC 6960 §4.1.1), and no certificate of theirs is longer.
        serial = f"{leaf.serial_number:x}"[:40]
        return Key("ocsp", f"serial {serial}", f"{self._url}#{hashlib.sha256(issuer + certificate).hexdigest()}")

    async def get(self, certificate: bytes, issuer: bytes) -> Artefact:
        """The answer about `certificate`, issued by `issuer`, both DER. Raises: UpstreamError."""
        key = self.key(certificate, issuer)

        async def obtain() -> Fetched:
            nonce = secrets.token_bytes(_NONCE_SIZE)
            answer = await self._asker.post(self._url, request(certificate, issuer, nonce), MEDIA_TYPE)
            check_answer(answer.body, certificate, nonce)
            return answer

        return await self._cache.get(key, obtain)


def request(certificate: bytes, issuer: bytes, nonce: bytes) -> bytes:
    """DER of an OCSP request. Raises: UpstreamError for what are no certificates."""
    leaf, above = _pair(certificate, issuer)
    try:
        builder = ocsp.OCSPRequestBuilder().add_certificate(leaf, above, hashes.SHA384())
        return builder.add_extension(x509.OCSPNonce(nonce), critical=False).build().public_bytes(serialization.Encoding.DER)
    except _ERRORS:
        raise UpstreamError("send", "the evidence names a certificate that can't be asked about") from None


def check_answer(answer: bytes, certificate: bytes, nonce: bytes) -> None:
    """The answer is one, is about `certificate`, and was not made for another nonce. Raises: CollateralError."""
    try:
        found = ocsp.load_der_ocsp_response(answer)
        if found.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise CollateralError("stream", f"the OCSP responder answered {found.response_status.name}")
        serials = {single.serial_number for single in found.responses}
        theirs = [each.value.nonce for each in found.extensions if isinstance(each.value, x509.OCSPNonce)]
        wanted = x509.load_der_x509_certificate(certificate).serial_number
    except _ERRORS:
        raise CollateralError("stream", "no usable NVIDIA OCSP answer in the answer") from None
    if serials != {wanted}:
        raise CollateralError("stream", "the OCSP responder answered about another certificate")
    if theirs not in ([], [nonce]):
        raise CollateralError("stream", "the OCSP answer was made for another request")


def _pair(certificate: bytes, issuer: bytes) -> tuple[x509.Certificate, x509.Certificate]:
    try:
        return x509.load_der_x509_certificate(certificate), x509.load_der_x509_certificate(issuer)
    except _ERRORS:
        raise UpstreamError("send", "the evidence names a certificate that can't be read") from None
