"""A machine's signature over an exchange, after the whole answer: by the key that its evidence binds.

    {"text": "{model}:{SHA-256 of the request's body}:{SHA-256 of the answer's body}", "signature": …, "signing_address": …,
     "signing_algo": "ed25519" | "ecdsa", "signature_kind": "provider_tee" | "gateway"}

Both bodies as they were on the wire, of a stream all of it. Names of models can hold ":", so the text is read from its end; older machines
leave the model out. Ed25519 signs the text's bytes. ECDSA signs it as a personal message (EIP-191), and the key is told by its address.

What it proves: the holder of that key saw this request and gave this answer. A machine hashes what it was sent; behind a gateway it takes the
gateway's word for the request's hash, so there the signature speaks for the answer alone.

Sources: nearai/inference-proxy (signature routes), nearai/cloud-api, private-ai-gateway (legacy surface).
"""

import re

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ollm.attest import strict_json
from ollm.attest.dstack.keccak import keccak_256
from ollm.attest.dstack.secp256k1 import recover
from ollm.attest.services.evidence import AnswerSigner
from ollm.errors import EvidenceRefused
from ollm.values.hexes import Sha256
from ollm.values.structs import resolved

MAX_REPLY = 64 * 1024
_CHECK = "response.signature"
_TEXT = re.compile(r"(?:(?P<model>.{1,1024}):)?(?P<request>[0-9a-f]{64}):(?P<response>[0-9a-f]{64})", re.DOTALL)
_HEX = re.compile(r"(?:0x)?(?:[0-9a-f]{2})+")
_SIZES = {"ed25519": 64, "ecdsa": 65}
_GATEWAY = "gateway"


class Signed(msgspec.Struct, frozen=True):
    """A signature that holds."""

    text: str
    signature: str
    kind: str


@resolved
class _Reply(msgspec.Struct):
    text: str = ""
    signature: str = ""
    signing_address: str = ""
    signing_algo: str = ""
    signature_kind: str | None = None
    error_code: str | None = None


def is_missing(reply: bytes) -> bool:
    """Whether `reply` says that the machine signed nothing. Raises: EvidenceRefused with response.signature."""
    return _parsed(reply).error_code is not None


def check(reply: bytes, signer: AnswerSigner, *, model: str | None, request: Sha256, response: Sha256) -> Signed:
    """The signature in `reply` is the signer's, over this exchange. Raises: EvidenceRefused with response.signature."""
    found = _parsed(reply)
    if found.signature_kind == _GATEWAY:
        raise EvidenceRefused(_CHECK, "the gateway's word", "the machine's own signature")
    stated = _TEXT.fullmatch(found.text)
    if stated is None:
        raise EvidenceRefused(_CHECK, "a text that names no exchange", "model, request and answer")
    for name, want in (("request", request), ("response", response)):
        if f"sha256:{stated[name]}" != want:
            raise EvidenceRefused(_CHECK, f"another {name}, with SHA-256 {stated[name]}", want)
    if model is not None and stated["model"] is not None and stated["model"] != model:
        raise EvidenceRefused(_CHECK, f"the model {stated['model'][:80]!a}", f"{model[:80]!a}")
    address = found.signing_address.lower().removeprefix("0x")
    if found.signing_algo != signer.algorithm or address != signer.address:
        raise EvidenceRefused(_CHECK, f"a signature by {found.signing_algo[:20]!a} {address[:64]!a}", f"{signer.algorithm} {signer.address}")
    text = strict_json.encoded(found.text, _CHECK)
    signature = _signature(found.signature, signer.algorithm)
    if not (_ed25519 if signer.algorithm == "ed25519" else _ecdsa)(signer.address, text, signature):
        raise EvidenceRefused(_CHECK, "a signature that does not hold", f"one by {signer.address}")
    return Signed(found.text, signature.hex(), found.signature_kind or "model")


def _parsed(reply: bytes) -> _Reply:
    try:
        return msgspec.convert(strict_json.parse(reply, limit=MAX_REPLY, check=_CHECK), _Reply)
    except msgspec.ValidationError:
        raise EvidenceRefused(_CHECK, "JSON that is no signature", "text, signature, and who signed") from None


def _signature(text: str, algorithm: str) -> bytes:
    lowered = text.lower()
    bare = lowered.removeprefix("0x")
    if not _HEX.fullmatch(lowered) or len(bare) != 2 * _SIZES[algorithm]:
        raise EvidenceRefused(_CHECK, f"a signature of {len(bare)} characters", f"{_SIZES[algorithm]} bytes in hex")
    return bytes.fromhex(bare)


def _ed25519(address: str, text: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(address)).verify(signature, text)
    except (InvalidSignature, ValueError):
        return False
    return True


def _ecdsa(address: str, text: bytes, signature: bytes) -> bool:
    digest = keccak_256(b"\x19Ethereum Signed Message:\n%d" % len(text) + text)
    r, s, v = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]
    key = recover(digest, r, s, v - 27 if v >= 27 else v) if v in (0, 1, 27, 28) else None
    return key is not None and keccak_256(key)[-20:].hex() == address
