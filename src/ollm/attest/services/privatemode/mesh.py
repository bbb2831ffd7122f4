"""The mesh of a Contrast deployment, and the secret that Privatemode's secret service agreed on with us in it.

    asked     {"PublicKey": base64 of an X-Wing key, 1216}
    answered  {"EncapsulatedKey": base64, 1120, "Signature": base64 of ECDSA over SHA-256(PublicKey || EncapsulatedKey), "MeshCert": base64 of DER}

The coordinator attests the mesh CA and gives certificates to workloads whose machines it verified by the manifest. The secret service's
key is certified there, so who holds it rests on the coordinator. Privatemode's own client takes a certificate of any workload; here it
must have the name that the operator's policy gives the secret service, and the manifest must give that name to one policy alone.

The secret itself is never here: our half of the exchange stays with whoever asked. What it is named by is SHA-256(PublicKey).

Sources: edgelesssys/privatemode-public, internal/oss/{httpapi,secretclient,secretexchange}, secret-service; edgelesssys/contrast, internal/ca.
"""

import hashlib
from collections.abc import Mapping

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from ollm.attest.certificates import (
    Period,
    certificate_period,
    check_authority,
    check_issued,
    check_periods,
    check_signer,
    load_certificate,
    load_chain,
    refusing,
)
from ollm.attest.services.privatemode.document import FORMAT, decoded
from ollm.attest.services.privatemode.manifest import Manifest
from ollm.errors import EvidenceRefused
from ollm.values.hexes import Hex32

ASKED = "agreement_asked"  # role of what was sent to the secret service
ANSWERED = "agreement_answered"  # role of what it answered
PUBLIC_KEY_SIZE, ENCAPSULATED_SIZE = 1216, 1120  # draft-connolly-cfrg-xwing-kem §5

_MESH_CA = "privatemode.mesh_ca"
_SERVICE = "privatemode.secret_service"
_AGREEMENT = "privatemode.secret"


class _Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    PublicKey: bytes  # base64 in JSON, like all bytes here


class _Answered(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    EncapsulatedKey: bytes
    Signature: bytes
    MeshCert: bytes


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """Both sides' public halves of an agreement on a secret."""

    public_key: bytes  # ours
    encapsulated: bytes
    signature: bytes
    certificate: bytes  # DER, of the key that signed

    @property
    def digest(self) -> Hex32:
        """What the secret is named by; the provider writes it in base64."""
        return Hex32(hashlib.sha256(self.public_key).hexdigest())


class SecretService(msgspec.Struct, frozen=True):
    """A certified secret service: the key that signs its agreements, and until when its certificate holds."""

    key: ec.EllipticCurvePublicKey
    period: Period

    @property
    def public_key(self) -> bytes:
        """SubjectPublicKeyInfo, DER."""
        return self.key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def read(documents: Mapping[str, bytes]) -> Exchange:
    """The agreement among `documents`. Raises: EvidenceRefused with privatemode.format."""
    for role in (ASKED, ANSWERED):
        if role not in documents:
            raise EvidenceRefused(FORMAT, f"no document {role}", "an agreement on a secret")
    asked = decoded(documents[ASKED], _Asked, "what the secret service was asked")
    answered = decoded(documents[ANSWERED], _Answered, "the secret service's answer")
    sizes = len(asked.PublicKey), len(answered.EncapsulatedKey)
    if sizes != (PUBLIC_KEY_SIZE, ENCAPSULATED_SIZE):
        raise EvidenceRefused(FORMAT, f"keys of {sizes[0]} and {sizes[1]} bytes", f"{PUBLIC_KEY_SIZE} and {ENCAPSULATED_SIZE}, X-Wing's")
    return Exchange(public_key=asked.PublicKey, encapsulated=answered.EncapsulatedKey, signature=answered.Signature, certificate=answered.MeshCert)


def check_mesh_ca(pem: bytes, now: int) -> tuple[x509.Certificate, Period]:
    """The attested certificate may issue those of workloads, now. Raises: EvidenceRefused with privatemode.mesh_ca."""
    found = load_chain(pem.decode("ascii", "replace"), _MESH_CA, "a mesh CA")
    if len(found) != 1:
        raise EvidenceRefused(_MESH_CA, f"{len(found)} certificates", "one")
    period = certificate_period(found[0], "the mesh CA")
    check_authority(found[0], 0, _MESH_CA, "a mesh CA")
    check_periods((period,), now, _MESH_CA)
    return found[0], period


def check_secret_service(der: bytes, mesh_ca: x509.Certificate, name: str | None, manifest: Manifest, now: int) -> SecretService:
    """The certificate is one of the mesh CA for the workload `name`, now. Raises: EvidenceRefused with privatemode.secret_service."""
    if name is None:
        raise EvidenceRefused(_SERVICE, "a policy that names no secret service", "its name, in service.secret_service")
    holders = manifest.named(name)
    if len(holders) != 1:
        raise EvidenceRefused(_SERVICE, f"a manifest that gives {name} to {len(holders)} policies", "to one")
    certificate = load_certificate(der, _SERVICE)
    check_issued(certificate, mesh_ca, _SERVICE, "the secret service's certificate")
    check_signer(certificate, _SERVICE, "the secret service's certificate")
    period = certificate_period(certificate, "the secret service's certificate")
    check_periods((period,), now, _SERVICE)
    with refusing(_SERVICE, "a certificate without names", "one with names"):
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    if name not in names:
        raise EvidenceRefused(_SERVICE, f"a certificate for {', '.join(names)[:200]!a}", name)
    with refusing(_SERVICE, "a key that can't be read", "one on P-256 or P-384"):
        key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, (ec.SECP256R1, ec.SECP384R1)):
        raise EvidenceRefused(_SERVICE, "a key of another kind", "one on P-256 or P-384")
    return SecretService(key, period)


def key_of(der: bytes) -> ec.EllipticCurvePublicKey:
    """The secret service's key out of a session's `Bound`. Raises: EvidenceRefused with privatemode.secret_service."""
    with refusing(_SERVICE, "a key that can't be read", "one on P-256 or P-384"):
        key = serialization.load_der_public_key(der)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise EvidenceRefused(_SERVICE, "a key of another kind", "one on P-256 or P-384")
    return key


def check_secret(exchange: Exchange, service: SecretService) -> None:
    """The secret service signed this very agreement. Raises: EvidenceRefused with privatemode.secret."""
    with refusing(_AGREEMENT, "a signature over other keys, or by another key", "the secret service's, over both sides' keys"):
        service.key.verify(exchange.signature, exchange.public_key + exchange.encapsulated, ec.ECDSA(SHA256()))
