"""What appraisal takes in and what an acceptance binds.

A machine is one CPU and any number of devices. Evidence comes from the attester; collateral (endorsements and reference values of
the vendors) is fetched by us, and neither is believed for having been sent.
"""

from typing import TypeAlias

import msgspec

from ollm.values.aci import Keyset
from ollm.values.hexes import Hex32, Sha256


class TdxCollateral(msgspec.Struct, frozen=True, kw_only=True, tag="tdx"):
    """Intel's statements about a platform, in the exact bytes that were signed (PCS API v4).

    `tcb_info` and `qe_identity` are the text of the member of that name, cut out of the answer, never serialised again;
    chains are PEM; CRLs are DER; signatures are 64 bytes, r and s.
    """

    pck_crl_issuer_chain: str
    root_ca_crl: bytes
    pck_crl: bytes
    tcb_info_issuer_chain: str
    tcb_info: str
    tcb_info_signature: bytes
    qe_identity_issuer_chain: str
    qe_identity: str
    qe_identity_signature: bytes


class TdxEvidence(msgspec.Struct, frozen=True, kw_only=True, tag="tdx"):
    """A TDX quote and what explains its measurements."""

    quote: bytes
    event_log: str | None = None  # dstack's JSON
    app_compose: str | None = None
    vm_config: str | None = None  # dstack's JSON of what the host started: unmeasured, read only for what a measurement commits to
    ccel: bytes | None = None  # the CCEL event log of the firmware (TCG PC Client format)


class SnpEvidence(msgspec.Struct, frozen=True, kw_only=True, tag="sev-snp"):
    """An SEV-SNP attestation report, 1184 bytes."""

    report: bytes
    leaf: bytes | None = None  # DER of the VCEK or VLEK as the attester sent it: saves asking AMD, and is judged like one that was asked for


class SnpCollateral(msgspec.Struct, frozen=True, kw_only=True, tag="sev-snp"):
    """AMD's statements about a chip (Key Distribution Service)."""

    leaf: bytes  # DER of the VCEK or VLEK
    chain: str  # PEM: ASK or ASVK, then ARK
    crl: bytes | None = None  # DER, by the ARK


class NitroEvidence(msgspec.Struct, frozen=True, kw_only=True, tag="nitro"):
    """An AWS Nitro attestation document: one COSE_Sign1 item. It carries its own certificates."""

    document: bytes


class NvidiaEvidence(msgspec.Struct, frozen=True, kw_only=True, tag="nvidia"):
    """One GPU's or switch's SPDM exchange and its certificates."""

    report: bytes  # GET_MEASUREMENTS request, then the MEASUREMENTS response
    certificate_chain: str  # PEM, leaf first


class NvidiaCollateral(msgspec.Struct, frozen=True, kw_only=True, tag="nvidia"):
    """NVIDIA's statements about one device."""

    driver_rim: bytes | None = None  # XML; a switch has none
    vbios_rim: bytes | None = None
    ocsp: tuple[bytes, ...] = ()  # DER of OCSP responses about certificates of the device and of the RIM signers


class NrasEvidence(msgspec.Struct, frozen=True, kw_only=True, tag="nras"):
    """NVIDIA's attestation service's word about one or more devices: a detached EAT bundle, JSON."""

    token: bytes


class NrasCollateral(msgspec.Struct, frozen=True, kw_only=True, tag="nras"):
    """The keys of NVIDIA's attestation service: a JWK set, JSON, fetched over TLS from the pinned origin."""

    jwks: bytes


CpuEvidence: TypeAlias = TdxEvidence | SnpEvidence | NitroEvidence
CpuCollateral: TypeAlias = TdxCollateral | SnpCollateral | None  # None: Nitro, or none could be had
DeviceEvidence: TypeAlias = NvidiaEvidence | NrasEvidence
DeviceCollateral: TypeAlias = NvidiaCollateral | NrasCollateral | None


class MachineEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """All evidence of one machine, in the order in which the attester listed its devices."""

    cpu: CpuEvidence
    devices: tuple[DeviceEvidence, ...] = ()


class MachineCollateral(msgspec.Struct, frozen=True, kw_only=True):
    """Collateral for a machine: `devices` in the order of the evidence's."""

    cpu: CpuCollateral
    devices: tuple[DeviceCollateral, ...] = ()


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What the machine must have stated, worked out by whoever asked it: from the channel's key, our nonce and the provider's rule.

    What is None was not asked for, and is then no part of the result.
    """

    report_data: bytes | None = None  # with which the CPU's report data (Nitro: user data) must begin; 64 bytes: all of it
    nonce: bytes | None = None  # ours: one half of the report data (TDX, SNP), or Nitro's own field
    device_nonce: bytes | None = None  # 32 bytes that every device must have signed
    device_binding_at: int = 32  # where in the CPU's report data the 32 bytes stand that commit to the devices
    device_commitment: bytes | None = None  # policy's `nvidia.bound` = hash: what must stand there


class AciEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """What was fetched from one ACI/1 service over one connection."""

    report: bytes  # exact JSON body of GET /v1/aci/attestation?nonce=
    nonce: Hex32  # the one that we sent
    peer_spki_sha256: Hex32 | None  # key of the TLS peer that answered; None when there was no TLS
    hpke_key_config: bytes | None  # exact body of GET /.well-known/hpke-keys, where the route seals


class CollateralNeed(msgspec.Struct, frozen=True):
    """Which collateral a quote calls for: the platform's FMSPC (12 uppercase hex) and its PCK CA (platform or processor)."""

    fmspc: str
    ca: str


class Binding(msgspec.Struct, frozen=True):
    """What accepted evidence vouches for. `quote_identity` is SHA-256 of header and TD report: the bytes around them are malleable."""

    keyset: Keyset
    keyset_digest: Sha256
    spki_sha256: Hex32 | None  # None only when no channel was asked for
    hpke_public_key: bytes | None  # present only when sealing was required, attested and served
    quote_identity: Hex32
    field_key: tuple[str, bytes] | None = None  # algorithm and key of ACI's field encryption, only where it was demanded
