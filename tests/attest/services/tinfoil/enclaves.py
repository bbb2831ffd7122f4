"""Enclaves of Tinfoil's, minted once, and the way of their documents through the door."""

from functools import cache
from typing import Any

import msgspec

from ollm.attest.evidence import MachineCollateral
from ollm.attest.services import door
from ollm.attest.services.evidence import Bound, Demand, ServiceEvidence
from ollm.attest.services.question import Question
from ollm.sim import reference
from ollm.sim.machine import SimulatedMachine
from ollm.sim.pki import create_pki
from ollm.testing.mint import nvidia
from ollm.testing.mint import tinfoil as mint
from ollm.testing.mint.provenance import built, verified
from ollm.testing.mint.snp import SnpMachine
from ollm.testing.mint.snp_certificates import create_pki as create_snp_pki
from ollm.values.checks import Appraisal
from ollm.values.hexes import Hex32
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy, ServicePolicy
from ollm.values.provenance import BuildIdentity, ProvenancePolicy, VerifiedStatement
from tests.sim.hardware import NOW, FrozenClock

NONCE = Hex32("a5" * 32)
DEMAND = Demand(shapes=("tinfoil-v3", "tinfoil-v3-june", "tinfoil-v2"))
WORKFLOW = ".github/workflows/release.yml"


@cache
def keys() -> mint.Keys:
    return mint.create_keys(NOW)


@cache
def tdx() -> mint.TdxGuest:
    return mint.TdxGuest(SimulatedMachine(create_pki(NOW), FrozenClock()))


@cache
def snp() -> mint.SnpGuest:
    return mint.SnpGuest(SnpMachine(create_snp_pki("Genoa", NOW), NOW))


@cache
def gpu() -> nvidia.Device:
    return nvidia.create(NOW).device()


@cache
def switch() -> nvidia.Device:
    return nvidia.create(NOW, "LS_10", beside=gpu().hierarchy).device()


def gpus() -> tuple[Any, ...]:
    return (gpu().evidence(bytes.fromhex(NONCE)),)


def switches() -> tuple[Any, ...]:
    return (switch().evidence(bytes.fromhex(NONCE)),)


def policy(guest: mint.Guest, **changes: Any) -> AttestationPolicy:
    """Admits `guest` by the releases that Tinfoil's repositories attest; no measurement stands in it."""
    builds = tuple(BuildIdentity(repository=repository, workflow=WORKFLOW) for repository in (mint.REPOSITORY, mint.PLATFORMS))
    shared: dict[str, Any] = {"name": "tinfoil", "level": Level.SIMULATED, "require_event_log": False, "require_compose": False}
    if isinstance(guest, mint.TdxGuest):
        simulated = reference.policy((guest.machine,))
        shared |= {"tdx": msgspec.structs.replace(simulated.tdx, reference_values=())}
    elif isinstance(guest, mint.SnpGuest):
        shared |= {"cpu": ("sev-snp",), "snp": guest.machine.policy(reference_values=())}
    return AttestationPolicy(**{**shared, "provenance": ProvenancePolicy(builds=builds), **changes})


def statements() -> tuple[VerifiedStatement, ...]:
    """What the two repositories attest of `tdx` and `snp`."""
    code = verified(
        "https://tinfoil.sh/predicate/snp-tdx-multiplatform/v1", mint.build_predicate(tdx(), snp()), NOW, by=built(repository=mint.REPOSITORY)
    )
    hardware = verified(
        "https://tinfoil.sh/predicate/hardware-measurements/v1", mint.platforms_predicate(tdx()), NOW, by=built(repository=mint.PLATFORMS)
    )
    return code, hardware


def evidence(report: bytes, **members: Any) -> ServiceEvidence:
    fetched = ServiceEvidence(documents={"report": report}, nonce=NONCE, host="enclave.example", peer_spki_sha256=keys().spki)
    return msgspec.structs.replace(fetched, **members)


def judged(
    report: bytes | ServiceEvidence,
    guest: mint.Guest,
    *,
    accepted: AttestationPolicy | None = None,
    demand: Demand = DEMAND,
    said: tuple[VerifiedStatement, ...] | None = None,
    collateral: tuple[MachineCollateral, ...] | None = None,
) -> tuple[Appraisal, Bound | None]:
    """The verdict on a document that `guest` answered NONCE with."""
    fetched = evidence(report) if isinstance(report, bytes) else report
    endorsed = collateral if collateral is not None else (MachineCollateral(cpu=guest.collateral()),)
    return door.appraise(Question(fetched, endorsed, statements() if said is None else said, accepted or policy(guest), NOW, demand))


def with_devices(guest: mint.Guest, *devices: nvidia.Device, **changes: Any) -> tuple[AttestationPolicy, tuple[MachineCollateral, ...]]:
    """A policy that demands devices by the hash of their evidence, and the collateral for `guest` with them."""
    demanded = gpu().hierarchy.policy(**{"bound": "hash", "min_switches": sum(device is not gpu() for device in devices), **changes})
    collateral = MachineCollateral(cpu=guest.collateral(), devices=tuple(device.collateral(NOW) for device in devices))
    return policy(guest, nvidia=demanded), (collateral,)


SERVER = ServicePolicy(freshness="server")
