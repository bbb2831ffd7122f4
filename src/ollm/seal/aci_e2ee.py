"""ACI's field encryption, version 2 (Dstack-TEE/private-ai-gateway, spec/e2ee-v2.md; frozen).

    blob = hex( ephemeral public key || nonce 12 || AES-256-GCM ciphertext and tag )
    key  = HKDF-SHA256(salt none, ECDH(ephemeral, peer), suite's info, 32)

    request field   AAD = JCS {purpose: "aci.e2ee.request.v2",  algo, model, field, nonce, ts}
    answer field    AAD = JCS {purpose: "aci.e2ee.response.v2", algo, model, id, field, nonce, ts}

`field` is the path of the value (`messages.3.content`, `choices.0.delta.content`), `model` the request's, `nonce` and `ts` those
of the request's headers. So a blob holds for one place of one request or of one answer to it; a request's blob never opens as an
answer. It ends at the ACI service, which for an aggregator is not where the model runs.

What it cannot tell. Our key for the answer stands in a header, so whoever sees the request can forge answers. Events of a stream
share their path: dropped, repeated and reordered ones open. The end is not authenticated. Receipts tell all that afterwards:
`response.returned` hashes every byte as sent. Tools, tool calls, names, parameters, log probabilities and usage are never
sealed, in neither direction; a strict cipher refuses a request that has content in what stays in the clear.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ollm.errors import SealError
from ollm.seal.cipher import Random, SealedBody, sealed_unless_error
from ollm.seal.fields import TEXT, WHOLE, AnswerWalk, RequestSealer, Rule, answer_members, each, request_members, string_member, within
from ollm.seal.hpke import TAG_SIZE, hkdf_expand, hkdf_extract
from ollm.seal.json_answers import JsonAnswer
from ollm.seal.openai_fields import CHAT, CHAT_CLEAR, COMPLETIONS, EMBEDDINGS, EMBEDDINGS_CLEAR, RESPONSE_FORMAT, SAMPLING
from ollm.values.aci import E2EE_ALGOS
from ollm.values.jcs import canonical

NAME = "aci-e2ee-v2"

_NONCE_SIZE = 12

# --- suites (§4) --------------------------------------------------------------------------------------------------------


class Suite(NamedTuple):
    """One curve. `load` takes what a keyset publishes, `public` gives the form that stands in blobs and headers."""

    algo: str
    info: bytes
    point_size: int
    generate: Callable[[], Any]
    load: Callable[[bytes], Any]
    public: Callable[[Any], bytes]
    exchange: Callable[[Any, Any], bytes]


def _load_secp256k1(data: bytes) -> ec.EllipticCurvePublicKey:
    if len(data) == 64:
        data = b"\x04" + data
    if len(data) != 65:  # the library would take compressed points, which the specification does not name
        raise ValueError
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), data)


X25519 = Suite(
    E2EE_ALGOS[0],
    b"aci.e2ee.v2.x25519",
    32,
    X25519PrivateKey.generate,
    X25519PublicKey.from_public_bytes,
    lambda key: key.public_key().public_bytes_raw(),
    lambda key, peer: key.exchange(peer),
)
SECP256K1 = Suite(
    E2EE_ALGOS[1],
    b"aci.e2ee.v2.secp256k1",
    65,
    lambda: ec.generate_private_key(ec.SECP256K1()),
    _load_secp256k1,
    lambda key: key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
    lambda key, peer: key.exchange(ec.ECDH(), peer),
)
SUITES: Mapping[str, Suite] = {suite.algo: suite for suite in (X25519, SECP256K1)}


# --- which fields (§5) --------------------------------------------------------------------------------------------------

CONTENT_IN_CLEAR = (  # for documentation, beside what openai_fields lists; of a request, and of its answer
    "tools, tool_choice, function_call",
    "messages[].name, .tool_calls, .function_call, .refusal, .reasoning, .reasoning_content, .audio",
    "answers: tool_calls, function_call, refusal, logprobs, audio.transcript",
)
_TEXTS = Rule(text=True, items=Rule(text=True, tokens=True))
_MESSAGE = within({"content": Rule(text=True, whole=True)}, "role tool_call_id")
REQUESTS: Mapping[str, Rule] = {
    CHAT: within({"messages": each(_MESSAGE), "response_format": RESPONSE_FORMAT}, CHAT_CLEAR.replace(" logprobs top_logprobs", "")),
    COMPLETIONS: within({"prompt": _TEXTS}, SAMPLING.replace(" logprobs top_logprobs", "")),
    EMBEDDINGS: within({"input": _TEXTS}, EMBEDDINGS_CLEAR),
}
_SAID = {"content": TEXT, "reasoning": TEXT, "reasoning_content": TEXT}
_CHOICE = within({"message": within({**_SAID, "audio": within({"data": TEXT})}), "delta": within(_SAID)})
ANSWERS: Mapping[str, Rule] = {
    CHAT: within({"choices": each(_CHOICE, indexed=True)}),
    COMPLETIONS: within({"choices": each(within({"text": TEXT}), indexed=True)}),
    EMBEDDINGS: within({"data": each(within({"embedding": WHOLE}), indexed=True)}),
}


# --- one field ----------------------------------------------------------------------------------------------------------


class Binding(NamedTuple):
    """What every field of one exchange is bound to (§6)."""

    algo: str
    model: str
    nonce: str
    ts: int

    def request(self, field: str) -> bytes:
        """The associated data of a request's field."""
        return canonical({"purpose": "aci.e2ee.request.v2", "field": field, **self._asdict()})

    def answer(self, id: str, field: str) -> bytes:
        """The associated data of a field of the answer (or event of it) with this `id`."""
        return canonical({"purpose": "aci.e2ee.response.v2", "id": id, "field": field, **self._asdict()})


def _aead(suite: Suite, own: Any, peer: Any) -> AESGCM:
    try:
        shared = suite.exchange(own, peer)
    except ValueError:  # the all-zero secret of a point of low order
        raise SealError("AEAD_DECRYPT_FAILED") from None
    return AESGCM(hkdf_expand(hkdf_extract(b"", shared), suite.info, 32))


def seal_field(suite: Suite, peer: Any, plaintext: bytes, aad: bytes, nonce: bytes) -> str:
    """The blob for `plaintext`, under an ephemeral key of its own; `nonce` is 12 fresh random bytes."""
    own = suite.generate()
    return (suite.public(own) + nonce + _aead(suite, own, peer).encrypt(nonce, plaintext, aad)).hex()


def open_field(suite: Suite, own: Any, blob: str, aad: bytes) -> bytes:
    """The plaintext of `blob`. Raises: SealError PLAINTEXT_ANSWER for what is no blob, AEAD_DECRYPT_FAILED."""
    try:
        data = bytes.fromhex(blob) if blob.isalnum() else b""  # fromhex would skip white space
    except ValueError:
        data = b""
    head = suite.point_size + _NONCE_SIZE
    if len(data) < head + TAG_SIZE:
        raise SealError("PLAINTEXT_ANSWER", "a field that must be sealed is not")
    try:
        peer = suite.load(data[: suite.point_size])
        return _aead(suite, own, peer).decrypt(data[suite.point_size : head], data[head:], aad)
    except (ValueError, InvalidTag):  # no point of the curve, or another key, place or request
        raise SealError("AEAD_DECRYPT_FAILED") from None


# --- requests and answers -----------------------------------------------------------------------------------------------


class AciAnswer(JsonAnswer):
    """Opens the answer to one request."""

    __slots__ = ("_aad", "_id", "_own", "_rule", "_suite", "_walk")

    def __init__(self, suite: Suite, own: Any, binding: Binding, rule: Rule) -> None:
        super().__init__()
        self._suite = suite
        self._own = own
        self._aad = functools.lru_cache(maxsize=8)(binding.answer)  # a stream asks for the same few again and again
        self._rule = rule
        self._id = ""
        self._walk = AnswerWalk(self._open)

    def begin(self, status: int, headers: Mapping[bytes, bytes]) -> bool:
        """`X-E2EE-Applied` is a hint that nobody authenticates; what counts is that every field that is due opens."""
        return sealed_unless_error(status)

    def _open(self, path: str, blob: str) -> bytes:
        return open_field(self._suite, self._own, blob, self._aad(self._id, path))

    def _document(self, data: bytes) -> bytes:
        members = answer_members(data)
        self._id = string_member(members, "id") or ""
        return self._walk.body(members, self._rule)


class AciCipher:
    """Seals to `public_key`, an entry of the attested keyset's `e2ee_public_keys` with this `algo`. `now` is Unix seconds.

    The service refuses a request whose time is more than 300 s from its own, so seal just before sending.
    Raises: SealError INVALID_KEY_CONFIG, UNSUPPORTED_SUITE.
    """

    name = NAME

    def __init__(self, algo: str, public_key: bytes, *, strict: bool, random: Random, now: Callable[[], int]) -> None:
        suite = SUITES.get(algo)
        if suite is None:
            raise SealError("UNSUPPORTED_SUITE", "not a suite of E2EE v2")
        try:
            self._peer = suite.load(public_key)
            _aead(suite, suite.generate(), self._peer)
        except (ValueError, SealError):  # no point of the curve, or one of low order
            raise SealError("INVALID_KEY_CONFIG", "not a public key of this suite") from None
        self._suite = suite
        self._key_hex = public_key.hex()
        self._strict = strict
        self._random = random
        self._now = now

    def seal(self, path: str, body: bytes, *, streamed: bool) -> tuple[SealedBody, AciAnswer]:
        """`body` with its content sealed. Raises: SealError UNSUPPORTED_ENDPOINT, INVALID_INPUT, UNSEALABLE_CONTENT."""
        rule = REQUESTS.get(path)
        if rule is None or (path == EMBEDDINGS and streamed):
            raise SealError("UNSUPPORTED_ENDPOINT", "this protocol seals chat completions, completions and whole embeddings")
        members = request_members(body)
        model = string_member(members, "model")
        if model is None:
            raise SealError("INVALID_INPUT", "the request names no model")
        suite, binding = self._suite, Binding(self._suite.algo, model, self._random(32).hex(), self._now())

        def seal_one(field: str, plaintext: bytes) -> str:
            return seal_field(suite, self._peer, plaintext, binding.request(field), self._random(_NONCE_SIZE))

        sealed = RequestSealer(seal_one, strict=self._strict).body(members, rule)
        ours = suite.generate()
        headers = (
            ("X-E2EE-Version", "2"),
            ("X-Client-Pub-Key", suite.public(ours).hex()),
            ("X-Model-Pub-Key", self._key_hex),
            ("X-E2EE-Nonce", binding.nonce),
            ("X-E2EE-Timestamp", str(binding.ts)),
        )
        return SealedBody(sealed, headers), AciAnswer(suite, ours, binding, ANSWERS[path])
