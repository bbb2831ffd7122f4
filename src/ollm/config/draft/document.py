"""A whole draft. It says what machines say of themselves; the loader refuses it until a person has put a review in place of `false`."""

import datetime
from collections.abc import Callable, Sequence
from typing import TypeVar

from ollm.attest.evidence import NitroEvidence, NrasEvidence, NvidiaEvidence, SnpEvidence, TdxEvidence
from ollm.config.draft import nitro, nvidia, snp, tdx
from ollm.config.draft.writing import Source, comment, entry
from ollm.config.load import check_name
from ollm.errors import ConfigError, EvidenceRefused

_Evidence = TypeVar("_Evidence")
_Found = TypeVar("_Found")


def draft(sources: Sequence[Source], *, name: str, today: datetime.date) -> str:
    """A policy file called `name` that would admit the machines of `sources`, as a text of TOML for a person to review.

    Raises: ConfigError when some evidence can't be read, naming its file; or when it is not of one policy's machines.
    """
    check_name("policy", name)
    quotes = [(source, _read(source, tdx.measured, source.evidence)) for source in sources if isinstance(source.evidence, TdxEvidence)]
    reports = [(source, _read(source, snp.measured, source.evidence)) for source in sources if isinstance(source.evidence, SnpEvidence)]
    documents = [(source, _read(source, nitro.measured, source.evidence)) for source in sources if isinstance(source.evidence, NitroEvidence)]
    devices = [device for source in sources for device in _devices(source)]
    cpus = {"tdx": len(quotes), "sev-snp": len(reports), "nitro": len(documents)}
    if not any(cpus.values()):
        raise ConfigError("there is no evidence of a CPU", "GPUs alone are no machine: give the CPU's evidence too")

    simulated = _is_simulated(
        {found.simulated_root for _, found in quotes},
        {found.simulated_root for _, found in documents},
        {device.simulated_root for device in devices if device.by == "report"},
    )
    doubts = [(source, found.doubts) for source, found in quotes] + [(source, found.doubts) for source, found in reports]
    doubts += [(source, found.doubts) for source, found in documents]
    doubted = [(source, doubt) for source, of_it in doubts for doubt in of_it]
    lines = [*_head(sources, name, today, doubted), *entry("reviewed", False), ""]
    lines += entry("level", "simulated" if simulated else "tee")
    lines += entry("cpu", [kind for kind, number in cpus.items() if number])
    if quotes:
        logged, composed = all(found.log for _, found in quotes), all(found.compose_hash is not None for _, found in quotes)
        lines += [] if composed else _without_compose(logged=logged)
        lines += tdx.table(quotes, name=name, compose_required=composed)
    if reports:
        lines += snp.table(reports, name=name)
    if documents:
        lines += nitro.table(documents, name=name)
    if devices:
        lines += nvidia.table(devices, machines=sum(cpus.values()))
    return "\n".join(lines) + "\n"


def _devices(source: Source) -> tuple[nvidia.Device, ...]:
    if isinstance(source.evidence, NvidiaEvidence):
        return _read(source, nvidia.reported, source.evidence)
    return _read(source, nvidia.judged, source.evidence) if isinstance(source.evidence, NrasEvidence) else ()


def _is_simulated(*roots: set[str | None]) -> bool:
    """Whether the evidence is of simulated hardware, from the roots of each technology. Reports of SEV-SNP and tokens don't say.

    Raises: ConfigError for a mixture.
    """
    kinds = {root is not None for of_one in roots for root in of_one}
    if len(kinds) > 1 or any(len(of_one) > 1 for of_one in roots):
        raise ConfigError("the evidence is of simulated and of real hardware, or of two simulated installations", "draft a policy for each")
    return True in kinds


def _read(source: Source, read: Callable[[_Evidence], _Found], evidence: _Evidence) -> _Found:
    try:
        return read(evidence)
    except EvidenceRefused as refusal:
        raise ConfigError(f"{source.file}: {refusal.check}: got {refusal.got}, want {refusal.want}", "give evidence that can be read") from None


def _head(sources: Sequence[Source], name: str, today: datetime.date, doubted: Sequence[tuple[Source, str]]) -> list[str]:
    lines = [f'# Policy "{name}", drafted on {today} by `ollm policy from-evidence`. NOT REVIEWED.', "#"]
    lines += comment("It repeats what machines say of themselves in")
    for cited in dict.fromkeys(source.cited for source in sources):
        lines += comment(f"  {cited}")
    lines += comment("Nothing here was verified, and a hostile machine drafts the policy that admits it. So, before any gateway takes this file:")
    lines += comment("  1. get each value below once more from where this machine can't write: the comment above it says how;")
    lines += comment("  2. write where you have them from into `source`, for each set of reference values;")
    lines += comment("  3. read what the policy leaves open: `ollm policy explain` with this file;")
    lines += comment('  4. replace the next line by reviewed = "who, when, against what". As long as it says false, the file is refused;')
    lines += comment("  5. `ollm verify evidence` under this policy must accept the evidence. Before, nobody knows that it is genuine.")
    for source, doubt in doubted:
        lines += ["#", *comment(f"No policy drafted here accepts {source.cited}: {doubt}.")]
    return lines


def _without_compose(*, logged: bool) -> list[str]:
    lines = comment(
        "The evidence came without its event log and app-compose file, or without one of them. So RTMR3 alone speaks for the application below,"
        " and it differs between instances. Better: draft from evidence that has both."
    )
    lines += entry("require_compose", False)
    return lines if logged else [*lines, *entry("require_event_log", False)]
