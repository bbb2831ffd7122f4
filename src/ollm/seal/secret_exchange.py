"""Privatemode's agreement on a secret: HPKE, export only, over ML-KEM-768 with X25519 (X-Wing), signed by the secret service.

    we       POST {"PublicKey": public key 1216}
    service  {"EncapsulatedKey": 1120, "Signature": ECDSA over SHA-256(PublicKey || EncapsulatedKey), "MeshCert"}
    both     secret = HPKE(X-Wing, HKDF-SHA256, export-only, info "").Export("", 32); its id = base64(SHA-256(PublicKey))

The certificate has to chain to the mesh CA that attestation binds; that is the caller's to check, before it hands the key here.

X-Wing (draft-connolly-cfrg-xwing-kem §5): public key = ML-KEM-768's 1184 || X25519's 32; encapsulated key = 1088 || 32;
shared secret = SHA3-256(ML-KEM secret || X25519 secret || X25519 ciphertext || X25519 public key || label).
"""

import base64
import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from ollm.errors import SealError
from ollm.seal.hpke import export_only

KEM_ID = 0x647A  # X-Wing's HPKE KEM id (draft §7)
ENCAPSULATED_SIZE = 1120
_MLKEM_SIZE = 1088
_LABEL = bytes.fromhex("5c2e2f2f5e5c")  # draft §5.3: \.//^\


class SecretExchange:
    """One exchange, with keys of its own. `public_key` goes to the service; `secret` opens its answer."""

    __slots__ = ("_mlkem", "_x25519", "public_key")

    def __init__(self, *, mlkem: MLKEM768PrivateKey | None = None, x25519: X25519PrivateKey | None = None) -> None:
        self._mlkem = mlkem or MLKEM768PrivateKey.generate()
        self._x25519 = x25519 or X25519PrivateKey.generate()
        self.public_key = self._mlkem.public_key().public_bytes_raw() + self._x25519.public_key().public_bytes_raw()

    @property
    def secret_id(self) -> str:
        """How the provider names the secret."""
        return base64.b64encode(hashlib.sha256(self.public_key).digest()).decode()

    def secret(self, encapsulated: bytes, signature: bytes, service_key: ec.EllipticCurvePublicKey) -> bytes:
        """The 32 bytes that both sides now hold.

        Raises: SealError INVALID_ENCAPSULATED_KEY where `service_key` did not sign this exchange, or the sizes are wrong;
        HPKE_SETUP_FAILED for a point of low order.
        """
        if len(encapsulated) != ENCAPSULATED_SIZE:
            raise SealError("INVALID_ENCAPSULATED_KEY", "an encapsulated key has 1120 bytes")
        try:
            service_key.verify(signature, self.public_key + encapsulated, ec.ECDSA(SHA256()))
        except InvalidSignature:
            raise SealError("INVALID_ENCAPSULATED_KEY", "not signed by the secret service for this exchange") from None
        return export_only(KEM_ID, self.shared_secret(encapsulated), b"", b"", 32)

    def shared_secret(self, encapsulated: bytes) -> bytes:
        """X-Wing's decapsulation (draft §5.5). Raises: SealError HPKE_SETUP_FAILED."""
        ciphertext, point = encapsulated[:_MLKEM_SIZE], encapsulated[_MLKEM_SIZE:]
        try:
            agreed = self._x25519.exchange(X25519PublicKey.from_public_bytes(point))
        except ValueError:
            raise SealError("HPKE_SETUP_FAILED") from None
        own_point = self._x25519.public_key().public_bytes_raw()
        return hashlib.sha3_256(self._mlkem.decapsulate(ciphertext) + agreed + point + own_point + _LABEL).digest()
