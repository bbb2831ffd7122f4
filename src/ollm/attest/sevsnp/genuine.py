"""Whether a report is genuine: signed by the key of a chip, or of a provider, that AMD vouches for now. Each function is one check.

Roots are types. `VendorRoot` knows AMD's root key of each product line and takes no argument, so no configuration can replace it;
`SimulatedRoot` exists only for a policy that pins one, and such a policy accepts nothing of AMD's. A root is its public key: the
certificate around it comes with the collateral, signed by that key.
"""

import hashlib
from functools import lru_cache

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509.oid import NameOID, SignatureAlgorithmOID

from ollm.attest.certificates import (
    Period,
    certificate_period,
    check_authority,
    check_crl,
    check_issued,
    check_not_revoked,
    crl_period,
    load_chain,
    load_crl,
    refusing,
)
from ollm.attest.evidence import SnpCollateral
from ollm.attest.sevsnp.endorsement import Endorsement, read_endorsement
from ollm.attest.sevsnp.layout import SnpReport
from ollm.attest.sevsnp.product import product_of_cpuid
from ollm.errors import EvidenceRefused
from ollm.values.policy import SnpPolicy

# SHA-256 of the SubjectPublicKeyInfo of "ARK-<product>", https://kdsintf.amd.com/vcek/v1/<product>/cert_chain and, the same, …/vlek/v1/….
AMD_ROOTS = {
    "Milan": "9f056bee44377e29308cb5ffa895bdfb62d18881fa6bed8d6f075b0204089cb9",  # 2020 to 2045
    "Genoa": "429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831",  # 2022 to 2047
    "Turin": "4f125410563a2ab9a50356f9243f6fe0b6f73de98603f53f90339c70e9d7ad08",  # 2023 to 2048
}
MAX_CHAIN = 16 * 1024  # characters of PEM; real ones have 4.7 KB
MAX_CRL = 1024 * 1024  # real ones have 0.9 KB

_SIGNING_KEYS = {0: "vcek", 1: "vlek"}  # SIGNING_KEY; 7 is none
_ECDSA_P384_SHA384 = 1  # SIGNATURE_ALGO
_CA_NAMES = {"vcek": "SEV-{}", "vlek": "SEV-VLEK-{}"}
_LEAF_NAMES = {"vcek": "SEV-VCEK", "vlek": "SEV-VLEK"}


class VendorRoot:
    """AMD's roots, one for each product line."""

    simulated = False

    def sha256(self, product: str) -> str:
        """SHA-256 of the public key of the root of `product`, one of `PRODUCTS`."""
        return AMD_ROOTS[product]


class SimulatedRoot:
    """The root of one installation's simulated hardware, named by its SHA-256 in the policy that admits it."""

    simulated = True

    def __init__(self, sha256: str) -> None:
        self._sha256 = sha256

    def sha256(self, product: str) -> str:
        """The same for each `product`: the policy pins one."""
        return self._sha256


def root_of(policy: SnpPolicy) -> VendorRoot | SimulatedRoot:
    """The one kind of root that `policy` admits."""
    return VendorRoot() if policy.simulated_root_sha256 is None else SimulatedRoot(policy.simulated_root_sha256)


class Endorsements(msgspec.Struct, frozen=True):
    """Collateral, parsed; nothing in it is verified yet."""

    leaf: Endorsement
    ca: x509.Certificate  # ASK or ASVK
    root: x509.Certificate  # ARK
    crl: x509.CertificateRevocationList | None
    periods: tuple[Period, ...]


@lru_cache(maxsize=16)
def read_collateral(collateral: SnpCollateral) -> Endorsements:
    """Parse `collateral`; the same bytes are parsed once, refusals each time. Raises: EvidenceRefused with snp.collateral or snp.certificate."""
    check = "snp.collateral"
    if len(collateral.chain) > MAX_CHAIN:
        raise EvidenceRefused(check, f"chain of {len(collateral.chain)} characters", f"at most {MAX_CHAIN}")
    if collateral.crl is not None and len(collateral.crl) > MAX_CRL:
        raise EvidenceRefused(check, f"CRL of {len(collateral.crl)} bytes", f"at most {MAX_CRL}")
    chain = load_chain(collateral.chain, check, "AMD's chain")
    if len(chain) != 2:
        raise EvidenceRefused(check, f"{len(chain)} certificates in AMD's chain", "2: ASK or ASVK, then ARK")
    leaf = read_endorsement(collateral.leaf)
    crl = None if collateral.crl is None else load_crl(collateral.crl, check, "AMD's CRL")
    with refusing(check, "dates that no calendar holds", "certificates with a period"):
        periods = (
            certificate_period(leaf.certificate, leaf.signing_key.upper()),
            certificate_period(chain[0], "ASK or ASVK"),
            certificate_period(chain[1], "ARK"),
            *(() if crl is None else (crl_period(crl, check, "AMD's CRL"),)),
        )
    return Endorsements(leaf, chain[0], chain[1], crl, periods)


def check_signing_key(report: SnpReport, leaf: Endorsement) -> None:
    """The report was signed at all, in the one algorithm there is, by a key of the certificate's kind. Raises: EvidenceRefused."""
    check = "snp.signing_key"
    if report.signature_algorithm != _ECDSA_P384_SHA384:
        raise EvidenceRefused(check, f"signature algorithm {report.signature_algorithm}", "1, ECDSA P-384 with SHA-384")
    if report.chip_key_masked:
        raise EvidenceRefused(check, "MASK_CHIP_KEY: firmware that was told not to sign", "a signed report")
    if _SIGNING_KEYS.get(report.signing_key) != leaf.signing_key:
        raise EvidenceRefused(
            check, f"signing key {report.signing_key} and the certificate of a {leaf.signing_key.upper()}", "0 and VCEK, or 1 and VLEK"
        )


def check_product(report: SnpReport, leaf: Endorsement) -> None:
    """The certificate's product line is that of the CPU that the report names; version 2 names none. Raises: EvidenceRefused."""
    if report.cpuid is not None and product_of_cpuid(report.cpuid) != leaf.product:
        cpu = f"family {report.cpuid.family:#x}, model {report.cpuid.model:#x}"
        raise EvidenceRefused("snp.product", f"a CPU of {cpu} and a certificate of {leaf.product}", "one product line")


def check_root(endorsements: Endorsements, root: VendorRoot | SimulatedRoot) -> None:
    """The chain's root key is the one pinned for the certificate's product line. Raises: EvidenceRefused."""
    with refusing("snp.root", "a root with a key that can't be read", "AMD's"):
        key = endorsements.root.public_key()
        digest = hashlib.sha256(key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).hexdigest()
    want = root.sha256(endorsements.leaf.product)
    if digest != want:
        raise EvidenceRefused("snp.root", f"a root key with SHA-256 {digest}", f"{want}, of {endorsements.leaf.product}")


def check_chain(endorsements: Endorsements) -> None:
    """ARK signed itself and the ASK (VCEK) or ASVK (VLEK) of its product, and that the leaf; each is what it signs as.

    Raises: EvidenceRefused.
    """
    check, leaf, kind = "snp.chain", endorsements.leaf.certificate, endorsements.leaf.signing_key
    for certificate, issuer, name in (
        (endorsements.root, endorsements.root, "ARK"),
        (endorsements.ca, endorsements.root, "ASK or ASVK"),
        (leaf, endorsements.ca, kind.upper()),
    ):
        _check_algorithm(certificate, check, name)
        check_issued(certificate, issuer, check, name)
    check_authority(endorsements.root, 1, check, "ARK")
    check_authority(endorsements.ca, 0, check, "ASK or ASVK")
    # The names are what tells AMD's two intermediate CAs apart: a provider's keys must not come from that of the chips, nor the reverse.
    _check_name(endorsements.ca, _CA_NAMES[kind].format(endorsements.leaf.product), check)
    _check_name(leaf, _LEAF_NAMES[kind], check)


def check_revocation(endorsements: Endorsements) -> None:
    """The CRL is the ARK's, about all that it certifies, and lists neither ASK or ASVK nor leaf. Raises: EvidenceRefused."""
    check, crl = "snp.revocation", endorsements.crl
    if crl is None:
        raise EvidenceRefused(check, "no CRL", "one by the ARK")
    _check_algorithm(crl, check, "CRL")
    check_crl(crl, endorsements.root, check, "CRL")
    with refusing(check, "a CRL or ARK with malformed extensions", "well-formed ones"):
        critical = any(extension.critical for extension in crl.extensions)
        may_revoke = endorsements.root.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    if not may_revoke:
        raise EvidenceRefused(check, "an ARK that may not sign CRLs", "one whose key usage says so")
    if critical:  # such as issuingDistributionPoint, which would make it a list of some only (RFC 5280 §5.2)
        raise EvidenceRefused(check, "a CRL with a critical extension", "one about all certificates of the ARK")
    check_not_revoked(crl, endorsements.ca, check, "ASK or ASVK")
    # VCEKs share serial number 0. AMD has listed none; an entry with it would revoke all of them, which is the safe way to read it.
    check_not_revoked(crl, endorsements.leaf.certificate, check, endorsements.leaf.signing_key.upper())


def check_chip(report: SnpReport, leaf: Endorsement) -> None:
    """A VCEK is of the very chip that made the report; a VLEK is of no chip. Raises: EvidenceRefused."""
    if leaf.chip_id is not None and leaf.chip_id != report.chip_id:
        raise EvidenceRefused("snp.chip", f"chip {report.chip_id.hex()}", f"{leaf.chip_id.hex()}, which the VCEK belongs to")


def check_endorsed_tcb(report: SnpReport, leaf: Endorsement) -> None:
    """The certificate is for exactly the TCB that the report states. Raises: EvidenceRefused.

    Lower would be old firmware that says it is new; higher, a key of firmware that is not the one reporting. The chip derives the key
    from the TCB, so only equality can be honest.
    """
    if leaf.tcb != report.reported_tcb:
        raise EvidenceRefused("snp.endorsed_tcb", f"reported TCB {report.reported_tcb.hex()}", f"{leaf.tcb.hex()}, as the certificate says")


def check_signature(report: SnpReport, leaf: Endorsement) -> None:
    """The leaf's key signed the report. Raises: EvidenceRefused."""
    check, want = "snp.signature", "a signature of the report by the certified key"
    with refusing(check, "a certificate with a key that can't be read", "ECDSA P-384"):
        key = leaf.certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise EvidenceRefused(check, "a key of another kind", "ECDSA P-384")
    try:
        key.verify(encode_dss_signature(report.r, report.s), report.signed, ec.ECDSA(hashes.SHA384()))
    except InvalidSignature:
        raise EvidenceRefused(check, "a signature that does not verify", want) from None


def _check_algorithm(signed: x509.Certificate | x509.CertificateRevocationList, check: str, name: str) -> None:
    """AMD signs certificates and CRLs with RSASSA-PSS and SHA-384 only (57230). Raises: EvidenceRefused."""
    with refusing(check, f"{name} with an unknown signature algorithm", "RSASSA-PSS with SHA-384"):
        algorithm, digest = signed.signature_algorithm_oid, signed.signature_hash_algorithm
    if algorithm != SignatureAlgorithmOID.RSASSA_PSS or not isinstance(digest, hashes.SHA384):
        raise EvidenceRefused(check, f"{name} signed with another algorithm", "RSASSA-PSS with SHA-384")


def _check_name(certificate: x509.Certificate, want: str, check: str) -> None:
    """The one common name is `want`. Raises: EvidenceRefused."""
    with refusing(check, "a certificate with a malformed name", want):
        names = [str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names != [want]:
        raise EvidenceRefused(check, f"a certificate of {', '.join(names)[:80]!a}", want)
