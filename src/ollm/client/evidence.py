"""Evidence in files -> the evidence of one machine: what an auditor was handed, put together as a verifier would have received it.

Which file is what is told by its bytes. Nothing is verified here.
"""

from collections.abc import Sequence

import msgspec

from ollm.attest.evidence import CpuEvidence, DeviceEvidence, MachineEvidence, TdxEvidence
from ollm.attest.recognise import Kind, Recognised, recognise
from ollm.attest.tokens.unsupported import check_supported
from ollm.errors import ConfigError, EvidenceRefused


class Explanations(msgspec.Struct, frozen=True, kw_only=True):
    """What lies beside a TDX quote in files of its own."""

    event_log: str | None = None
    app_compose: str | None = None
    vm_config: str | None = None


class Gathered(msgspec.Struct, frozen=True, kw_only=True):
    """The machine, and the nonces that its files name: hints for people, which prove nothing."""

    machine: MachineEvidence
    nonce_hints: tuple[bytes, ...] = ()


def gather(files: Sequence[tuple[str, bytes]], explained: Explanations) -> Gathered:
    """One machine from `files`, pairs of name and content.

    Raises: EvidenceRefused for evidence that this release doesn't judge, or of several machines; ConfigError for what is no evidence.
    """
    found = [(name, recognise(data), data) for name, data in files]
    logs = [data for _, each, data in found if each.kind is Kind.EVENT_LOG]
    cpus: list[CpuEvidence] = []
    devices: list[DeviceEvidence] = []
    for name, each, _ in found:
        if each.kind is Kind.EVENT_LOG:
            continue
        _check_known(name, each)
        cpus += [] if each.cpu is None else [each.cpu]
        devices += each.devices
    if len(cpus) != 1:
        raise EvidenceRefused("machine.technology", f"{len(cpus)} CPU reports", "one: devices alone are no machine, and several are several")
    cpu = _explained(cpus[0], explained, logs)
    hints = tuple(dict.fromkeys(each.nonce_hint for _, each, _ in found if each.nonce_hint is not None))
    return Gathered(machine=MachineEvidence(cpu=cpu, devices=tuple(devices)), nonce_hints=hints)


def _check_known(name: str, found: Recognised) -> None:
    if found.kind is Kind.UNKNOWN:
        raise ConfigError(f"{name} holds nothing that is known as evidence", "give a quote, report, document or token as it was received")
    check_supported(found)
    if found.cpu is None and not found.devices:
        raise ConfigError(f"{name} holds {found.kind}, and no part of it can be read", "give it as it was received")


def _explained(cpu: CpuEvidence, explained: Explanations, logs: Sequence[bytes]) -> CpuEvidence:
    """`cpu` with what was given beside it; what a file of evidence carries itself stays, unless another was given."""
    given = {name: value for name, value in msgspec.structs.asdict(explained).items() if value is not None}
    if len(logs) > 1:
        raise ConfigError(f"{len(logs)} event logs of the firmware were given", "give the one of this machine")
    if logs:
        given["ccel"] = logs[0]
    if not given:
        return cpu
    if not isinstance(cpu, TdxEvidence):
        raise ConfigError(f"{', '.join(sorted(given))} explain a TDX quote, and none was given", "leave them out")
    return msgspec.structs.replace(cpu, **given)
