"""One machine's CPU and devices as one appraisal: each judged alone, then what joins them.

What is joined is what was signed: the CPU's report data commit to the channel's keys and to the devices' evidence. That proves that
whoever runs the attested CPU obtained the devices' evidence for this very request. It does not prove that the devices sit in that
machine: genuine evidence of devices elsewhere could be relayed to it (`claims.UNPROVEN` says so in every result).

Requirements come from the policy: technologies that it doesn't list are refused, devices that it demands must be there, and devices
that it doesn't demand are neither appraised nor claimed.
"""

from collections.abc import Iterable, Iterator, Sequence

from ollm.attest import claims, composition
from ollm.attest.checks import BINDING, DEVICES, MACHINE, Trail
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
from ollm.attest.nitro import appraise as nitro
from ollm.attest.nvidia import appraise as nvidia
from ollm.attest.provenance import appraise as provenance
from ollm.attest.sevsnp import appraise as sevsnp
from ollm.attest.tdx import appraise as tdx
from ollm.attest.tokens import appraise as tokens
from ollm.errors import EvidenceRefused
from ollm.values.checks import Appraisal, Check, Claims
from ollm.values.policy import AttestationPolicy, NvidiaPolicy
from ollm.values.provenance import VerifiedStatement


class _Course:
    """The trails of an appraisal in their order, and the one that it is on."""

    def __init__(self, trails: Iterable[Trail]) -> None:
        self._trails = tuple(trails)
        self._at = -1

    def next(self) -> Trail:
        self._at += 1
        return self._trails[self._at]

    def refused(self, error: EvidenceRefused) -> tuple[Check, ...]:
        return tuple(check for at, trail in enumerate(self._trails) for check in (trail.refused(error) if at == self._at else trail.checks()))

    def completed(self) -> tuple[Check, ...]:
        return tuple(check for trail in self._trails for check in trail.completed())


def appraise_machine(
    evidence: MachineEvidence,
    collateral: MachineCollateral,
    policy: AttestationPolicy,
    now: int,
    *,
    expected: Expected,
    statements: Sequence[VerifiedStatement] = (),
    compare: bool = True,
) -> Appraisal:
    """Appraise a machine at `now` (Unix seconds); bad evidence never raises.

    `expected` is what was asked of it; `statements` are what its policy's `provenance` may rest on. `compare` False asks only whether the
    evidence is genuine, not whether its software is wanted: never for a machine that is to read a prompt.
    """
    course = _Course(_trails(evidence, policy, expected, compare=compare))
    try:
        return _appraise(course, evidence, collateral, policy, now, expected=expected, statements=statements)
    except EvidenceRefused as error:
        return Appraisal(policy.name, policy.level, course.refused(error))


def _trails(evidence: MachineEvidence, policy: AttestationPolicy, expected: Expected, *, compare: bool) -> Iterator[Trail]:
    yield Trail(MACHINE)
    yield Trail(provenance.plan(policy))
    match evidence.cpu:
        case SnpEvidence():
            yield Trail(sevsnp.plan(policy.snp, compare=compare))
        case NitroEvidence():
            yield Trail(nitro.plan(policy.nitro, compare=compare))
        case _:
            yield Trail((*tdx.plan(policy.tdx, compare=False), *(tdx.software_plan(policy) if compare else ())))
    asked = {"binding.statement": expected.report_data is not None, "binding.nonce": expected.nonce is not None}
    yield Trail(name for name in BINDING if asked[name])
    if policy.nvidia is not None:
        for index, device in enumerate(evidence.devices[: composition.MAX_DEVICES]):
            if isinstance(device, NvidiaEvidence):
                yield Trail(nvidia.plan(policy.nvidia, nonce=expected.device_nonce is not None), target=f"device{index}")
            else:
                yield Trail(tokens.plan(policy.nvidia), target=f"device{index}")
        yield Trail(DEVICES)


def _appraise(
    course: _Course,
    evidence: MachineEvidence,
    collateral: MachineCollateral,
    policy: AttestationPolicy,
    now: int,
    *,
    expected: Expected,
    statements: Sequence[VerifiedStatement],
) -> Appraisal:
    # 1. The policy is for machines of this kind, and the collateral is about them.
    trail = course.next()
    trail.step("policy.level", composition.check_level, policy)
    trail.step("machine.technology", composition.check_technology, evidence, policy)
    trail.step("machine.collateral", composition.check_collateral, evidence, collateral, policy)

    # 2. Whoever the policy trusts to vouch for software did; the images are those of the compose file that step 3 shows was measured.
    vouched = provenance.appraise(course.next(), statements, policy, now, app_compose=_measured_compose(evidence, policy))

    # 3. The CPU is genuine and wanted, and so is the software that it measured.
    cpu, found = _cpu(course.next(), evidence, collateral, vouched.policy, now)

    # 4. It stated what was asked of it.
    trail = course.next()
    if expected.report_data is not None:
        trail.step("binding.statement", composition.check_statement, cpu, expected.report_data)
    if expected.nonce is not None:
        trail.step("binding.nonce", composition.check_nonce, cpu, expected.nonce)

    # 5. The devices that the policy demands are genuine, wanted, distinct, and were asked by that CPU.
    devices: tuple[DeviceFacts, ...] = ()
    if policy.nvidia is not None:
        devices = _devices(course, evidence, collateral, policy.nvidia, now, expected.device_nonce)
        trail = course.next()
        trail.step("devices.required", composition.check_required, devices, policy.nvidia)
        trail.step("devices.distinct", composition.check_distinct, devices)
        trail.step("devices.bound", composition.check_bound, cpu, devices, policy.nvidia, expected)

    return Appraisal(
        policy.name,
        policy.level,
        course.completed(),
        claims.with_devices(found, devices, simulated=policy.simulated),
        min(end for end in (vouched.valid_until, cpu.valid_until, *(device.valid_until for device in devices)) if end is not None),
        (*vouched.warnings, *cpu.warnings, *(warning for device in devices for warning in device.warnings)),
    )


def _measured_compose(evidence: MachineEvidence, policy: AttestationPolicy) -> str | None:
    """The compose file, where the policy has it compared with what was measured; one that isn't compared proves nothing."""
    return evidence.cpu.app_compose if isinstance(evidence.cpu, TdxEvidence) and policy.require_compose else None


def _cpu(trail: Trail, evidence: MachineEvidence, collateral: MachineCollateral, policy: AttestationPolicy, now: int) -> tuple[CpuFacts, Claims]:
    """The CPU's facts, and claims from them. That collateral is of the CPU's kind was checked before."""
    match evidence.cpu, collateral.cpu:
        case TdxEvidence() as explained, TdxCollateral() as endorsed:
            quote, facts = tdx.genuine_quote(trail, explained.quote, endorsed, policy.tdx, now)
            base = claims.cpu_claims(facts)
            if "measurement.reference_values" not in trail:
                return facts, base
            software = tdx.wanted_software(trail, quote, explained, policy)
            return facts, claims.service_claims(
                base, software.matching, software.compose_hash, software.accepting, simulated=policy.simulated, facts=software.facts
            )
        case SnpEvidence() as report, SnpCollateral() as endorsed:
            facts = sevsnp.genuine_report(trail, report, endorsed, policy.snp, now, compare="snp.reference_values" in trail)
        case NitroEvidence() as document, None:
            facts = nitro.genuine_document(trail, document, policy.nitro, now, compare="nitro.reference_values" in trail)
        case _:
            raise EvidenceRefused("machine.collateral", "collateral of another kind", "the CPU's")
    return facts, claims.measured_claims(facts, simulated=policy.simulated)


def _devices(
    course: _Course, evidence: MachineEvidence, collateral: MachineCollateral, policy: NvidiaPolicy, now: int, nonce: bytes | None
) -> tuple[DeviceFacts, ...]:
    devices: tuple[DeviceFacts, ...] = ()
    for device, endorsed in zip(evidence.devices, collateral.devices, strict=True):
        match device, endorsed:
            case NvidiaEvidence(), NvidiaCollateral():
                devices += (nvidia.genuine_device(course.next(), device, endorsed, policy, now, nonce=nonce),)
            case NrasEvidence(), NrasCollateral():
                devices += tokens.judged_devices(course.next(), device, endorsed, policy, now, nonce=nonce)
            case _:
                raise EvidenceRefused("machine.collateral", "collateral of another kind", "each device's")
    return devices
