"""Whole machines: a CPU of each technology, alone and with devices; what a mixed bundle, a replay or a splice comes to."""

import json
from functools import cache
from typing import Any

import msgspec
import pytest

from ollm.attest import machine as door
from ollm.attest.checks import BINDING, MACHINE, Trail
from ollm.attest.composition import MAX_DEVICES
from ollm.attest.evidence import (
    Expected,
    MachineCollateral,
    MachineEvidence,
    NitroEvidence,
    NrasCollateral,
    NrasEvidence,
    NvidiaCollateral,
    SnpEvidence,
    TdxEvidence,
)
from ollm.attest.machine import appraise_machine
from ollm.attest.nitro.appraise import plan as nitro_plan
from ollm.attest.provenance.images import SLSA_PROVENANCE
from ollm.attest.provenance.reference_values import REFERENCE_VALUES
from ollm.attest.tdx import appraise as tdx_appraise
from ollm.errors import EvidenceRefused
from ollm.sim import reference
from ollm.sim.machine import SimulatedMachine
from ollm.testing.mint import nitro, nras, nvidia
from ollm.testing.mint.provenance import built, verified
from ollm.testing.mint.snp import SnpMachine
from ollm.testing.mint.snp_certificates import create_pki
from ollm.values.checks import Appraisal, Outcome
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy, NitroPolicy, NitroReferenceValues, NvidiaPolicy
from ollm.values.provenance import BuildIdentity, ProvenancePolicy, Subject
from tests.attest.service import failing
from tests.sim.hardware import NOW

NONCE = bytes(range(32))
KEY = bytes([7]) * 32
STATEMENT = KEY + NONCE
EXPECTED = Expected(report_data=STATEMENT, nonce=NONCE, device_nonce=NONCE)


@cache
def snp() -> SnpMachine:
    return SnpMachine(create_pki("Genoa", NOW), NOW)


@cache
def gpus() -> tuple[nvidia.Device, nvidia.Device]:
    hierarchy = nvidia.create(NOW)
    return hierarchy.device(), hierarchy.device()


@cache
def service() -> nras.NrasService:
    return nras.create_service(NOW)


def gpu_policy(**changes: object) -> NvidiaPolicy:
    return gpus()[0].hierarchy.policy(**changes)


def with_gpus(machine: SimulatedMachine, policy: AttestationPolicy, count: int = 2) -> tuple[MachineEvidence, MachineCollateral, AttestationPolicy]:
    """A TDX machine with GPUs of which all were asked with our nonce."""
    evidence = MachineEvidence(cpu=tdx(machine), devices=tuple(gpu.evidence(NONCE) for gpu in gpus()[:count]))
    collateral = MachineCollateral(cpu=machine.collateral(), devices=tuple(gpu.collateral(NOW) for gpu in gpus()[:count]))
    return evidence, collateral, msgspec.structs.replace(policy, nvidia=gpu_policy(min_gpus=count))


def tdx(machine: SimulatedMachine, statement: bytes = STATEMENT) -> TdxEvidence:
    return TdxEvidence(quote=machine.quote(statement), event_log=machine.event_log_json, app_compose=machine.app_compose, vm_config=machine.vm_config)


def judged(evidence: MachineEvidence, collateral: MachineCollateral, policy: AttestationPolicy, **options: Any) -> Appraisal:
    return appraise_machine(evidence, collateral, policy, options.pop("now", NOW), **{"expected": EXPECTED, **options})


def changed(value: Any, **members: Any) -> Any:
    return msgspec.structs.replace(value, **members)


# A CPU alone


def test_a_tdx_machine_is_accepted_with_its_software(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    appraisal = judged(MachineEvidence(cpu=tdx(machine)), MachineCollateral(cpu=machine.collateral()), policy)

    assert appraisal.accepted, appraisal.failure
    planned = (*MACHINE, *tdx_appraise.plan(policy.tdx, compare=False), *tdx_appraise.software_plan(policy), *BINDING)
    assert [check.name for check in appraisal.checks] == list(planned)
    assert appraisal.claims.serving_software_known_good.status == "asserted"
    assert "which weights the model has" in appraisal.claims.extra["unproven"]
    assert appraisal.claims.gpu_attested.status == "unknown"
    assert appraisal.valid_until > NOW


def test_an_snp_machine_is_accepted_with_what_it_launched() -> None:
    machine = snp()
    policy = AttestationPolicy(name="snp", level=Level.SIMULATED, cpu=("sev-snp",), snp=machine.policy())
    evidence = MachineEvidence(cpu=SnpEvidence(report=machine.report(report_data=STATEMENT)))

    appraisal = judged(evidence, MachineCollateral(cpu=machine.collateral()), policy)

    assert appraisal.accepted, appraisal.failure
    assert appraisal.claims.os_known_good.status == "asserted"
    assert appraisal.claims.serving_software_known_good.status == "unknown"


def nitro_machine(**document: Any) -> tuple[MachineEvidence, AttestationPolicy]:
    hypervisor = nitro.create_hypervisor(NOW)
    values = NitroReferenceValues(name="image", source="minted", pcr0=nitro.PCRS[0].hex())
    table = NitroPolicy(simulated_root_sha256=hypervisor.root.sha256, reference_values=(values,))
    policy = AttestationPolicy(name="nitro", level=Level.SIMULATED, cpu=("nitro",), nitro=table)
    made = hypervisor.document(NOW, **{"user_data": STATEMENT, "nonce": NONCE, **document})
    return MachineEvidence(cpu=NitroEvidence(document=made)), policy


def test_a_nitro_enclave_is_accepted_with_its_image() -> None:
    evidence, policy = nitro_machine()

    appraisal = judged(evidence, MachineCollateral(cpu=None), policy)

    assert appraisal.accepted, appraisal.failure
    assert appraisal.claims.serving_software_known_good.status == "asserted"


@pytest.mark.parametrize(
    ("document", "check"), [({"nonce": KEY}, "binding.nonce"), ({"nonce": None}, "binding.nonce"), ({"user_data": NONCE}, "binding.statement")]
)
def test_a_document_made_for_somebody_else_is_refused(document: dict[str, bytes | None], check: str) -> None:
    evidence, policy = nitro_machine(**document)

    assert failing(judged(evidence, MachineCollateral(cpu=None), policy)) == check


def test_genuine_alone_asks_nothing_of_the_software(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    nothing = changed(policy, tdx=changed(policy.tdx, reference_values=()))
    evidence, collateral = MachineEvidence(cpu=tdx(machine)), MachineCollateral(cpu=machine.collateral())

    assert failing(judged(evidence, collateral, nothing)) == "measurement.reference_values"
    appraisal = judged(evidence, collateral, nothing, compare=False, expected=Expected())
    assert appraisal.accepted
    assert appraisal.claims.os_known_good.status == "unknown"


def test_what_was_not_asked_is_no_part_of_the_result(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    evidence, collateral = MachineEvidence(cpu=tdx(machine)), MachineCollateral(cpu=machine.collateral())

    names = [check.name for check in judged(evidence, collateral, policy, expected=Expected()).checks]

    assert not [name for name in names if name.startswith("binding.")]


@pytest.mark.parametrize(
    ("statement", "check"),
    [(bytes(64), "binding.statement"), (KEY + bytes(32), "binding.statement"), (NONCE + KEY, "binding.statement")],
)
def test_a_replayed_or_misbound_quote_is_refused(machine: SimulatedMachine, policy: AttestationPolicy, statement: bytes, check: str) -> None:
    evidence = MachineEvidence(cpu=tdx(machine, statement))

    assert failing(judged(evidence, MachineCollateral(cpu=machine.collateral()), policy)) == check


def test_a_replayed_quote_for_the_same_key_is_refused_by_its_nonce(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    evidence, collateral = MachineEvidence(cpu=tdx(machine, KEY + bytes(32))), MachineCollateral(cpu=machine.collateral())

    assert failing(judged(evidence, collateral, policy, expected=Expected(report_data=KEY, nonce=NONCE))) == "binding.nonce"


# Mixed bundles


def test_a_technology_that_the_policy_does_not_list_is_refused(policy: AttestationPolicy) -> None:
    evidence = MachineEvidence(cpu=SnpEvidence(report=snp().report(report_data=STATEMENT)))

    assert failing(judged(evidence, MachineCollateral(cpu=snp().collateral()), policy)) == "machine.technology"


def test_collateral_of_another_technology_is_refused(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    evidence = MachineEvidence(cpu=tdx(machine))

    assert failing(judged(evidence, MachineCollateral(cpu=snp().collateral()), policy)) == "machine.collateral"
    assert failing(judged(evidence, MachineCollateral(cpu=None), policy)) == "machine.collateral"


def test_no_root_vouches_for_another_technology(machine: SimulatedMachine) -> None:
    """The hardware policy of each technology refuses simulated evidence of it, before any signature is looked at."""
    hardware = AttestationPolicy(name="hardware", level=Level.TEE, cpu=("tdx", "sev-snp", "nitro"))
    parts = (
        (tdx(machine), machine.collateral()),
        (SnpEvidence(report=snp().report(report_data=STATEMENT)), snp().collateral()),
    )
    for cpu, collateral in parts:
        assert failing(judged(MachineEvidence(cpu=cpu), MachineCollateral(cpu=collateral), hardware)) == "platform.marker"
    evidence, _ = nitro_machine()
    assert failing(judged(evidence, MachineCollateral(cpu=None), hardware)) == "nitro.root"


def test_collateral_of_another_kind_is_never_used_whatever_was_checked_before(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    """Each step has its own guard: not even a door that forgot the check of kinds would take one for the other."""
    evidence, collateral, demanding = with_gpus(machine, policy)
    mixed = changed(collateral, cpu=None, devices=(NrasCollateral(jwks=b""),) * 2)

    with pytest.raises(EvidenceRefused, match=r"^machine\.collateral"):
        door._cpu(Trail(()), evidence, mixed, demanding, NOW)
    assert demanding.nvidia is not None
    with pytest.raises(EvidenceRefused, match=r"^machine\.collateral"):
        door._devices(door._Course(()), evidence, mixed, demanding.nvidia, NOW, NONCE)


# Devices


def test_a_machine_with_gpus_is_accepted_as_one(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    evidence, collateral, demanding = with_gpus(machine, policy)

    appraisal = judged(evidence, collateral, demanding)

    assert appraisal.accepted, appraisal.failure
    assert [check.target for check in appraisal.checks if check.name == "device.signature"] == ["device0", "device1"]
    assert [check.name for check in appraisal.checks][-3:] == ["devices.required", "devices.distinct", "devices.bound"]
    assert appraisal.claims.gpu_attested.status == "refuted"  # simulated
    assert "the GPUs sit in the machine" in appraisal.claims.extra["unproven"]
    assert appraisal.claims.extra["device1_model"] == "Hopper"


def test_devices_that_are_not_demanded_are_not_claimed(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    evidence, collateral, _ = with_gpus(machine, policy)

    appraisal = judged(evidence, changed(collateral, devices=()), policy)

    assert appraisal.accepted
    assert not [check for check in appraisal.checks if check.target]
    assert appraisal.claims.gpu_attested.status == "unknown"


def test_demanded_devices_that_are_not_there_are_refused(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    evidence, collateral, demanding = with_gpus(machine, policy)

    for count in (0, 1):
        fewer = changed(evidence, devices=evidence.devices[:count])
        assert failing(judged(fewer, changed(collateral, devices=collateral.devices[:count]), demanding)) == "devices.required"


def test_one_device_does_not_count_twice(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    evidence, collateral, demanding = with_gpus(machine, policy)
    gpu = gpus()[0]
    twice = changed(evidence, devices=(gpu.evidence(NONCE), gpu.evidence(NONCE)))  # two signatures by one device

    assert failing(judged(twice, changed(collateral, devices=(gpu.collateral(NOW),) * 2), demanding)) == "devices.distinct"


def test_a_device_of_an_earlier_run_is_refused(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    evidence, collateral, demanding = with_gpus(machine, policy)
    replayed = changed(evidence, devices=(evidence.devices[0], gpus()[1].evidence(KEY)))

    refused = judged(replayed, collateral, demanding)

    assert failing(refused) == "device.nonce"
    assert refused.failure is not None
    assert refused.failure.target == "device1"
    assert {check.outcome for check in refused.checks if check.target == "device0"} == {Outcome.PASSED}


def test_devices_of_another_machine_are_refused_even_without_our_nonce(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    """An auditor with recorded evidence has no nonce: the CPU's own statement must still name the devices' run."""
    evidence, collateral, demanding = with_gpus(machine, policy)
    others = changed(evidence, devices=tuple(gpu.evidence(KEY) for gpu in gpus()))
    unasked = Expected(report_data=KEY)

    assert judged(evidence, collateral, demanding, expected=unasked).accepted
    assert failing(judged(others, collateral, demanding, expected=unasked)) == "devices.bound"


def test_a_hash_in_the_report_data_binds_devices(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    evidence, collateral, demanding = with_gpus(machine, policy)
    by_hash = changed(demanding, nvidia=gpu_policy(min_gpus=2, bound="hash"))
    evidence = changed(evidence, cpu=tdx(machine, STATEMENT))

    assert judged(evidence, collateral, by_hash, expected=changed(EXPECTED, device_commitment=NONCE)).accepted
    assert failing(judged(evidence, collateral, by_hash)) == "devices.bound"


def test_collateral_for_each_device_must_be_there(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    evidence, collateral, demanding = with_gpus(machine, policy)

    assert failing(judged(evidence, changed(collateral, devices=()), demanding)) == "machine.collateral"
    mixed = changed(collateral, devices=(collateral.devices[0], NrasCollateral(jwks=b"")))
    assert failing(judged(evidence, mixed, demanding)) == "machine.collateral"
    empty = changed(collateral, devices=(NvidiaCollateral(), NvidiaCollateral()))
    assert failing(judged(evidence, empty, demanding)) == "rim.present"


def test_the_word_of_nvidias_service_counts_where_the_policy_takes_it(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    evidence = MachineEvidence(cpu=tdx(machine), devices=(NrasEvidence(token=service().bundle(NOW, NONCE)),))
    collateral = MachineCollateral(cpu=machine.collateral(), devices=(NrasCollateral(jwks=service().jwks()),))
    table = NvidiaPolicy(simulated_root_sha256=service().root.sha256, simulated_rim_root_sha256="0" * 64, accept=("nras",), min_gpus=2)

    appraisal = judged(evidence, collateral, changed(policy, nvidia=table))

    assert appraisal.accepted, appraisal.failure
    assert {check.target for check in appraisal.checks if check.name.startswith("nras.")} == {"device0"}
    reports_only = changed(policy, nvidia=changed(table, accept=("report",)))
    assert failing(judged(evidence, collateral, reports_only)) == "nras.accepted"


def test_a_refused_cpu_leaves_its_devices_unjudged(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    evidence, collateral, demanding = with_gpus(machine, policy)

    refused = judged(changed(evidence, cpu=changed(evidence.cpu, quote=b"")), collateral, demanding)

    assert failing(refused) == "quote.format"
    assert {check.outcome for check in refused.checks if check.target} == {Outcome.NOT_REACHED}


# Provenance


def vouched(policy: AttestationPolicy, **changes: Any) -> AttestationPolicy:
    build = built()
    identity = BuildIdentity(repository=build.repository, workflow=build.workflow)
    return msgspec.structs.replace(policy, provenance=ProvenancePolicy(builds=(identity,), **changes))


def test_statements_by_strangers_are_refused(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    evidence, collateral = MachineEvidence(cpu=tdx(machine)), MachineCollateral(cpu=machine.collateral())
    stranger = verified("https://slsa.dev/provenance/v1", {}, signed_at=NOW - 60, by=built(repository="somebody/else"))

    demanding = vouched(policy)
    assert judged(evidence, collateral, demanding).accepted  # nobody vouched for anything, and the policy's own values match
    assert failing(judged(evidence, collateral, demanding, statements=(stranger,))) == "provenance.identity"
    assert judged(evidence, collateral, policy, statements=(stranger,)).accepted  # a policy without provenance hears nobody


def test_images_count_only_where_the_compose_file_is_measured(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    evidence, collateral = MachineEvidence(cpu=tdx(machine)), MachineCollateral(cpu=machine.collateral())
    demanding = vouched(policy, require_images=True)

    assert failing(judged(evidence, collateral, demanding)) in {"provenance.compose", "provenance.images_pinned", "provenance.images"}
    assert failing(judged(evidence, collateral, changed(demanding, require_compose=False))) == "provenance.compose"


def test_images_that_an_admitted_build_vouches_for_are_accepted(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    evidence, collateral = MachineEvidence(cpu=tdx(machine)), MachineCollateral(cpu=machine.collateral())
    digest = machine.app_compose.partition("@sha256:")[2][:64]
    image = verified(SLSA_PROVENANCE, {}, NOW - 60, subjects=[Subject("model-server", digest)])
    other = verified(SLSA_PROVENANCE, {}, NOW - 60, subjects=[Subject("model-server", "0" * 64)])
    demanding = vouched(policy, require_images=True)

    assert judged(evidence, collateral, demanding, statements=(image,)).accepted
    assert failing(judged(evidence, collateral, demanding, statements=(other,))) == "provenance.images"


def test_what_a_build_vouches_for_is_judged_now_and_ends(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    evidence, collateral = MachineEvidence(cpu=tdx(machine)), MachineCollateral(cpu=machine.collateral())
    values = {"issued_at": NOW - 60, "expires_at": NOW + 60, "tdx": [{"name": "another", "mrtd": "a" * 96}]}
    release = verified(REFERENCE_VALUES, values, NOW - 60)

    assert judged(evidence, collateral, vouched(policy), statements=(release,)).valid_until == NOW + 60
    late = judged(evidence, collateral, vouched(policy), statements=(release,), now=NOW + 60)
    assert failing(late) == "provenance.time"


# What a result says


def test_every_result_names_its_policy_and_its_level(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    evidence, collateral = MachineEvidence(cpu=tdx(machine)), MachineCollateral(cpu=machine.collateral())
    for each in (evidence, changed(evidence, cpu=tdx(machine, bytes(64)))):
        appraisal = judged(each, collateral, policy)
        assert (appraisal.policy, appraisal.level) == (policy.name, Level.SIMULATED)


def test_what_the_log_proves_of_the_boot_is_claimed(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    appraisal = judged(MachineEvidence(cpu=tdx(machine)), MachineCollateral(cpu=machine.collateral()), policy)

    assert appraisal.claims.extra["app_id"] == machine.app_id.hex()


def test_the_measured_compose_file_is_claimed(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    appraisal = judged(MachineEvidence(cpu=tdx(machine)), MachineCollateral(cpu=machine.collateral()), policy)

    assert appraisal.claims.extra["compose_hash"] == machine.compose_hash.hex()


@pytest.mark.parametrize("compare", [True, False])
def test_software_is_compared_only_where_that_is_asked(compare: bool) -> None:
    launched = SnpMachine(create_pki("Genoa", NOW), NOW)
    unknown = AttestationPolicy(name="snp", level=Level.SIMULATED, cpu=("sev-snp",), snp=launched.policy(reference_values=()))
    report = MachineEvidence(cpu=SnpEvidence(report=launched.report(report_data=STATEMENT)))
    refused = judged(report, MachineCollateral(cpu=launched.collateral()), unknown, compare=compare)
    assert failing(refused) == ("snp.reference_values" if compare else None)

    document, policy = nitro_machine()
    unknown = changed(policy, nitro=changed(policy.nitro, reference_values=()))
    assert failing(judged(document, MachineCollateral(cpu=None), unknown, compare=compare)) == ("nitro.reference_values" if compare else None)


def test_the_checks_are_those_of_the_policy_in_use() -> None:
    evidence, policy = nitro_machine()
    listed = changed(policy, nitro=changed(policy.nitro, modules=(nitro.INSTANCE,)))

    names = [check.name for check in judged(evidence, MachineCollateral(cpu=None), listed).checks]

    assert "nitro.instance" in names
    assert names[3:-2] == list(nitro_plan(listed.nitro))


def test_warnings_about_every_part_are_kept() -> None:
    milan = SnpMachine(create_pki("Milan", NOW), NOW)
    unjudged = changed(gpus()[0].evidence(NONCE), report=gpus()[0].report(NONCE, measured={50: b"\x01" * 48}))
    evidence = MachineEvidence(cpu=SnpEvidence(report=milan.report(report_data=STATEMENT)), devices=(unjudged,))
    collateral = MachineCollateral(cpu=milan.collateral(), devices=(gpus()[0].collateral(NOW),))
    both = AttestationPolicy(name="milan", level=Level.SIMULATED, cpu=("sev-snp",), snp=milan.policy(), nvidia=gpu_policy())

    warnings = judged(evidence, collateral, both).warnings

    assert [warning.split()[0] for warning in warnings] == ["AMD", "gpu"]


def test_a_script_that_nobody_vouched_for_is_warned_of(machine: SimulatedMachine) -> None:
    scripted = json.dumps({**json.loads(machine.app_compose), "pre_launch_script": "true"})
    other = SimulatedMachine(machine.pki, machine.clock, app_compose=scripted)
    digest = scripted.partition("@sha256:")[2][:64]
    image = verified(SLSA_PROVENANCE, {}, NOW - 60, subjects=[Subject("model-server", digest)])

    appraisal = judged(
        MachineEvidence(cpu=tdx(other)),
        MachineCollateral(cpu=other.collateral()),
        vouched(reference.policy([other]), require_images=True),
        statements=(image,),
    )

    assert appraisal.accepted, appraisal.failure
    assert any("pre_launch_script" in warning for warning in appraisal.warnings)


def test_a_report_and_the_services_word_count_together(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    gpu = gpus()[0]
    service = nras.create_service(NOW, root=gpu.hierarchy.device_root)
    evidence = MachineEvidence(cpu=tdx(machine), devices=(gpu.evidence(NONCE), NrasEvidence(token=service.bundle(NOW, NONCE))))
    collateral = MachineCollateral(cpu=machine.collateral(), devices=(gpu.collateral(NOW), NrasCollateral(jwks=service.jwks())))

    appraisal = judged(evidence, collateral, changed(policy, nvidia=gpu_policy(min_gpus=3, accept=("report", "nras"))))

    assert appraisal.accepted, appraisal.failure
    assert [appraisal.claims.extra[f"device{index}_kind"] for index in range(3)] == ["gpu"] * 3


def test_the_checks_of_devices_that_are_too_many_are_not_even_listed(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    many = MachineEvidence(cpu=tdx(machine), devices=(gpus()[0].evidence(NONCE),) * (MAX_DEVICES + 2))

    refused = judged(many, MachineCollateral(cpu=machine.collateral()), changed(policy, nvidia=gpu_policy()))

    assert failing(refused) == "machine.technology"
    assert len({check.target for check in refused.checks if check.target}) == MAX_DEVICES


# The end of an acceptance


def test_an_acceptance_ends_with_the_first_of_its_parts(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    evidence, collateral, demanding = with_gpus(machine, policy)

    until = judged(evidence, collateral, demanding).valid_until

    alone = judged(MachineEvidence(cpu=evidence.cpu), MachineCollateral(cpu=collateral.cpu), policy).valid_until
    assert NOW < until <= alone
    assert judged(evidence, collateral, demanding, now=until - 1).accepted
    assert not judged(evidence, collateral, demanding, now=until).accepted
