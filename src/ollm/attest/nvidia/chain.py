"""Certificates of NVIDIA: a device's chain, a signer's chain, and what they say of the device.

    leaf            the firmware that signs reports, certified inside the chip at each boot; carries the firmware's digest (FWID)
    chip            the chip's own key, in ROM; its serial number names the chip
    provisioner     who certified chips of this model in the factory
    model           NVIDIA GH100 Identity, …
    root            NVIDIA Device Identity CA

Every key is on P-384 and every signature ECDSA with SHA-384. Roots are types: the vendor's take no argument, so no configuration can
replace them; `SimulatedRoot` exists only for a policy that pins one, and such a policy accepts nothing of the vendor's.

Sources: RFC 5280 §6.1 (path validation); DMTF DSP0274 1.1 §10.7.1 (device information in the subject's alternative name).
"""

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID, NameOID, SignatureAlgorithmOID

from ollm.attest import certificates
from ollm.attest.certificates import Period, refusing
from ollm.attest.nvidia import layout
from ollm.attest.nvidia.layout import Report
from ollm.errors import EvidenceRefused
from ollm.values.policy import NvidiaPolicy

DEVICE_ROOT_SHA256 = "102bf659d5419614c9d8e6aecebc80454eb26b1df6a769ac720b9a690b167b48"  # DER of "NVIDIA Device Identity CA", 2021 to 9999
RIM_ROOT_SHA256 = "12977b5115acb0381179279fffeb5a8c4d264971ebb32298023a465fa41df5d1"  # DER of "NVIDIA CoRIM signing Root CA", 2023 to 2053

MAX_CHAIN = 32 * 1024  # characters of PEM; real ones have 5 KB
DEVICE_NAMES = ("device certificate", "chip certificate", "provisioner certificate", "model certificate", "root certificate")

DEVICE_INFO_OID = "1.3.6.1.4.1.412.274.1"
_KNOWN_CRITICAL = (ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE, ExtensionOID.EXTENDED_KEY_USAGE)
_DEVICE_INFO = re.compile(rb"\x0c[\x00-\x7f]NVIDIA:([0-9A-Z_]{2,16}):([0-9A-F]{4,32})", re.DOTALL)
_BLACKWELL = re.compile(r"GB[0-9]{2}[0-9A-F]")
_SWITCH_BLOCKS = 31
_GPU_BLOCKS = 64


class VendorDeviceRoot:
    """NVIDIA's root of devices."""

    sha256 = DEVICE_ROOT_SHA256
    simulated = False


class VendorRimRoot:
    """NVIDIA's root of reference files."""

    sha256 = RIM_ROOT_SHA256
    simulated = False


class SimulatedRoot:
    """The root of one installation's simulated devices, or of their reference files, named by its SHA-256 in the policy that admits it."""

    simulated = True

    def __init__(self, sha256: str) -> None:
        self.sha256 = sha256


def device_root(policy: NvidiaPolicy) -> VendorDeviceRoot | SimulatedRoot:
    """The one root of devices that `policy` admits."""
    return VendorDeviceRoot() if policy.simulated_root_sha256 is None else SimulatedRoot(policy.simulated_root_sha256)


def rim_root(policy: NvidiaPolicy) -> VendorRimRoot | SimulatedRoot:
    """The one root of reference files that `policy` admits."""
    return VendorRimRoot() if policy.simulated_rim_root_sha256 is None else SimulatedRoot(policy.simulated_rim_root_sha256)


class Device(msgspec.Struct, frozen=True):
    """What the certificates say a device is."""

    kind: str  # gpu or switch
    model: str  # Hopper, Blackwell, LS10
    chip: str  # as NVIDIA's reference files name it: GH100, GB100, LS10
    serial: str  # of the leaf, hex: another with each firmware
    chip_serial: str  # of the chip's own certificate, hex: the same for life


def load_device_chain(pem: str) -> tuple[x509.Certificate, ...]:
    """Parse the five certificates of a device, leaf first. Raises: EvidenceRefused with device.certificates or device.chain."""
    if len(pem) > MAX_CHAIN:
        raise EvidenceRefused("device.certificates", f"{len(pem)} characters", f"at most {MAX_CHAIN}")
    chain = tuple(certificates.load_chain(pem, "device.certificates", "a text"))
    if len(chain) != len(DEVICE_NAMES):
        raise EvidenceRefused("device.chain", f"{len(chain)} certificates", f"{len(DEVICE_NAMES)}: {', '.join(DEVICE_NAMES)}")
    return chain


def der(certificate: x509.Certificate) -> bytes:
    """The bytes of `certificate`."""
    return certificate.public_bytes(Encoding.DER)


def check_root(chain: Sequence[x509.Certificate], root: VendorDeviceRoot | VendorRimRoot | SimulatedRoot, check: str) -> None:
    """The last certificate is, byte for byte, the pinned root. Raises: EvidenceRefused naming `check`."""
    digest = hashlib.sha256(der(chain[-1])).hexdigest()
    if digest != root.sha256:
        raise EvidenceRefused(check, f"root with SHA-256 {digest}", root.sha256)


def periods(chain: Sequence[x509.Certificate], names: Sequence[str], check: str) -> tuple[Period, ...]:
    """When each certificate of `chain` holds. Raises: EvidenceRefused naming `check` for times that no calendar has."""
    with refusing(check, "a certificate whose validity can't be read", "well-formed times"):
        return tuple(certificates.certificate_period(certificate, name) for certificate, name in zip(chain, names, strict=True))


def check_chain(chain: Sequence[x509.Certificate], names: Sequence[str], check: str) -> None:
    """Each certificate was issued by the one after it, which may do so; the first signs and is no CA. Raises: EvidenceRefused."""
    _check_leaf(chain[0], check, names[0])
    for below, (certificate, issuer) in enumerate(pairwise(chain)):
        _check_link(der(certificate), der(issuer), below, check, (names[below], names[below + 1]))


# A fact about these very bytes, whatever the time and the policy: chains of different devices and files share most of their links.
@lru_cache(maxsize=512)
def _check_link(certificate_der: bytes, issuer_der: bytes, below: int, check: str, names: tuple[str, str]) -> None:
    """`issuer` is named in `certificate`, signed it with ECDSA on P-384 and SHA-384, and may do so with `below` CAs under it."""
    certificate, issuer = certificates.load_certificate(certificate_der, check), certificates.load_certificate(issuer_der, check)
    with refusing(check, f"{names[0]} with another kind of key or signature", "ECDSA on P-384 with SHA-384"):
        p384_key(certificate)
        p384_key(issuer)
        if certificate.signature_algorithm_oid != SignatureAlgorithmOID.ECDSA_WITH_SHA384:
            raise ValueError("algorithm")
    certificates.check_issued(certificate, issuer, check, names[0])
    certificates.check_authority(issuer, below, check, names[1])


def p384_key(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """The key of `certificate`. Raises: ValueError for one that is not on P-384."""
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise ValueError("key")
    return key


def _check_leaf(leaf: x509.Certificate, check: str, name: str) -> None:
    """Leaves of NVIDIA's devices and some responders' have no basic constraints, which makes them no CA (RFC 5280 §4.2.1.9)."""
    with refusing(check, f"{name} whose extensions can't be read", "well-formed ones"):
        values = {extension.oid: extension.value for extension in leaf.extensions}
        unknown = [extension.oid for extension in leaf.extensions if extension.critical and extension.oid not in _KNOWN_CRITICAL]
    constraints, usage = values.get(ExtensionOID.BASIC_CONSTRAINTS), values.get(ExtensionOID.KEY_USAGE)
    is_ca = isinstance(constraints, x509.BasicConstraints) and constraints.ca
    if unknown or is_ca or not isinstance(usage, x509.KeyUsage) or not usage.digital_signature:
        raise EvidenceRefused(check, f"{name} of another purpose", "one that signs, is no CA, and has no critical extension that is unknown")


def identify(chain: Sequence[x509.Certificate]) -> Device:
    """What device a chain is of; its leaf and the factory's certificate must agree. Raises: EvidenceRefused with device.architecture."""
    leaf, chip, provisioner = chain[0], chain[1], chain[2]
    with refusing("device.architecture", "a certificate whose names can't be read", "well-formed ones"):
        product = _product(leaf)
        words = " ".join(str(name.value) for name in provisioner.subject.get_attributes_for_oid(NameOID.COMMON_NAME)).split()
    if product not in words:
        raise EvidenceRefused("device.architecture", f"{product!a} by a provisioner of another", "a device of the provisioner's model")
    serials = f"{leaf.serial_number:x}", f"{chip.serial_number:x}"
    if product == "GH100":
        return Device("gpu", "Hopper", product, *serials)
    if product == "LS_10":
        return Device("switch", "LS10", "LS10", *serials)
    if _BLACKWELL.fullmatch(product):
        return Device("gpu", "Blackwell", product, *serials)
    raise EvidenceRefused("device.architecture", f"chip {product!a}", "Hopper, Blackwell or LS10")


def _product(leaf: x509.Certificate) -> str:
    """The model in the leaf's device information, NVIDIA:GH100:<number>. Raises: ValueError."""
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.OtherName)
    infos = [_DEVICE_INFO.fullmatch(name.value) for name in names if name.type_id.dotted_string == DEVICE_INFO_OID]
    if len(infos) != 1 or infos[0] is None:
        raise ValueError("device information")
    return infos[0][1].decode()


def check_report(report: Report, device: Device) -> None:
    """The report has the shape of that kind of device, and if it names a chip, the same. Raises: EvidenceRefused."""
    blocks = _SWITCH_BLOCKS if device.kind == "switch" else _GPU_BLOCKS
    if len(report.measurements) != blocks:
        raise EvidenceRefused("device.architecture", f"{len(report.measurements)} measurements", f"{blocks} of a {device.kind}")
    stated = report.opaque.get(layout.CHIP)
    if stated is not None and stated.rstrip(b"\x00") != device.chip.encode():
        raise EvidenceRefused("device.architecture", f"a report of {stated[:40]!a}", device.chip)


def check_signature(report: Report, leaf: x509.Certificate) -> None:
    """The device's firmware signed the request and its answer. Raises: EvidenceRefused with device.signature."""
    r, s = report.signature[:48], report.signature[48:]
    signature = encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
    with refusing("device.signature", "a signature by another key or of other bytes", "the device's, of this report"):
        p384_key(leaf).verify(signature, report.signed, ec.ECDSA(hashes.SHA384()))
