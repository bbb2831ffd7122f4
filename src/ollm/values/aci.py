"""ACI/1 identity: the keyset, the statement that a quote commits to, and their digests (ACI §3).

They stand among the values, below `attest`, because appraisal recomputes them; `receipts` builds documents on them.
"""

import hashlib
from typing import Any

import msgspec

from ollm.errors import WireError
from ollm.values.hexes import Hex32, Sha256, hex32, sha256_name, sha256_of
from ollm.values.jcs import canonical
from ollm.values.structs import resolved

API_VERSION = "aci/1"
HPKE_ALGO = "hpke-x25519-hkdf-sha256-aes-256-gcm"  # our algo name of an EHBP key in e2ee_public_keys; see docs/spec/aci-ehbp.md
# ACI's own field encryption, version 2 (private-ai-gateway, spec/e2ee-v2.md §4): the suite to take first stands first.
E2EE_ALGOS = ("x25519-aes-256-gcm-hkdf-sha256", "secp256k1-aes-256-gcm-hkdf-sha256")
EHBP_VERSION = "ehbp/1"  # what such a service lists in supported_e2ee_versions

_CONFIG_SUBJECT = "ollm-config:"


class SigningKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key_id: str
    algo: str
    public_key: str  # lowercase hex


class E2eeKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key_id: str
    algo: str
    public_key: str


class TlsKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    spki_sha256: str
    domain: str | None = None


@resolved
class Keyset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A workload's identity (ACI §3.1): whoever proves the digest proves the keys."""

    subject: str | None
    not_after: int  # Unix seconds
    receipt_signing_keys: tuple[SigningKey, ...]
    e2ee_public_keys: tuple[E2eeKey, ...]
    tls_public_keys: tuple[TlsKey, ...]

    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = msgspec.to_builtins(self)
        return document

    def digest(self) -> Sha256:
        """`workload_keyset_digest` (ACI §3.1)."""
        return sha256_of(canonical(self.document()))

    def hpke_key(self) -> bytes | None:
        """The X25519 key to seal to, or None when the keyset lists none of our algorithm. Raises: WireError for a malformed one."""
        for key in self.e2ee_public_keys:
            if key.algo == HPKE_ALGO:
                return bytes.fromhex(hex32(key.public_key))
        return None


def statement(keyset_digest: Sha256, nonce: Hex32 | None) -> bytes:
    """Exact bytes of the attestation statement (ACI §3.2); `nonce` None is the unchallenged form."""
    quoted = f'"{nonce}"' if nonce is not None else "null"
    return f'{{"keyset_digest":"{keyset_digest}","nonce":{quoted},"purpose":"aci.report_data.v1"}}'.encode()


def report_data(keyset_digest: Sha256, nonce: Hex32 | None) -> bytes:
    """The 64 bytes that go into the TEE's report-data slot: SHA-256 of the statement, then zeros."""
    return hashlib.sha256(statement(keyset_digest, nonce)).digest() + bytes(32)


def parse_keyset(document: object) -> tuple[Keyset, Sha256]:
    """The keyset in `document` (parsed JSON) and the digest of that very document.

    The digest is over what was received, so that members we would drop can't be hidden. Raises: WireError.
    """
    try:
        keyset = msgspec.convert(document, Keyset)
    except (msgspec.ValidationError, UnicodeEncodeError):  # the latter for names with a lone surrogate
        raise WireError("not an ACI keyset") from None
    if sum(key.algo == HPKE_ALGO for key in keyset.e2ee_public_keys) > 1:
        raise WireError("two keys to seal to")  # EHBP's header can't say which one was used (docs/spec/aci-ehbp.md §1)
    return keyset, sha256_of(canonical(document))


def config_subject(config_digest: Sha256) -> str:
    """The keyset `subject` of a gateway: through it the quote binds the configuration (docs/spec/aci-ehbp.md)."""
    return _CONFIG_SUBJECT + config_digest


def config_digest_of(keyset: Keyset) -> Sha256 | None:
    """The configuration digest that `keyset` names, or None when it names none. Raises: WireError for a malformed one."""
    if keyset.subject is None or not keyset.subject.startswith(_CONFIG_SUBJECT):
        return None
    return sha256_name(keyset.subject.removeprefix(_CONFIG_SUBJECT))
