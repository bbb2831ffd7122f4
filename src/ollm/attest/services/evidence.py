"""What was fetched from one service, whatever its provider, and what an acceptance of it binds.

Documents are kept as the exact bytes that came, by the role that the provider's adapter gave them; everything else is read out of them
by `attest.services.<shape>`, so that anyone who has this value can judge it again.
"""

from typing import Literal, TypeAlias

import msgspec

from ollm.attest.evidence import MachineCollateral
from ollm.values.aci import Keyset
from ollm.values.hexes import Hex32, Sha256
from ollm.values.structs import resolved

Shape: TypeAlias = Literal[
    "aci",  # ACI/1, private-ai-gateway and ourselves
    "dstack",  # flat report of a signer in a dstack machine: NEAR's model endpoints, vllm-proxy
    "near-gateway",  # NEAR AI Cloud: the gateway's report and those of its models
    "chutes",  # one entry for each instance, with an ML-KEM key
    "tinfoil-v2",
    "tinfoil-v3-june",  # v3 as it was in June 2026
    "tinfoil-v3",
    "privatemode",
]
# Who holds the key that is sealed to: this machine alone, every machine to which a KMS gives the keys of an application, nobody knows.
Custody: TypeAlias = Literal["instance", "app_kms", "unknown"]


class ServiceEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """All that was fetched for one verification, over one connection where the provider allows it."""

    documents: dict[str, bytes]  # by role: report, hpke_keys, …
    nonce: Hex32  # the one that we sent
    host: str  # that was connected to, without the port
    peer_spki_sha256: Hex32 | None  # key of the TLS peer that answered; None when there was no TLS
    model: str | None = None  # as the provider names it, where evidence is of one model


class SealingKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that bodies can be sealed to, attested."""

    cipher: str  # ehbp, near-e2ee-v2, aci-e2ee-v2, chutes-e2ee-v1, privatemode-v1
    algorithm: str  # for the session document: what kind of key it is
    public_key: bytes
    custody: Custody


class AnswerSigner(msgspec.Struct, frozen=True):
    """A key that signs what the machine answered, attested."""

    algorithm: Literal["ed25519", "ecdsa"]  # ecdsa: secp256k1, named by its Ethereum address
    address: str  # lowercase hex: 64 of a key, or 40 of an address


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """What accepted evidence vouches for."""

    spkis: tuple[Hex32, ...]  # keys at which the channel may end; none: the evidence names no channel, and bodies must be sealed
    channel_custody: Custody = "instance"
    sealing: tuple[SealingKey, ...] = ()  # the one to use first
    signer: AnswerSigner | None = None
    identity: dict[str, str] = {}  # for the session document: quote_identity, and what names the machine or its software
    keyset: Keyset | None = None  # ACI services
    keyset_digest: Sha256 | None = None


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """What the route needs of the evidence. `channel`: it must bind the key of the TLS peer; `seal`: it must bind a key to seal to.

    `cipher`: the one that the key must be for, where a shape can bind keys for several; None: the shape's first.
    """

    shapes: tuple[Shape, ...]  # that the adapter understands; a report of another is refused
    channel: bool = True
    seal: bool = True
    cipher: str | None = None


@resolved
class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What a session keeps, so that anyone can judge it again: evidence, the collateral of each machine in it, statements, time."""

    evidence: ServiceEvidence
    collateral: tuple[MachineCollateral, ...]
    statements: tuple[bytes, ...] = ()  # Sigstore bundles and signed reference values, as they were fetched
    demand: Demand
    appraised_at: int  # Unix seconds
