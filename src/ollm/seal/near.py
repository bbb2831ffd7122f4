"""NEAR AI's field encryption, version 2, Ed25519 (provider's sources: nearai/inference-proxy, nearai/cloud-api).

    blob = hex( ephemeral X25519 public key 32 || nonce 24 || XChaCha20-Poly1305 ciphertext and tag )
    key  = HKDF-SHA256(salt none, X25519(ephemeral, peer), "ed25519_encryption", 32)       no associated data

Each field is sealed on its own, to the X25519 form of an Ed25519 key: the request's to the attested signing key of the model,
the answer's to a key of ours that lives for one request. One ephemeral key serves all fields of a request, each with a random
nonce of 192 bits; the provider draws one for every field. `X-Encrypt-All-Fields` is always asked for: without it tool calls
and log probabilities come back in the clear.

What it cannot tell. A blob is bound to nothing: not to its sender, its place, its request or its stream. Our key for the answer
stands in a header, so whoever sees the request (on the way to the machine that ends TLS) can forge, drop, repeat and reorder the
pieces of the answer, put in members that are never sealed (`audio.transcript`, `annotations`), and end the stream early. And
request fields can be swapped with each other, or replaced. What holds is confidentiality, and that of the prompt only against
those who cannot replace the attested key. So this cipher belongs on a channel that is itself attested, and the provider's
signature over the answer has to be checked where it must not be forged.

Names, roles, parameters, `stop`, schemas, metadata and usage are never sealed; `openai_fields.CONTENT_IN_CLEAR` lists what of
it may be content. A strict cipher refuses a request that has any of it.
"""

from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from ollm.errors import SealError
from ollm.seal import xchacha
from ollm.seal.cipher import Random, SealedBody, sealed_unless_error
from ollm.seal.edwards import x25519_private, x25519_public
from ollm.seal.fields import TEXT, WHOLE, AnswerWalk, RequestSealer, Rule, answer_members, each, request_members, within
from ollm.seal.hpke import hkdf_expand, hkdf_extract
from ollm.seal.json_answers import JsonAnswer
from ollm.seal.openai_fields import CHAT, CHAT_CLEAR, COMPLETIONS, EMBEDDINGS, EMBEDDINGS_CLEAR, RESPONSE_FORMAT, SAMPLING

NAME = "near-e2ee-v2"

_INFO = b"ed25519_encryption"
_KEY_SIZE = 32
_HEAD = _KEY_SIZE + xchacha.NONCE_SIZE
_SMALLEST = _HEAD + xchacha.TAG_SIZE

# --- which fields (inference-proxy, src/encryption.rs; with X-Encrypt-All-Fields) ---------------------------------------

_FUNCTION = within({"name": TEXT, "arguments": TEXT})
_MESSAGE = within(
    {
        "content": Rule(text=True, whole=True),
        "reasoning_content": TEXT,
        "reasoning": TEXT,
        "audio": within({"data": TEXT}, "id format expires_at"),
        "refusal": TEXT,
        "name": TEXT,
        "tool_calls": each(within({"function": _FUNCTION}, "id type index")),
        "function_call": _FUNCTION,
    },
    "role tool_call_id",
)
_NO_TOOL = frozenset({"auto", "none", "required"})
REQUESTS: Mapping[str, Rule] = {
    CHAT: within(
        {
            "messages": each(_MESSAGE),
            "tools": each(within({"function": within({"name": TEXT, "description": TEXT, "parameters": WHOLE}, "strict")}, "type")),
            "tool_choice": Rule(words=_NO_TOOL, members={"function": within({"name": TEXT})}, clear=frozenset({"type"})),
            "function_call": Rule(words=_NO_TOOL, members={"name": TEXT}),
            "response_format": RESPONSE_FORMAT,
        },
        CHAT_CLEAR,
    ),
    COMPLETIONS: within({"prompt": Rule(text=True, items=Rule(text=True, tokens=True))}, SAMPLING.replace(" logprobs top_logprobs", "")),
    EMBEDDINGS: within({"input": Rule(text=True, items=Rule(text=True, tokens=True))}, EMBEDDINGS_CLEAR),
}

_TOKEN = {"token": TEXT, "bytes": WHOLE}
_TOKENS = each(within({**_TOKEN, "top_logprobs": each(within(_TOKEN))}))
_ANSWER_MESSAGE = within(
    {
        "content": Rule(text=True, items=within({"text": TEXT})),
        "reasoning_content": TEXT,
        "reasoning": TEXT,
        "audio": within({"data": TEXT}),
        "refusal": TEXT,
        "tool_calls": each(within({"function": _FUNCTION})),
        "function_call": _FUNCTION,
        "nearai_tool_result": within({"output": TEXT}),  # what the provider's own web search found
    }
)
ANSWERS: Mapping[str, Rule] = {
    CHAT: within(
        {
            "choices": each(
                within({"message": _ANSWER_MESSAGE, "delta": _ANSWER_MESSAGE, "logprobs": within({"content": _TOKENS, "refusal": _TOKENS})})
            )
        }
    ),
    COMPLETIONS: within({"choices": each(within({"text": TEXT}))}),
    EMBEDDINGS: within({"data": each(within({"embedding": WHOLE}))}),
}


# --- one field ----------------------------------------------------------------------------------------------------------


def _key(own: X25519PrivateKey, peer: X25519PublicKey) -> bytes:
    try:
        shared = own.exchange(peer)
    except ValueError:  # the all-zero secret of a point of low order
        raise SealError("AEAD_DECRYPT_FAILED") from None
    return hkdf_expand(hkdf_extract(b"", shared), _INFO, 32)


class FieldSealer:
    """Seals fields to `peer` under one ephemeral key; giving that key is for test vectors."""

    __slots__ = ("_head", "_key")

    def __init__(self, peer: X25519PublicKey, *, ephemeral: X25519PrivateKey | None = None) -> None:
        own = ephemeral or X25519PrivateKey.generate()
        self._head = own.public_key().public_bytes_raw()
        self._key = _key(own, peer)

    def seal(self, plaintext: bytes, nonce: bytes) -> str:
        """The blob for `plaintext`; `nonce` is 24 fresh random bytes."""
        return (self._head + nonce + xchacha.seal(self._key, nonce, plaintext)).hex()


def open_field(own: X25519PrivateKey, blob: str) -> bytes:
    """The plaintext of `blob`. Raises: SealError PLAINTEXT_ANSWER for what is no blob, AEAD_DECRYPT_FAILED."""
    try:
        data = bytes.fromhex(blob) if blob.isalnum() else b""  # fromhex would skip white space
    except ValueError:
        data = b""
    if len(data) < _SMALLEST:
        raise SealError("PLAINTEXT_ANSWER", "a field that must be sealed is not")
    key = _key(own, X25519PublicKey.from_public_bytes(data[:_KEY_SIZE]))
    return xchacha.unseal(key, data[_KEY_SIZE:_HEAD], data[_HEAD:])


# --- requests and answers -----------------------------------------------------------------------------------------------


class NearAnswer(JsonAnswer):
    """Opens the answer to one request. Content that does not come sealed is refused, in whatever field it is due."""

    __slots__ = ("_client_key", "_own", "_rule", "_walk")

    def __init__(self, client_key: Ed25519PrivateKey, rule: Rule) -> None:
        super().__init__()
        self._client_key = client_key
        self._own: X25519PrivateKey | None = None  # converted when it is first needed, while nobody waits for the request to leave
        self._walk = AnswerWalk(self._open)
        self._rule = rule

    def _open(self, path: str, blob: str) -> bytes:
        if self._own is None:
            self._own = x25519_private(self._client_key)
        return open_field(self._own, blob)

    def begin(self, status: int, headers: Mapping[bytes, bytes]) -> bool:
        """No header marks a sealed answer: everything but an error's is."""
        return sealed_unless_error(status)

    def _document(self, data: bytes) -> bytes:
        return self._walk.body(answer_members(data), self._rule)


class NearCipher:
    """Seals to `model_key`, the attested Ed25519 key. `name_key` tells the provider's gateway which machine holds it.

    Raises: SealError INVALID_KEY_CONFIG.
    """

    name = NAME

    def __init__(self, model_key: bytes, *, strict: bool, name_key: bool, random: Random) -> None:
        self._peer = X25519PublicKey.from_public_bytes(x25519_public(model_key))
        self._named = (("X-Model-Pub-Key", model_key.hex()),) if name_key else ()
        self._strict = strict
        self._random = random

    def seal(self, path: str, body: bytes, *, streamed: bool) -> tuple[SealedBody, NearAnswer]:
        """`body` with its content sealed. Raises: SealError UNSUPPORTED_ENDPOINT, INVALID_INPUT, UNSEALABLE_CONTENT."""
        rule = REQUESTS.get(path)
        if rule is None:  # the provider would pass such a request on as it is
            raise SealError("UNSUPPORTED_ENDPOINT", "this protocol seals chat completions, completions and embeddings")
        fields = FieldSealer(self._peer)
        sealer = RequestSealer(lambda _, plaintext: fields.seal(plaintext, self._random(xchacha.NONCE_SIZE)), strict=self._strict)
        sealed = sealer.body(request_members(body), rule)
        ours = Ed25519PrivateKey.generate()
        headers = (
            ("X-Signing-Algo", "ed25519"),
            ("X-Client-Pub-Key", ours.public_key().public_bytes_raw().hex()),
            ("X-Encryption-Version", "2"),
            ("X-Encrypt-All-Fields", "true"),
            *self._named,
        )
        return SealedBody(sealed, headers), NearAnswer(ours, ANSWERS[path])
