"""EHBP behind the interface of all ciphers; `ehbp` has the protocol, and says what it cannot tell."""

from collections.abc import Mapping

from ollm.errors import SealError
from ollm.seal.cipher import SealedBody
from ollm.seal.ehbp import ENCAPSULATED_KEY, RESPONSE_NONCE, RequestSealer, ResponseOpener

NAME = "ehbp"

_NONCE_HEADER = RESPONSE_NONCE.encode()


class EhbpAnswer:
    """Opens the answer to one request."""

    __slots__ = ("_opener", "_request")

    def __init__(self, request: RequestSealer) -> None:
        self._request = request
        self._opener: ResponseOpener | None = None

    def begin(self, status: int, headers: Mapping[bytes, bytes]) -> bool:
        """Sealed wherever the nonce came, whatever the status (SPEC §5.3). Raises: SealError MISSING_RESPONSE_NONCE, INVALID_RESPONSE_NONCE."""
        nonce = headers.get(_NONCE_HEADER)
        if nonce is not None:
            self._opener = self._request.response_opener(nonce.decode("latin-1"))
            return True
        if status < 400:
            raise SealError("MISSING_RESPONSE_NONCE", "the answer came in the clear")
        return False

    def whole(self, data: bytes) -> bytes:
        """A whole body, opened. Raises: SealError."""
        plaintext = self.feed(data)
        self.finish()
        return plaintext

    def feed(self, data: bytes) -> bytes:
        """The plaintext of the frames that `data` completes. Raises: SealError."""
        return self._begun().feed(data)

    def finish(self) -> None:
        """The body ended. Raises: SealError FRAMING_TRUNCATED inside a frame; between frames nobody can tell."""
        self._begun().finish()

    def _begun(self) -> ResponseOpener:
        if self._opener is None:
            raise SealError("INVALID_INPUT", "the answer has not begun, or is not sealed")
        return self._opener


class EhbpCipher:
    """Seals to `public_key`, the attested X25519 key."""

    name = NAME

    def __init__(self, public_key: bytes) -> None:
        self._public_key = public_key

    def seal(self, path: str, body: bytes, *, streamed: bool) -> tuple[SealedBody, EhbpAnswer]:
        """The whole body as frames, for any path. Raises: SealError INVALID_INPUT, INVALID_KEY_CONFIG, HPKE_SETUP_FAILED."""
        request = RequestSealer(self._public_key)
        sealed = request.seal(body)
        return SealedBody(sealed, ((ENCAPSULATED_KEY, request.encapsulated_key),)), EhbpAnswer(request)
