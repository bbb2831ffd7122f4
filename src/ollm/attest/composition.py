"""What joins the parts of one machine. Each function is one check, in the order of `checks.MACHINE`, `BINDING` and `DEVICES`."""

import hmac
from collections.abc import Sequence

from ollm.attest.evidence import (
    Expected,
    MachineCollateral,
    MachineEvidence,
    NitroEvidence,
    NrasCollateral,
    NvidiaCollateral,
    NvidiaEvidence,
    SnpCollateral,
    SnpEvidence,
    TdxCollateral,
)
from ollm.attest.facts import CpuFacts, DeviceFacts
from ollm.errors import EvidenceRefused
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy, NvidiaPolicy, Technology

MAX_DEVICES = 64  # eight GPUs and four switches are the largest machines seen; each costs milliseconds of elliptic curves


def check_level(policy: AttestationPolicy) -> None:
    """A policy that pins simulated roots is simulated, one that doesn't is tee; no other level rests on evidence.

    Raises: EvidenceRefused, also for a policy that mixes roots of vendors and simulated ones.
    """
    roots = policy.simulated_roots
    if policy.simulated and None in roots:
        raise EvidenceRefused("policy.level", "simulated roots and vendors' roots in one policy", "one kind")
    level = Level.SIMULATED if policy.simulated else Level.TEE
    if policy.level is not level:
        raise EvidenceRefused("policy.level", policy.level, level)


def technology(evidence: MachineEvidence) -> Technology:
    """The kind of CPU that `evidence` is of."""
    match evidence.cpu:
        case SnpEvidence():
            return "sev-snp"
        case NitroEvidence():
            return "nitro"
        case _:
            return "tdx"


def check_technology(evidence: MachineEvidence, policy: AttestationPolicy) -> None:
    """The CPU is of a kind that the policy lists. Raises: EvidenceRefused with machine.technology."""
    kind = technology(evidence)
    if kind not in policy.cpu:
        raise EvidenceRefused("machine.technology", kind, " or ".join(policy.cpu) or "none")
    if policy.nvidia is not None and len(evidence.devices) > MAX_DEVICES:
        raise EvidenceRefused("machine.technology", f"{len(evidence.devices)} devices", f"at most {MAX_DEVICES}")


def check_collateral(evidence: MachineEvidence, collateral: MachineCollateral, policy: AttestationPolicy) -> None:
    """Collateral is there for each part that will be judged, and of its kind. Raises: EvidenceRefused with machine.collateral."""
    wanted: dict[Technology, type] = {"tdx": TdxCollateral, "sev-snp": SnpCollateral, "nitro": type(None)}
    if not isinstance(collateral.cpu, wanted[technology(evidence)]):
        raise EvidenceRefused("machine.collateral", _kind(collateral.cpu), f"collateral for {technology(evidence)}")
    if policy.nvidia is None:
        return
    if len(collateral.devices) != len(evidence.devices):
        raise EvidenceRefused("machine.collateral", f"collateral for {len(collateral.devices)} devices", f"for {len(evidence.devices)}")
    for device, endorsement in zip(evidence.devices, collateral.devices, strict=True):
        if not isinstance(endorsement, NvidiaCollateral if isinstance(device, NvidiaEvidence) else NrasCollateral):
            raise EvidenceRefused("machine.collateral", _kind(endorsement), "collateral for each device, of its kind")


def check_statement(cpu: CpuFacts, wanted: bytes) -> None:
    """The report data begin with what was asked for. Raises: EvidenceRefused with binding.statement.

    An empty statement binds nothing, so it is refused and not taken for a prefix of everything.
    """
    if not wanted or not hmac.compare_digest(cpu.report_data[: len(wanted)], wanted):
        raise EvidenceRefused("binding.statement", cpu.report_data.hex() or "no report data", f"{wanted.hex() or 'a statement'} at its beginning")


def check_nonce(cpu: CpuFacts, nonce: bytes) -> None:
    """The report was made for this nonce: in a field of its own (Nitro), or as one half of the report data (TDX, SNP).

    A half is compared whole, so nothing shorter than 32 bytes can be a nonce there. Raises: EvidenceRefused with binding.nonce.
    """
    halves = (cpu.report_data[:32], cpu.report_data[32:]) if cpu.technology != "nitro" else ()
    stated = (cpu.nonce,) if cpu.nonce is not None else halves
    if not nonce or nonce not in stated:
        raise EvidenceRefused("binding.nonce", " or ".join(value.hex() for value in stated) or "no nonce", nonce.hex() or "a nonce")


def check_required(devices: Sequence[DeviceFacts], policy: NvidiaPolicy) -> None:
    """As many GPUs and switches as demanded. Raises: EvidenceRefused with devices.required."""
    for kind, demanded in (("gpu", policy.min_gpus), ("switch", policy.min_switches)):
        found = sum(device.kind == kind for device in devices)
        if found < demanded:
            raise EvidenceRefused("devices.required", f"{found} of kind {kind}", f"at least {demanded}")


def check_distinct(devices: Sequence[DeviceFacts]) -> None:
    """Each is another device with evidence of its own. Raises: EvidenceRefused with devices.distinct."""
    for what, names in (("device", [device.device_id for device in devices]), ("evidence", [str(device.identity) for device in devices])):
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise EvidenceRefused("devices.distinct", f"{what} {twice[:64]} twice", "each once")


def check_bound(cpu: CpuFacts, devices: Sequence[DeviceFacts], policy: NvidiaPolicy, expected: Expected) -> None:
    """The CPU's report data commit to the devices' evidence, as the policy says how. Raises: EvidenceRefused with devices.bound.

    `nonce`: every device signed the 32 bytes that stand in the report data. `hash`: what stands there is the digest that the caller
    worked out over the devices' evidence as it was sent.
    """
    at = expected.device_binding_at
    stated = cpu.report_data[at : at + 32]
    if len(stated) != 32:
        raise EvidenceRefused("devices.bound", f"{len(cpu.report_data)} bytes of report data", f"32 bytes at offset {at}")
    if policy.bound == "hash":
        if expected.device_commitment is None or not hmac.compare_digest(stated, expected.device_commitment):
            wanted = expected.device_commitment.hex() if expected.device_commitment is not None else "a commitment to the devices' evidence"
            raise EvidenceRefused("devices.bound", stated.hex(), wanted)
        return
    for device in devices:
        if not hmac.compare_digest(stated, device.nonce):
            raise EvidenceRefused("devices.bound", f"a device that signed {device.nonce.hex()[:64]}", f"{stated.hex()}, which the CPU states")


def _kind(collateral: object) -> str:
    return "none" if collateral is None else f"collateral of another kind ({type(collateral).__name__})"
