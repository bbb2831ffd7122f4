"""Sentences about a policy as a whole, and what no policy can reach."""

from collections.abc import Iterable, Iterator

import msgspec

from ollm.config.explain.nitro import NITRO
from ollm.config.explain.nvidia import NVIDIA
from ollm.config.explain.points import Context, Said, Sentence, Table, exposes, holds, note, span, told, weakens
from ollm.config.explain.provenance import PROVENANCE
from ollm.config.explain.service import SERVICE
from ollm.config.explain.snp import SNP
from ollm.config.explain.tdx import TDX
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy

VENDORS = {"tdx": "Intel TDX", "sev-snp": "AMD SEV-SNP", "nitro": "AWS Nitro"}


def _level(level: Level, context: Context) -> Iterable[Said]:
    if level is Level.SIMULATED:
        yield exposes("its level is simulated: software plays the hardware, and whoever runs it reads every prompt")
    else:
        yield holds(f"meeting it is worth level {level}: hardware evidence under the vendors' own roots")


def _reviewed(text: str | None, context: Context) -> Iterable[Said]:
    yield note("nobody is named as having reviewed these rules (reviewed)") if text is None else holds(f'these rules were reviewed: "{text}"')


def _cpu(kinds: tuple[str, ...], context: Context) -> Iterable[Said]:
    yield holds(f"the CPU is of the kind {' or '.join(VENDORS[kind] for kind in kinds)}")
    if len(kinds) > 1:
        yield note("several kinds of CPU are accepted: the policy is as strong as what it says of the weakest")


def _event_log(required: bool, context: Context) -> Iterable[Said]:
    if "tdx" not in context.policy.cpu:
        yield holds("an event log is no matter on these CPUs")
    elif required or context.policy.require_compose:
        why = "" if required else " (require_compose demands it)"
        yield holds(f"a TDX guest's event log is there, and replays to what its registers RTMR0 to RTMR3 hold{why}")
    else:
        yield weakens("no event log is demanded: nothing explains what stands in a register that isn't pinned (require_event_log)")


def _compose(required: bool, context: Context) -> Iterable[Said]:
    if "tdx" not in context.policy.cpu:
        yield holds("a compose file is no matter on these CPUs: the application must be in what they measure")
    elif required:
        yield holds("a TDX guest's app-compose file is there, is the one that was measured, and is listed below")
    elif all(values.rtmr3 is not None for values in context.policy.tdx.reference_values):
        yield note("no compose file is looked at: the pinned RTMR3 alone speaks for the application")
    else:
        yield exposes("the application is not looked at: on an accepted operating system any container may read the prompts (require_compose)")


def _nvidia(value: msgspec.Struct | None, context: Context) -> Iterable[Said]:
    if value is None:
        yield exposes("GPUs are not looked at: a guest may hand prompts to a GPU whose memory the host can read (add a table nvidia)")
    else:
        yield from _tables(NVIDIA)(value, context)


def _provenance(value: msgspec.Struct | None, context: Context) -> Iterable[Said]:
    if value is None:
        yield note("nobody has to vouch for the software but you: no build attestation and no signed reference values are asked for")
    else:
        yield from _tables(PROVENANCE)(value, context)


def _tables(table: Table) -> Sentence:
    return lambda value, context: told(table, value, context)


def _if_used(kind: str, table: Table) -> Sentence:
    """What `table` says, where the policy accepts that kind of CPU."""
    return lambda value, context: _tables(table)(value, context) if kind in context.policy.cpu else ()


# In the order of the telling. `name` is the heading.
MACHINE: Table = {
    "name": lambda value, context: (),
    "level": _level,
    "reviewed": _reviewed,
    "cpu": _cpu,
    "tdx": _if_used("tdx", TDX),
    "require_event_log": _event_log,
    "require_compose": _compose,
    "snp": _if_used("sev-snp", SNP),
    "nitro": _if_used("nitro", NITRO),
    "nvidia": _nvidia,
    "provenance": _provenance,
    "service": _tables(SERVICE),
    "max_keyset_seconds": lambda value, context: (holds(f"keys that the machine states are valid for at most {span(value)}"),),
}


def outside(policy: AttestationPolicy) -> Iterator[str]:
    """What stays unproven under any policy of this kind."""
    if policy.nvidia is not None:
        yield "that GPUs and CPU are one machine: a shared nonce or hash shows that the CPU's owner asked them, not where they stand"
    yield "which model answers, and that its weights are the right ones, unless they are inside what is measured"
    yield "that accepted software is free of flaws, and sends prompts nowhere else: a measurement says which software it is, not that it is good"
    yield "that nobody stands beside the machine: TEE.fail, WireTap and Battering RAM read keys and memory from its bus"
    yield "flaws and side channels of the processor that nobody has published, and lengths and times of messages on the network"
    vendors = sorted({VENDORS[kind].split()[0] for kind in policy.cpu} | ({"NVIDIA"} if policy.nvidia is not None else set()))
    yield f"{' and '.join(vendors)}: their signing keys, and their word about what they built"
    if "nitro" in policy.cpu:
        yield "that AWS does not look itself: a Nitro enclave is kept apart by a hypervisor of theirs on a machine of theirs"
