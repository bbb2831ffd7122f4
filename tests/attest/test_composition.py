"""What joins the parts of one machine: technologies, statement and nonce, devices and their binding."""

from typing import Any

import msgspec
import pytest

from ollm.attest import composition
from ollm.attest.evidence import (
    Expected,
    MachineCollateral,
    MachineEvidence,
    NitroEvidence,
    NrasCollateral,
    NrasEvidence,
    NvidiaCollateral,
    NvidiaEvidence,
    SnpCollateral,
    SnpEvidence,
    TdxCollateral,
    TdxEvidence,
)
from ollm.attest.facts import CpuFacts, DeviceFacts
from ollm.errors import EvidenceRefused
from ollm.values.checks import UNKNOWN
from ollm.values.hexes import Hex32
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy, NvidiaPolicy, SnpPolicy, TdxPolicy

NONCE = bytes(range(32))
KEY = bytes([7]) * 32
TDX = TdxEvidence(quote=b"")
SNP = SnpEvidence(report=b"")
NITRO = NitroEvidence(document=b"")
GPU = NvidiaEvidence(report=b"", certificate_chain="")
WORD = NrasEvidence(token=b"")
SNP_COLLATERAL = SnpCollateral(leaf=b"", chain="")
TDX_COLLATERAL = TdxCollateral(
    pck_crl_issuer_chain="",
    root_ca_crl=b"",
    pck_crl=b"",
    tcb_info_issuer_chain="",
    tcb_info="",
    tcb_info_signature=b"",
    qe_identity_issuer_chain="",
    qe_identity="",
    qe_identity_signature=b"",
)


def policy(**members: Any) -> AttestationPolicy:
    return AttestationPolicy(name="p", level=members.pop("level", Level.TEE), **members)


def cpu(report_data: bytes = KEY + NONCE, **members: Any) -> CpuFacts:
    facts = {"technology": "tdx", "identity": Hex32("0" * 64), "report_data": report_data, "attested": UNKNOWN, "tcb": UNKNOWN, "valid_until": 1}
    return CpuFacts(**{**facts, **members})


def device(number: int = 0, **members: Any) -> DeviceFacts:
    facts = {"kind": "gpu", "model": "Hopper", "identity": Hex32(f"{number:064x}"), "device_id": f"{number:x}", "nonce": NONCE, "valid_until": 1}
    return DeviceFacts(**{**facts, **members})


def refused(check: str, got: str = "") -> Any:
    return pytest.raises(EvidenceRefused, match=rf"^{check.replace('.', '[.]')}: got {got}")


# The policy's level


def test_a_policy_is_simulated_exactly_when_it_pins_simulated_roots() -> None:
    simulated = TdxPolicy(simulated_root_sha256="0" * 64)

    composition.check_level(policy())
    composition.check_level(policy(level=Level.SIMULATED, tdx=simulated))
    for wrong in (policy(tdx=simulated), policy(level=Level.SIMULATED), policy(level=Level.ZDR)):
        with refused("policy.level"):
            composition.check_level(wrong)


def test_simulated_and_real_roots_are_never_mixed() -> None:
    simulated = TdxPolicy(simulated_root_sha256="0" * 64)
    for mixed in (
        policy(level=Level.SIMULATED, tdx=simulated, cpu=("tdx", "sev-snp")),
        policy(level=Level.SIMULATED, tdx=simulated, nvidia=NvidiaPolicy()),
        policy(level=Level.SIMULATED, tdx=simulated, nvidia=NvidiaPolicy(simulated_root_sha256="0" * 64)),
    ):
        with refused("policy.level", "simulated roots and vendors' roots"):
            composition.check_level(mixed)
    composition.check_level(policy(level=Level.SIMULATED, tdx=simulated, snp=SnpPolicy()))  # a table that is not in use decides nothing


# Technologies and collateral


@pytest.mark.parametrize(("evidence", "kind"), [(TDX, "tdx"), (SNP, "sev-snp"), (NITRO, "nitro")])
def test_a_technology_must_be_listed(evidence: Any, kind: Any) -> None:
    machine = MachineEvidence(cpu=evidence)

    composition.check_technology(machine, policy(cpu=(kind,)))
    with refused("machine.technology", kind):
        composition.check_technology(machine, policy(cpu=()))
    others = tuple({"tdx", "sev-snp", "nitro"} - {kind})
    with refused("machine.technology", kind):
        composition.check_technology(machine, policy(cpu=others))


def test_more_devices_than_a_machine_can_have_are_not_looked_at() -> None:
    many = MachineEvidence(cpu=TDX, devices=(GPU,) * (composition.MAX_DEVICES + 1))
    composition.check_technology(MachineEvidence(cpu=TDX, devices=(GPU,) * composition.MAX_DEVICES), policy(nvidia=NvidiaPolicy()))

    composition.check_technology(many, policy())  # not demanded, so not judged
    with refused("machine.technology", "65 devices"):
        composition.check_technology(many, policy(nvidia=NvidiaPolicy()))


@pytest.mark.parametrize(
    ("evidence", "collateral"),
    [(TDX, TDX_COLLATERAL), (SNP, SNP_COLLATERAL), (NITRO, None)],
)
def test_collateral_is_of_the_kind_of_the_cpu(evidence: Any, collateral: Any) -> None:
    machine = MachineEvidence(cpu=evidence)

    composition.check_collateral(machine, MachineCollateral(cpu=collateral), policy())
    for other in {TDX_COLLATERAL, SNP_COLLATERAL, None} - {collateral}:
        with refused("machine.collateral", "none" if other is None else rf"collateral of another kind [(]{type(other).__name__}"):
            composition.check_collateral(machine, MachineCollateral(cpu=other), policy())


def test_each_demanded_device_has_collateral_of_its_kind() -> None:
    machine = MachineEvidence(cpu=NITRO, devices=(GPU, WORD))
    demanding = policy(nvidia=NvidiaPolicy())
    endorsed = NvidiaCollateral(), NrasCollateral(jwks=b"")

    composition.check_collateral(machine, MachineCollateral(cpu=None, devices=endorsed), demanding)
    composition.check_collateral(machine, MachineCollateral(cpu=None), policy())
    for wrong in ((), endorsed[:1], endorsed[::-1], (None, None), (*endorsed, None)):
        with refused("machine.collateral"):
            composition.check_collateral(machine, MachineCollateral(cpu=None, devices=wrong), demanding)


# Statement and nonce


@pytest.mark.parametrize("statement", [KEY, KEY + NONCE])
def test_the_report_data_begin_with_the_statement(statement: bytes) -> None:
    composition.check_statement(cpu(), statement)


@pytest.mark.parametrize("statement", [b"", NONCE, KEY[:-1] + b"\0", KEY + NONCE + b"\0", bytes(64)])
def test_another_statement_is_refused(statement: bytes) -> None:
    with refused("binding.statement"):
        composition.check_statement(cpu(), statement)


def test_no_report_data_state_nothing() -> None:
    with refused("binding.statement", "no report data"):
        composition.check_statement(cpu(b""), KEY)


@pytest.mark.parametrize("report_data", [NONCE + KEY, KEY + NONCE, NONCE + bytes(32)])
def test_a_nonce_is_one_half_of_the_report_data(report_data: bytes) -> None:
    composition.check_nonce(cpu(report_data), NONCE)


@pytest.mark.parametrize("nonce", [b"", NONCE[:31], bytes(32), KEY + NONCE])
def test_anything_else_is_no_nonce(nonce: bytes) -> None:
    with refused("binding.nonce"):
        composition.check_nonce(cpu(), nonce)


def test_no_nonce_is_not_met_by_none() -> None:
    for stated in (cpu(KEY), cpu(b"", technology="nitro", nonce=b"")):
        with refused("binding.nonce"):
            composition.check_nonce(stated, b"")


def test_nitro_states_a_nonce_in_its_own_field_only() -> None:
    composition.check_nonce(cpu(b"", technology="nitro", nonce=b"short"), b"short")
    with refused("binding.nonce", "no nonce"):
        composition.check_nonce(cpu(NONCE + KEY, technology="nitro"), NONCE)


# Devices


def test_as_many_devices_as_demanded() -> None:
    two = device(0), device(1)

    composition.check_required(two, NvidiaPolicy(min_gpus=2))
    with refused("devices.required", "2 of kind gpu"):
        composition.check_required(two, NvidiaPolicy(min_gpus=3))
    with refused("devices.required", "0 of kind switch"):
        composition.check_required(two, NvidiaPolicy(min_switches=1))
    composition.check_required((*two, device(2, kind="switch")), NvidiaPolicy(min_gpus=2, min_switches=1))


def test_no_evidence_at_all_is_no_device() -> None:
    with refused("devices.required", "0 of kind gpu"):
        composition.check_required((), NvidiaPolicy())


def test_a_device_counts_once() -> None:
    composition.check_distinct((device(0), device(1)))
    with refused("devices.distinct", "device 0 twice"):
        composition.check_distinct((device(0), device(0, identity=Hex32("f" * 64))))
    with refused("devices.distinct", "evidence 0+ twice"):
        composition.check_distinct((device(0), device(0, device_id="another")))


def test_devices_signed_what_the_cpu_states() -> None:
    composition.check_bound(cpu(), (device(0), device(1)), NvidiaPolicy(), Expected())
    composition.check_bound(cpu(NONCE + KEY), (device(),), NvidiaPolicy(), Expected(device_binding_at=0))
    for data, offset in ((NONCE + KEY, 32), (KEY + NONCE, 0)):
        with refused("devices.bound", f"a device that signed {NONCE.hex()}"):
            composition.check_bound(cpu(data), (device(),), NvidiaPolicy(), Expected(device_binding_at=offset))


def test_one_device_of_another_run_is_refused() -> None:
    with refused("devices.bound", f"a device that signed {KEY.hex()}"):
        composition.check_bound(cpu(), (device(0), device(1, nonce=KEY)), NvidiaPolicy(), Expected())


@pytest.mark.parametrize("offset", [33, 64, 1000])
def test_a_commitment_lies_inside_the_report_data(offset: int) -> None:
    with refused("devices.bound", "64 bytes of report data"):
        composition.check_bound(cpu(), (device(),), NvidiaPolicy(), Expected(device_binding_at=offset))


def test_a_hash_over_the_evidence_is_what_the_caller_worked_out() -> None:
    by_hash = NvidiaPolicy(bound="hash")
    other = msgspec.structs.replace(device(), nonce=KEY)  # with a hash the nonce is judged by `device_nonce` alone

    composition.check_bound(cpu(), (other,), by_hash, Expected(device_commitment=NONCE))
    for commitment in (None, KEY, b""):
        with pytest.raises(EvidenceRefused) as refusal:
            composition.check_bound(cpu(), (other,), by_hash, Expected(device_commitment=commitment))
        assert refusal.value.check == "devices.bound"
        assert refusal.value.want == ("a commitment to the devices' evidence" if commitment is None else commitment.hex())
