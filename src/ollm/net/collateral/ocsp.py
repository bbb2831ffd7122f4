"""NVIDIA's OCSP responder (or a mirror): whether certificates of devices and of RIM signers are revoked (RFC 6960).

    POST {ocsp}   application/ocsp-request, made by appraisal without a nonce; one is added to each question that goes out

An answer holds for a day. One that repeats our nonce was made for us; one without a nonce is as fresh as its dates say, since not every
responder knows nonces (RFC 9654 §2.1) and no mirror that caches can. One with another nonce was made for somebody else, and is refused.
Which key signed an answer, and whether it says good, is for appraisal.
"""

import hashlib
import secrets

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import ocsp

from ollm.errors import CollateralError
from ollm.net.collateral.artefact import Artefact, Key
from ollm.net.collateral.asking import Asker
from ollm.net.collateral.cache import CollateralCache
from ollm.ports import Fetched

MEDIA_TYPE = "application/ocsp-request"
_NONCE_SIZE = 32  # RFC 9654 §2.1
_ERRORS = (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)


class OcspResponder:
    """Answers about certificates, out of the cache."""

    def __init__(self, cache: CollateralCache, asker: Asker, *, ocsp_url: str) -> None:
        self._cache = cache
        self._asker = asker
        self._url = ocsp_url.rstrip("/") + "/"

    def key(self, request: bytes) -> Key:
        """What is asked by `request`, DER without a nonce. Raises: CollateralError for what is no request."""
        return Key("ocsp", f"serial {_question(request).serial_number:x}"[:64], f"{self._url}#{hashlib.sha256(request).hexdigest()}")

    async def get(self, request: bytes) -> Artefact:
        """The answer to `request`. Raises: UpstreamError."""
        key = self.key(request)

        async def obtain() -> Fetched:
            nonce = secrets.token_bytes(_NONCE_SIZE)
            answer = await self._asker.post(self._url, with_nonce(request, nonce), MEDIA_TYPE)
            check_answer(answer.body, request, nonce)
            return answer

        return await self._cache.get(key, obtain)


def with_nonce(request: bytes, nonce: bytes) -> bytes:
    """The same question with a nonce. Raises: CollateralError."""
    asked = _question(request)
    builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(
        asked.issuer_name_hash, asked.issuer_key_hash, asked.serial_number, asked.hash_algorithm
    )
    return builder.add_extension(x509.OCSPNonce(nonce), critical=False).build().public_bytes(serialization.Encoding.DER)


def check_answer(answer: bytes, request: bytes, nonce: bytes) -> None:
    """The answer is one, is about the certificate in `request`, and was not made for another nonce. Raises: CollateralError."""
    asked = _question(request)
    try:
        found = ocsp.load_der_ocsp_response(answer)
        if found.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise CollateralError("stream", f"the OCSP responder answered {found.response_status.name}")
        about = {(single.serial_number, single.issuer_key_hash, single.issuer_name_hash) for single in found.responses}
        nonces = [each.value.nonce for each in found.extensions if isinstance(each.value, x509.OCSPNonce)]
    except _ERRORS:
        raise CollateralError("stream", "no usable OCSP answer") from None
    if about != {(asked.serial_number, asked.issuer_key_hash, asked.issuer_name_hash)}:
        raise CollateralError("stream", "the OCSP responder answered about another certificate")
    if nonces not in ([], [nonce]):
        raise CollateralError("stream", "the OCSP answer was made for another request")


def _question(request: bytes) -> ocsp.OCSPRequest:
    try:
        asked = ocsp.load_der_ocsp_request(request)
        _ = asked.serial_number  # parsed when it is looked at; a request for several has none
    except (*_ERRORS, NotImplementedError):
        raise CollateralError("send", "no question for an OCSP responder") from None
    return asked
