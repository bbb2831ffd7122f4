"""Whether a document is genuine: signed by a key that the pinned root vouches for, all of whose certificates are valid now.

    pinned root (cabundle[0]) ── region ── zone ── instance (cabundle[-1]) ── enclave (certificate, about three hours)

The root is taken from the pin: the document's copy must be it, byte for byte. There is no revocation: the hierarchy's own answer is that
its certificates below the root live for weeks, days, a day and hours, and AWS asks verifiers not to look for CRLs (§3.2.4).

Source: AWS Nitro Enclaves NSM API, docs/attestation_process.md, §3.2.3 and §3.2.4.
"""

import hashlib
from collections.abc import Sequence
from itertools import pairwise

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from ollm.attest.certificates import Period, certificate_period, check_authority, check_issued, check_signer, load_certificate, refusing
from ollm.attest.nitro.layout import NitroDocument
from ollm.errors import EvidenceRefused
from ollm.values.policy import NitroPolicy

# SHA-256 of the DER of "aws.nitro-enclaves", G1, https://aws-nitro-enclaves.amazonaws.com/AWS_NitroEnclaves_Root-G1.zip (2019 to 2049)
AWS_ROOT_SHA256 = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"

_COORDINATE = 48  # bytes on P-384


class VendorRoot:
    """AWS's root. It takes no argument, so no configuration can replace it."""

    sha256 = AWS_ROOT_SHA256
    simulated = False


class SimulatedRoot:
    """The root of one installation's simulated hardware, named by its SHA-256 in the policy that admits it."""

    simulated = True

    def __init__(self, sha256: str) -> None:
        self.sha256 = sha256


def root_of(policy: NitroPolicy) -> VendorRoot | SimulatedRoot:
    """The one root that `policy` admits."""
    return VendorRoot() if policy.simulated_root_sha256 is None else SimulatedRoot(policy.simulated_root_sha256)


class Chain(msgspec.Struct, frozen=True):
    """The certificates of a document, parsed."""

    leaf: x509.Certificate
    authorities: tuple[x509.Certificate, ...]  # issuer of the leaf first, root last

    @property
    def periods(self) -> tuple[Period, ...]:
        names = ["enclave certificate", *(f"CA certificate {index}" for index in range(len(self.authorities), 0, -1))]
        return tuple(certificate_period(certificate, name) for certificate, name in zip((self.leaf, *self.authorities), names, strict=True))


def check_root(cabundle: Sequence[bytes], root: VendorRoot | SimulatedRoot) -> None:
    """The bundle's first certificate is, byte for byte, the pinned root. Raises: EvidenceRefused with nitro.root."""
    digest = hashlib.sha256(cabundle[0]).hexdigest()
    if digest != root.sha256:
        raise EvidenceRefused("nitro.root", f"root with SHA-256 {digest}", root.sha256)


def load_chain(document: NitroDocument) -> Chain:
    """Parse the certificates. Raises: EvidenceRefused with nitro.chain."""
    leaf, *authorities = (load_certificate(der, "nitro.chain") for der in (document.certificate, *reversed(document.cabundle)))
    return Chain(leaf, tuple(authorities))


def check_chain(chain: Chain) -> None:
    """Each authority may certify so deep and issued the one below it; the leaf may sign documents. Raises: EvidenceRefused with nitro.chain."""
    check = "nitro.chain"
    check_signer(chain.leaf, check, "enclave certificate")
    for below, authority in enumerate(chain.authorities):
        check_authority(authority, below, check, f"CA certificate {len(chain.authorities) - below}")
    for certificate, issuer in pairwise((chain.leaf, *chain.authorities)):
        check_issued(certificate, issuer, check, "certificate")


def check_signature(document: NitroDocument, leaf: x509.Certificate) -> None:
    """The leaf's key signed the document. Raises: EvidenceRefused with nitro.signature."""
    check, want = "nitro.signature", "one of the document by the certified key"
    with refusing(check, "a certificate with a key that can't be read", "ECDSA P-384"):
        key = leaf.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise EvidenceRefused(check, "a key of another kind", "ECDSA P-384")
    r, s = document.signature[:_COORDINATE], document.signature[_COORDINATE:]
    try:
        key.verify(encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big")), document.signed, ec.ECDSA(hashes.SHA384()))
    except InvalidSignature:
        raise EvidenceRefused(check, "a signature that does not verify", want) from None
