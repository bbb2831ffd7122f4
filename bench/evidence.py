"""The evidence that `bench.attest` verifies: minted, each piece anew for another nonce; or recorded, where a folder of it is given."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench import bare
from bench.bare import Bare
from ollm.attest.appraise import appraise
from ollm.attest.checks import Trail
from ollm.attest.evidence import (
    AciEvidence,
    NitroEvidence,
    NrasCollateral,
    NrasEvidence,
    NvidiaCollateral,
    NvidiaEvidence,
    SnpCollateral,
    SnpEvidence,
)
from ollm.attest.nitro import appraise as nitro
from ollm.attest.nvidia import appraise as nvidia
from ollm.attest.sevsnp import appraise as sevsnp
from ollm.attest.tdx import appraise as tdx
from ollm.attest.tokens import appraise as tokens
from ollm.errors import EvidenceRefused
from ollm.sim import reference
from ollm.sim.machine import SimulatedMachine
from ollm.sim.pki import create_pki
from ollm.testing.mint import nvidia as mint_nvidia
from ollm.testing.mint.nitro import PCRS, create_hypervisor
from ollm.testing.mint.nras import create_service
from ollm.testing.mint.snp import SnpMachine
from ollm.testing.mint.snp_certificates import create_pki as create_snp_pki
from ollm.values.aci import API_VERSION, Keyset, SigningKey, TlsKey, report_data
from ollm.values.hexes import Hex32
from ollm.values.policy import NitroPolicy, NitroReferenceValues, NvidiaPolicy, TdxPolicy
from tests.attest import recorded, recorded_nitro, recorded_nvidia, recorded_snp, recorded_tokens

NOW = 1_800_000_000  # 2027-01-15T08:00:00Z, when minted evidence is judged
FRESH = 16  # pieces of minted evidence that take turns: what is remembered of one must not answer for the next


@dataclass(frozen=True)
class Case:
    """One kind of evidence. `verify` are equal in kind and judge other pieces of it; each raises unless it accepts."""

    name: str
    verify: Sequence[Callable[[], object]]
    bare: Bare
    goal_ms: float | None = None


class _StoppedClock:
    """`ports.Clock` at one moment."""

    def now(self) -> int:
        return NOW

    def now_ms(self) -> int:
        return NOW * 1000

    def monotonic(self) -> float:
        return float(NOW)


def _nonces() -> list[bytes]:
    return [bytes((index,)) * 32 for index in range(1, FRESH + 1)]


def minted() -> list[Case]:
    """One case of each kind, under roots made now."""
    return [*_tdx(), _snp(), *_nvidia(), _nras(), _nitro()]


# Minted


def _tdx() -> list[Case]:
    machine = SimulatedMachine(create_pki(NOW), _StoppedClock())
    collateral, policy = machine.collateral(), reference.policy([machine])
    quotes = [machine.quote(nonce + bytes(32)) for nonce in _nonces()]
    library = bare.of_tdx(quotes[0], collateral, machine.pki.root.der, NOW)

    def service(fetched: AciEvidence) -> None:
        appraisal, _ = appraise(fetched, collateral, policy, NOW, require_hpke=False)
        if not appraisal.accepted:
            raise RuntimeError(f"refused: {appraisal.failure}")

    spki = Hex32("51" * 32)
    services = [partial(service, _service(machine, Hex32(nonce.hex()), spki)) for nonce in _nonces()]
    return [
        Case("TDX quote", [partial(_quote, quote, collateral, policy.tdx, NOW) for quote in quotes], library, 2),
        Case("TDX service: ACI report, log, compose file", services, library),
    ]


def _quote(quote: bytes, collateral: Any, policy: TdxPolicy, now: int) -> object:
    return tdx.genuine_quote(Trail(tdx.plan(policy, compare=False)), quote, collateral, policy, now)


def _service(machine: SimulatedMachine, nonce: Hex32, spki: Hex32) -> AciEvidence:
    keyset = Keyset(None, NOW + 3600, (SigningKey("receipt", "ed25519", "02" * 32),), (), (TlsKey(spki),))
    digest = keyset.digest()
    evidence = {"quote": machine.quote(report_data(digest, nonce)).hex(), "event_log": machine.event_log_json, "app_compose": machine.app_compose}
    attestation = {"tee_type": "tdx", "workload_keyset": keyset.document(), "evidence": evidence}
    document = {"api_version": API_VERSION, "workload_keyset_digest": digest, "attestation": attestation}
    return AciEvidence(report=json.dumps(document).encode(), nonce=nonce, peer_spki_sha256=spki, hpke_key_config=None)


def _snp() -> Case:
    machine = SnpMachine(create_snp_pki("Genoa", NOW), NOW)
    collateral, policy = machine.collateral(), machine.policy()
    reports = [machine.report(report_data=nonce + bytes(32)) for nonce in _nonces()]
    return Case("SEV-SNP report", [partial(_report, report, collateral, policy, NOW) for report in reports], bare.of_snp(reports[0], collateral), 2)


def _report(report: bytes, collateral: SnpCollateral, policy: Any, now: int, *, compare: bool = True) -> object:
    trail = Trail(sevsnp.plan(policy, compare=compare))
    return sevsnp.genuine_report(trail, SnpEvidence(report=report), collateral, policy, now, compare=compare)


def _nvidia() -> list[Case]:
    device = mint_nvidia.create(NOW).device()
    full = device.collateral(NOW)
    evidence = [(device.evidence(nonce), nonce) for nonce in _nonces()]
    cases = []
    for name, policy, collateral, goal in (
        ("GPU report with both RIM files", device.hierarchy.policy(require_ocsp=False), _without_answers(full), 8.0),
        ("GPU report with both RIM files and OCSP", device.hierarchy.policy(), full, None),
    ):
        verify = [partial(_device, each, collateral, policy, NOW, nonce) for each, nonce in evidence]
        cases.append(Case(name, verify, bare.of_nvidia(evidence[0][0], collateral), goal))
    return cases


def _without_answers(collateral: NvidiaCollateral) -> NvidiaCollateral:
    return NvidiaCollateral(driver_rim=collateral.driver_rim, vbios_rim=collateral.vbios_rim)


def _device(evidence: NvidiaEvidence, collateral: NvidiaCollateral, policy: NvidiaPolicy, now: int, nonce: bytes) -> object:
    return nvidia.genuine_device(Trail(nvidia.plan(policy)), evidence, collateral, policy, now, nonce=nonce)


def _nras() -> Case:
    service = create_service(NOW)
    policy = NvidiaPolicy(simulated_root_sha256=service.root.sha256, accept=("nras",))
    jwks = service.jwks()
    bundles = [(service.bundle(NOW, nonce, gpus=1), nonce) for nonce in _nonces()]
    verify = [partial(_token, bundle, jwks, policy, NOW, nonce) for bundle, nonce in bundles]
    return Case("NVIDIA's word about one GPU (NRAS)", verify, bare.of_nras(bundles[0][0], jwks))


def _token(bundle: bytes, jwks: bytes, policy: NvidiaPolicy, now: int, nonce: bytes) -> object:
    evidence, collateral = NrasEvidence(token=bundle), NrasCollateral(jwks=jwks)
    return tokens.judged_devices(Trail(tokens.plan(policy)), evidence, collateral, policy, now, nonce=nonce)


def _nitro() -> Case:
    hypervisor = create_hypervisor(NOW)
    image = NitroReferenceValues(name="image", source="minted", pcr0=PCRS[0].hex())
    policy = NitroPolicy(simulated_root_sha256=hypervisor.root.sha256, reference_values=(image,))
    documents = [hypervisor.document(NOW, nonce=nonce) for nonce in _nonces()]
    return Case("Nitro document", [partial(_document, document, policy, NOW) for document in documents], bare.of_nitro(documents[0]), 5)


def _document(document: bytes, policy: NitroPolicy, now: int, *, compare: bool = True) -> object:
    trail = Trail(nitro.plan(policy, compare=compare))
    return nitro.genuine_document(trail, NitroEvidence(document=document), policy, now, compare=compare)


# Recorded: one piece of each kind, judged at its own time


def from_folder(folder: Path) -> list[Case]:
    """One case of each kind, of real machines: whether it is genuine, as nobody listed their software."""
    return [_recorded_tdx(folder), _recorded_snp(folder), _recorded_nvidia(folder), *_recorded_nras(folder), _recorded_nitro(folder)]


def _first(cases: Sequence[dict[str, Any]], *roles: str) -> dict[str, Any]:
    """The first that is accepted and has collateral of these kinds."""
    return next(case for case in cases if case["verdict"] == "accept" and all(role in case["collateral"] for role in roles))


def _recorded_tdx(folder: Path) -> Case:
    case = _first(recorded.cases(folder))
    quote, collateral, now = recorded.evidence(folder, case).quote, recorded.collateral(folder, case), recorded.seconds(case)
    if collateral is None:
        raise RuntimeError("an accepted case without collateral")
    verify = partial(_quote, quote, collateral, recorded.policy(case), now)
    return Case("TDX quote, recorded", [verify], bare.of_tdx(quote, collateral, None, now), 2)


def _recorded_snp(folder: Path) -> Case:
    case = _first(recorded_snp.cases(folder), "crl", "vcek")
    report, collateral = recorded_snp.evidence(folder, case).report, recorded_snp.collateral(folder, case)
    if collateral is None:
        raise RuntimeError("an accepted case without collateral")
    verify = partial(_report, report, collateral, recorded_snp.policy(case), recorded.seconds(case), compare=False)
    return Case("SEV-SNP report, recorded", [verify], bare.of_snp(report, collateral), 2)


def _recorded_nvidia(folder: Path) -> Case:
    case = _first(recorded_nvidia.cases(folder, "gpu-evidence"), "driver_rim", "vbios_rim")
    evidence, collateral = recorded_nvidia.evidence(folder, case)[0], recorded_nvidia.collateral(folder, case)
    nonce = recorded_nvidia.nonce(case)
    verify = partial(_device, evidence, collateral, recorded_nvidia.policy(case), recorded.seconds(case), nonce)
    return Case("GPU report with both RIM files, recorded", [verify], bare.of_nvidia(evidence, collateral), 8)


def _recorded_nras(folder: Path) -> list[Case]:
    for capture in recorded_tokens.captures(folder):
        evidence, collateral, nonce, now = recorded_tokens.captured(capture)
        verify = partial(_token, evidence.token, collateral.jwks, NvidiaPolicy(accept=("nras",)), now, nonce)
        try:
            verify()
        except EvidenceRefused:
            continue  # the service refused the device
        return [Case("NVIDIA's word (NRAS), recorded", [verify], bare.of_nras(evidence.token, collateral.jwks))]
    return []


def _recorded_nitro(folder: Path) -> Case:
    case = _first(recorded_nitro.cases(folder))
    document = recorded_nitro.evidence(folder, case).document
    verify = partial(_document, document, recorded_nitro.policy(case), recorded.seconds(case), compare=False)
    return Case("Nitro document, recorded", [verify], bare.of_nitro(document), 5)
