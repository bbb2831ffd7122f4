"""One interface for every way in which a provider wants bodies sealed: one `Cipher` per attested key, one `AnswerOpener` per request.

    sealed, opener = cipher.seal("/v1/chat/completions", body, streamed=True)
    … send sealed.body with sealed.headers to sealed.path or the path asked for …
    if opener.begin(status, headers):            False: an error answer in the clear; only its status may be believed
        plain = opener.whole(data)               or opener.feed(piece)… opener.finish()

| name              | module             | authenticates in an answer                | cannot tell                                      |
|-------------------|--------------------|-------------------------------------------|--------------------------------------------------|
| `ehbp`            | `ehbp_cipher`      | order, the sender, frame by frame         | a cut between frames; status and headers          |
| `near-e2ee-v2`    | `near`             | nothing but "made for this key"           | forged, dropped, repeated, reordered events       |
| `aci-e2ee-v2`     | `aci_e2ee`         | field, request, response id               | the sender; dropped, repeated, reordered events   |
| `chutes-e2ee-v1`  | `chutes`           | the sender, event by event; the end       | dropped, repeated, reordered events               |
| `privatemode-v1`  | `privatemode`      | the sender, order, no gap                 | renamed members; a cut between events             |

Codes of `SealError` that ciphers raise beside those of EHBP (`AEAD_DECRYPT_FAILED`, `INVALID_INPUT`, `FRAMING_TRUNCATED`, …):

    UNSEALABLE_CONTENT     the request has content where this protocol leaves it in the clear, and the cipher is strict
    UNSUPPORTED_ENDPOINT   this protocol has no sealed form for that path
    PLAINTEXT_ANSWER       plaintext where ciphertext was due
    MALFORMED_ANSWER       neither the protocol's ciphertext nor the JSON it stands in
    REFLECTED_CIPHERTEXT   a piece of our own request came back as an answer
    PROVIDER_FAILED        the machine said, sealed or not, that it failed; its words are dropped

After a failure an opener gives out nothing more: every later call raises the same code.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from ollm.errors import SealError
from ollm.values.secret import Hidden

JSON = "application/json"
OCTETS = "application/octet-stream"

Random = Callable[[int], bytes]  # that many fresh bytes from the system's generator (os.urandom); for AEAD nonces, never for keys
Headers = tuple[tuple[str, str], ...]


class SealedBody(Hidden, frozen=True):
    """What goes on the wire instead of a request body. `path` is another one than asked for, or None; so is `content_type`."""

    body: bytes
    headers: Headers
    content_type: str | None = None
    path: str | None = None


class AnswerOpener(Protocol):
    """Opens the answer to one request. Call `begin`, then `whole` once, or `feed` for each piece and `finish` at the end."""

    def begin(self, status: int, headers: Mapping[bytes, bytes]) -> bool:
        """Whether the body is sealed. `headers` have lower-case names.

        False: an error answer (status 400 and above) in the clear, written by whoever stands between. Raises: SealError
        PLAINTEXT_ANSWER or MISSING_RESPONSE_NONCE where ciphertext was due.
        """

    def whole(self, data: bytes) -> bytes:
        """A whole body, opened. Raises: SealError."""

    def feed(self, data: bytes) -> bytes:
        """The plaintext that this piece of a streamed body completes. Raises: SealError, WireError for an event beyond every bound."""

    def finish(self) -> None:
        """The streamed body ended. Raises: SealError FRAMING_TRUNCATED for one that was cut, where the cipher can tell."""


class Cipher(Protocol):
    """Seals requests to one attested key. `name` stands in receipts and session documents."""

    @property
    def name(self) -> str: ...

    def seal(self, path: str, body: bytes, *, streamed: bool) -> tuple[SealedBody, AnswerOpener]:
        """Seal `body` under keys that are fresh for this call. Raises: SealError; then nothing may be sent."""


class Failing:
    """Base of openers: remembers the first failure, so that nothing is given out after it."""

    __slots__ = ("_failure",)

    def __init__(self) -> None:
        self._failure: str | None = None

    def _check(self) -> None:
        if self._failure is not None:
            raise SealError(self._failure)

    def _fail(self, problem: SealError) -> SealError:
        self._failure = problem.code
        return problem


def sealed_unless_error(status: int) -> bool:
    """`begin` of protocols whose answers carry no mark: everything is sealed but error answers."""
    return status < 400
