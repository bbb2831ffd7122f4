"""The keys of one enclave, made at its start and never kept: TLS, sealing, receipts, and the keyset that lists them."""

import hashlib
import ipaddress
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.x509.oid import NameOID

from ollm.errors import ConfigError
from ollm.net.signer import Ed25519Signer
from ollm.serving.tls import TlsIdentity
from ollm.values.aci import HPKE_ALGO, E2eeKey, Keyset, SigningKey, TlsKey
from ollm.values.hexes import Hex32
from ollm.values.secret import Sealed

SUBJECT = "urn:ollm:simulated-enclave"
_DAY = 86_400
_CERTIFICATE_DAYS = 397  # what browsers accept; clients of ours look at the key alone


class EnclaveIdentity(msgspec.Struct, frozen=True):
    """What the enclave holds.

    `tls` and `hpke_key` are None when another server terminates TLS and answers: only its key's digest is attested then.
    """

    spki_sha256: Hex32
    tls: TlsIdentity | None
    hpke_key: X25519PrivateKey | None
    signer: Ed25519Signer

    @property
    def hpke_public_key(self) -> bytes | None:
        return self.hpke_key.public_key().public_bytes_raw() if self.hpke_key is not None else None

    def keyset(self, *, not_after: int) -> Keyset:
        """The attested document of all public keys; `not_after` is Unix seconds."""
        sealing = self.hpke_public_key
        return Keyset(
            subject=SUBJECT,
            not_after=not_after,
            receipt_signing_keys=(SigningKey(self.signer.key_id, "ed25519", self.signer.public_key.hex()),),
            e2ee_public_keys=(E2eeKey(_key_id("hpke", sealing), HPKE_ALGO, sealing.hex()),) if sealing is not None else (),
            tls_public_keys=(TlsKey(self.spki_sha256),),
        )


def create_identity(now: int) -> EnclaveIdentity:
    """Fresh keys for a service that terminates TLS itself."""
    certificate, tls = create_tls(now)
    return EnclaveIdentity(spki_sha256(certificate), tls, X25519PrivateKey.generate(), Ed25519Signer(os.urandom(32)))


def identity_beside(key_file: Path, certificate_file: Path) -> EnclaveIdentity:
    """The identity of a workload whose TLS is terminated by a server beside us, with these files. Raises: ConfigError."""
    return EnclaveIdentity(spki_sha256(_load_pair(key_file, certificate_file)), None, None, Ed25519Signer(os.urandom(32)))


def create_tls(now: int) -> tuple[x509.Certificate, TlsIdentity]:
    """A new key with a self-signed certificate for loopback. Nobody trusts the certificate: evidence binds the key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "simulated enclave")])
    begin = datetime.fromtimestamp(now - _DAY, UTC)
    names = [x509.DNSName("localhost"), *(x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=_CERTIFICATE_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    key_pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate, TlsIdentity(certificate.public_bytes(serialization.Encoding.PEM), Sealed(key_pem))


def _load_pair(key_file: Path, certificate_file: Path) -> x509.Certificate:
    """The certificate, after a look whether the key is really its own. Raises: ConfigError."""
    try:
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    except OSError as problem:
        raise ConfigError(f"can't read {problem.filename}: {problem.strerror}", "name the PEM files that the TLS server uses") from None
    except (ValueError, TypeError):
        raise ConfigError("the TLS key or certificate is not unencrypted PEM", "name the PEM files that the TLS server uses") from None
    if key.public_key() != certificate.public_key():
        raise ConfigError("the TLS key and certificate don't belong together", "name the pair that the TLS server uses")
    return certificate


def spki_sha256(certificate: x509.Certificate) -> Hex32:
    """SHA-256 of the certificate's SubjectPublicKeyInfo (ACI §3.1)."""
    spki = certificate.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Hex32(hashlib.sha256(spki).hexdigest())


def _key_id(kind: str, public_key: bytes) -> str:
    return f"{kind}-{hashlib.sha256(public_key).hexdigest()[:16]}"
