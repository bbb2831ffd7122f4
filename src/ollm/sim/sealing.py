"""Request bodies in and answers out of the enclave, sealed with EHBP or plain."""

import os
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ollm.errors import ApiError, SealError
from ollm.seal.ehbp import ENCAPSULATED_KEY, RequestOpener, ResponseSealer
from ollm.values.secret import Hidden

KEY_MISMATCH = "AEAD_DECRYPT_FAILED"  # the one error that a client mends by verifying again
_HEADER = ENCAPSULATED_KEY.encode()


class Body(Hidden, frozen=True):
    """A request body in plaintext, and the sealer of its answer (None: the request came in plaintext, so goes the answer)."""

    plaintext: bytes
    sealer: ResponseSealer | None

    def __repr__(self) -> str:
        return f"Body(sealed={self.sealer is not None})"


def open_body(headers: Sequence[tuple[bytes, bytes]], received: bytes, key: X25519PrivateKey | None, *, allow_plaintext: bool) -> Body:
    """The body as its sender wrote it. All of it is opened before any of it is used.

    Raises: ApiError 400; SealError KEY_MISMATCH when it was sealed to another key (EHBP §5.4 answers this with 422).
    """
    given = [value for name, value in headers if name == _HEADER]
    if not given:
        if allow_plaintext:
            return Body(received, None)
        raise _refusal("plaintext_refused", f"this enclave takes sealed bodies only: seal with EHBP and send {ENCAPSULATED_KEY}")
    if key is None:
        raise _refusal("sealing_unsupported", "this enclave has no sealing key")
    if len(given) > 1:
        raise _refusal("sealed_body_unusable", "the encapsulated key is given twice")
    try:
        opener = RequestOpener(key, given[0].decode("latin-1"))
        plaintext = opener.feed(received)
        opener.finish()
        return Body(plaintext, opener.response_sealer(os.urandom(32)))
    except SealError as problem:
        if problem.code == KEY_MISMATCH:
            raise
        raise _refusal("sealed_body_unusable", f"the sealed body can't be opened: {problem.code}") from None


def _refusal(code: str, message: str) -> ApiError:
    return ApiError(400, "invalid_request_error", code, message)
