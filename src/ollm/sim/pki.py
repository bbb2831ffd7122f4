"""A certificate hierarchy with the exact structure of Intel's for SGX and TDX, whose hardware is software.

    SIMULATED SGX Root CA ──┬── SIMULATED SGX PCK Platform CA ── PCK certificate (one per machine, marked as simulated)
                            ├── SIMULATED SGX PCK Processor CA
                            └── SIMULATED SGX TCB Signing (signs tcbInfo and QE identity)

It is made once per installation and kept in a state directory, so that the SHA-256 of its root, which the policy
that admits simulated machines pins, survives restarts. Its private keys protect nothing and are never in the repository.
Structure: Intel SGX PCK Certificate and CRL Profile Specification v1.5.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ollm.attest.certificates import SIMULATED_MARKER_OID
from ollm.errors import ConfigError
from ollm.sim import sgx_extension
from ollm.sim.sgx_extension import PlatformIdentity
from ollm.values.hexes import Hex32

DAY = 86_400
_YEAR = 365 * DAY
_LIFETIME = 30 * _YEAR  # Intel's root lives 31 years, its intermediate CAs 15, its leaves 7; ours all end with the root
_BACKDATED = DAY  # certificates begin a day early, so that a clock that is a little behind still finds them valid

ROOT_CRL_URL = "https://simulated.invalid/IntelSGXRootCA.der"
PCK_CRL_URL = "https://simulated.invalid/sgx/certification/v4/pckcrl?ca=platform&encoding=der"


class Authority(msgspec.Struct, frozen=True):
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)


class SimulatedPki(msgspec.Struct, frozen=True):
    """One installation's hierarchy."""

    root: Authority
    platform_ca: Authority
    processor_ca: Authority
    tcb_signing: Authority

    @property
    def root_der(self) -> bytes:
        return self.root.der

    @property
    def root_sha256(self) -> Hex32:
        """The pin: SHA-256 of the root certificate's DER."""
        return Hex32(self.root.certificate.fingerprint(hashes.SHA256()).hex())

    def issue_pck(
        self, public_key: ec.EllipticCurvePublicKey, platform: PlatformIdentity, *, now: int, days: int, marked: bool = True
    ) -> x509.Certificate:
        """A PCK certificate for `public_key`. Only the adversary makes one that is not `marked` as simulated, or already expired."""
        extensions: list[x509.ExtensionType] = [
            # Neither is critical: the verifying library refuses every critical extension it doesn't know.
            x509.UnrecognizedExtension(x509.ObjectIdentifier(sgx_extension.OID), sgx_extension.encode(platform))
        ]
        if marked:
            extensions.append(x509.UnrecognizedExtension(x509.ObjectIdentifier(SIMULATED_MARKER_OID), b"\x05\x00"))  # NULL: its presence says it all
        return _certificate(
            "SIMULATED SGX PCK Certificate", public_key, self.platform_ca, now, now + days * DAY, crl_url=PCK_CRL_URL, extensions=extensions
        )

    def crl(self, issuer: Authority, *, issued: int, expires: int, revoked: Iterable[int] = ()) -> bytes:
        """A DER CRL of `issuer` that lists the serial numbers in `revoked`, valid from `issued` to `expires` (Unix seconds)."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(issuer.certificate.subject)
            .last_update(_time(issued))
            .next_update(_time(expires))
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
            .add_extension(x509.CRLNumber(issued), critical=False)
        )
        for serial in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(_time(issued))
            builder = builder.add_revoked_certificate(entry.add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), critical=False).build())
        return builder.sign(issuer.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def create_pki(now: int) -> SimulatedPki:
    """A new hierarchy, in memory only. `now` is Unix seconds."""
    key = ec.generate_private_key(ec.SECP256R1())
    end = now + _LIFETIME
    root = Authority(_certificate("SIMULATED SGX Root CA", key.public_key(), key, now, end, ca_depth=1), key)

    def issue(name: str, ca_depth: int | None) -> Authority:
        child = ec.generate_private_key(ec.SECP256R1())
        return Authority(_certificate(name, child.public_key(), root, now, end, ca_depth=ca_depth), child)

    # "Platform" and "Processor" in the name are what tells a verifier which CRL it needs.
    return SimulatedPki(
        root=root,
        platform_ca=issue("SIMULATED SGX PCK Platform CA", 0),
        processor_ca=issue("SIMULATED SGX PCK Processor CA", 0),
        tcb_signing=issue("SIMULATED SGX TCB Signing", None),
    )


def open_pki(directory: Path, now: int) -> SimulatedPki:
    """The hierarchy kept in `directory`, made there first if need be; safe against two processes that start together.

    Raises: ConfigError when the directory holds something else or can't be used.
    """
    try:
        if not directory.exists():
            _save(create_pki(now), directory)
        return _load(directory)
    except OSError as problem:
        raise ConfigError(f"can't use {directory}: {problem.strerror}", "name a directory that this user can write") from None
    except ValueError:
        raise ConfigError(
            f"{directory} holds no usable simulated hardware", "remove it; a new root is made, and policies must pin that one"
        ) from None


def _save(pki: SimulatedPki, directory: Path) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))  # 0700
    try:
        for field in pki.__struct_fields__:
            authority: Authority = getattr(pki, field)
            key = authority.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            _write(draft / f"SIMULATED-{field}.key.pem", key)
            _write(draft / f"SIMULATED-{field}.pem", authority.pem.encode())
        try:
            draft.rename(directory)
        except OSError:
            if not directory.exists():  # otherwise another process was first, and its hierarchy is the one
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)


def _load(directory: Path) -> SimulatedPki:
    return SimulatedPki(**{field: _load_authority(directory, field) for field in SimulatedPki.__struct_fields__})


def _load_authority(directory: Path, field: str) -> Authority:
    certificate = x509.load_pem_x509_certificate((directory / f"SIMULATED-{field}.pem").read_bytes())
    key = serialization.load_pem_private_key((directory / f"SIMULATED-{field}.key.pem").read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise ValueError("key and certificate don't belong together")
    return Authority(certificate, key)


def _certificate(
    name: str,
    public_key: ec.EllipticCurvePublicKey,
    issuer: Authority | ec.EllipticCurvePrivateKey,
    now: int,
    end: int,
    *,
    ca_depth: int | None = None,
    crl_url: str = ROOT_CRL_URL,
    extensions: Iterable[x509.ExtensionType] = (),
) -> x509.Certificate:
    """A certificate by `issuer` (a bare key signs for itself). `ca_depth` None makes it an end entity."""
    subject = _name(name)
    signer, issuer_name = (issuer.key, issuer.certificate.subject) if isinstance(issuer, Authority) else (issuer, subject)
    is_ca = ca_depth is not None
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_time(now - _BACKDATED))
        .not_valid_after(_time(end))
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(_crl_distribution(crl_url), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(_key_usage(is_ca), critical=True)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=ca_depth), critical=True)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(signer, hashes.SHA256())


def _name(common_name: str) -> x509.Name:
    attributes = (
        (NameOID.COMMON_NAME, common_name),
        (NameOID.ORGANIZATION_NAME, "OLLM simulated hardware - not secure"),
        (NameOID.LOCALITY_NAME, "Nowhere"),
        (NameOID.STATE_OR_PROVINCE_NAME, "NA"),
        (NameOID.COUNTRY_NAME, "ZZ"),  # ISO 3166 leaves ZZ to its users
    )
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])


def _crl_distribution(url: str) -> x509.CRLDistributionPoints:
    return x509.CRLDistributionPoints(
        [x509.DistributionPoint(full_name=[x509.UniformResourceIdentifier(url)], relative_name=None, reasons=None, crl_issuer=None)]
    )


def _key_usage(is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        content_commitment=not is_ca,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
