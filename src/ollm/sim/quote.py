"""Bytes of TDX quotes, version 4 and 5, as Intel's Quoting Enclave lays them out. Integers are little endian.

    header 48 | body | u32 length | authentication data
    version 4: body = TD report 584
    version 5: body = u16 type 3 | u32 size 648 | TD report 584 | TEE_TCB_SVN_2 16 | MR_SERVICETD 48, or
                      u16 type 2 | u32 size 584 | TD report 584
    authentication data = signature over header and body 64 | attestation key 64 | u16 type 6 | u32 length |
        QE report 384 | its signature by the PCK key 64 | u16 length | QE authentication data | u16 type 5 | u32 length | PCK chain, PEM

Source: Intel TDX DCAP Quoting Library API, appendix 3.1 to 3.9 (structures of quote versions 4 and 5).
"""

import hashlib

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

INTEL_QE_VENDOR = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
TEE_TYPE_TDX = 0x81
SEPT_VE_DISABLE = 1 << 28  # TD attributes: must be set, else the host can inject exceptions by unmapping pages
MIGRATABLE = 1 << 29  # TD attributes: the machine may move to other hardware
DEBUG = 1 << 0  # TD attributes: the host can read the machine
_ECDSA_P256 = 2
TD_1_0, TD_1_5 = 2, 3  # body types of version 5
_QE_REPORT_DATA = 6  # certification data: QE report, its signature, and nested certification data
_PCK_CHAIN = 5  # certification data: leaf, CA, root, concatenated PEM

_SHA256 = ec.ECDSA(hashes.SHA256())


class TdReport(msgspec.Struct, frozen=True, kw_only=True):
    """State of a trust domain, fields in the order of the bytes."""

    tee_tcb_svn: bytes = bytes.fromhex("06010300000000000000000000000000")  # module build 6, module version 1, loader 3
    mr_seam: bytes
    mr_signer_seam: bytes = bytes(48)  # zero: a module signed by the vendor
    seam_attributes: bytes = bytes(8)
    td_attributes: bytes = SEPT_VE_DISABLE.to_bytes(8, "little")
    xfam: bytes = bytes.fromhex("e702060000000000")  # extended features: x87 to AMX
    mrtd: bytes
    mr_config_id: bytes
    mr_owner: bytes = bytes(48)
    mr_owner_config: bytes = bytes(48)
    rtmr0: bytes
    rtmr1: bytes
    rtmr2: bytes
    rtmr3: bytes
    report_data: bytes = bytes(64)

    def encode(self) -> bytes:
        """The 584 bytes. Raises: ValueError for a field of the wrong size."""
        for field, size in _SIZES.items():
            if len(getattr(self, field)) != size:
                raise ValueError(f"{field} takes {size} bytes, got {len(getattr(self, field))}")
        return b"".join([getattr(self, field) for field in _SIZES])


_SIZES = {
    "tee_tcb_svn": 16,
    "mr_seam": 48,
    "mr_signer_seam": 48,
    "seam_attributes": 8,
    "td_attributes": 8,
    "xfam": 8,
    "mrtd": 48,
    "mr_config_id": 48,
    "mr_owner": 48,
    "mr_owner_config": 48,
    "rtmr0": 48,
    "rtmr1": 48,
    "rtmr2": 48,
    "rtmr3": 48,
    "report_data": 64,
}


class QeReport(msgspec.Struct, frozen=True, kw_only=True):
    """The Quoting Enclave's own SGX report."""

    cpu_svn: bytes
    mr_enclave: bytes
    mr_signer: bytes = bytes.fromhex("dc9e2a7c6f948f17474e34a7fc43ed030f7c1563f1babddf6340c82e0e54a8c5")  # signer of the production TD_QE
    attributes: bytes = bytes.fromhex("1500000000000000e700000000000000")
    isv_prod_id: int = 2
    isv_svn: int = 6

    def encode(self, report_data: bytes) -> bytes:
        """The 384 bytes; `report_data` (64) commits to the attestation key."""
        return b"".join(
            (
                self.cpu_svn,
                bytes(4 + 28),  # MISCSELECT, reserved
                self.attributes,
                self.mr_enclave,
                bytes(32),
                self.mr_signer,
                bytes(96),
                self.isv_prod_id.to_bytes(2, "little"),
                self.isv_svn.to_bytes(2, "little"),
                bytes(60),
                report_data,
            )
        )


class QuotingEnclave:
    """An attestation key, vouched for by a platform's PCK key. What doesn't depend on the quoted TD is computed once."""

    def __init__(
        self, attestation_key: ec.EllipticCurvePrivateKey, pck_key: ec.EllipticCurvePrivateKey, pck_chain: str, report: QeReport, auth_data: bytes
    ) -> None:
        """`pck_chain` is the PEM of leaf, CA and root; `auth_data` is 32 bytes of the enclave's choice."""
        self._key = attestation_key
        public_key = raw_public_key(attestation_key.public_key())
        qe_report = report.encode(hashlib.sha256(public_key + auth_data).digest() + bytes(32))
        chain = pck_chain.encode() + b"\x00"
        vouched = (
            qe_report
            + ecdsa_raw(pck_key, qe_report)
            + len(auth_data).to_bytes(2, "little")
            + auth_data
            + _PCK_CHAIN.to_bytes(2, "little")
            + len(chain).to_bytes(4, "little")
            + chain
        )
        self._vouched_key = public_key + _QE_REPORT_DATA.to_bytes(2, "little") + len(vouched).to_bytes(4, "little") + vouched

    def quote(
        self,
        td_report: TdReport,
        *,
        version: int = 4,
        body: int = TD_1_5,
        tee_tcb_svn_2: bytes | None = None,
        mr_service_td: bytes = bytes(48),
    ) -> bytes:
        """A quote over `td_report`. `body`, `tee_tcb_svn_2` (16; None: the same module still runs) and `mr_service_td` (48) are of version 5."""
        signed = _header(version)
        if version == 5:
            second = b"" if body == TD_1_0 else (tee_tcb_svn_2 or td_report.tee_tcb_svn) + mr_service_td
            report = td_report.encode() + second
            signed += body.to_bytes(2, "little") + len(report).to_bytes(4, "little") + report
        else:
            signed += td_report.encode()
        authentication = ecdsa_raw(self._key, signed) + self._vouched_key
        return signed + len(authentication).to_bytes(4, "little") + authentication


def _header(version: int) -> bytes:
    return (
        version.to_bytes(2, "little")
        + _ECDSA_P256.to_bytes(2, "little")
        + TEE_TYPE_TDX.to_bytes(4, "little")
        + bytes(4)  # SVNs of QE and PCE in old versions; reserved
        + INTEL_QE_VENDOR
        + bytes(20)
    )


def ecdsa_raw(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    """ECDSA P-256 SHA-256 signature as r ‖ s, big endian: the form in quotes and in signed collateral."""
    r, s = decode_dss_signature(key.sign(message, _SHA256))
    return r.to_bytes(32) + s.to_bytes(32)


def raw_public_key(key: ec.EllipticCurvePublicKey) -> bytes:
    """A P-256 point as x ‖ y."""
    numbers = key.public_numbers()
    return numbers.x.to_bytes(32) + numbers.y.to_bytes(32)
