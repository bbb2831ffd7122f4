"""What appraisal takes in and what an acceptance binds."""

import msgspec

from ollm.values.aci import Keyset
from ollm.values.hexes import Hex32, Sha256


class TdxCollateral(msgspec.Struct, frozen=True, kw_only=True):
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
