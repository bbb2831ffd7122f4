"""A whole draft. It says what machines say of themselves; the loader refuses it until a person has put a review in place of `false`."""

import datetime
from collections.abc import Callable, Sequence
from typing import TypeVar

from ollm.attest.evidence import SnpEvidence, TdxEvidence
from ollm.config.draft import snp, tdx
from ollm.config.draft.writing import Source, comment, entry
from ollm.errors import ConfigError, EvidenceRefused

_Evidence = TypeVar("_Evidence")
_Found = TypeVar("_Found")


def draft(sources: Sequence[Source], *, name: str, today: datetime.date) -> str:
    """A policy file called `name` that would admit the machines of `sources`, as a text of TOML for a person to review.

    Raises: ConfigError when some evidence can't be read, naming its file.
    """
    quotes = [(source, _read(source, tdx.measured, source.evidence)) for source in sources if isinstance(source.evidence, TdxEvidence)]
    reports = [(source, _read(source, snp.measured, source.evidence)) for source in sources if isinstance(source.evidence, SnpEvidence)]
    roots = {found.simulated_root for _, found in quotes}
    if len(roots) > 1:
        raise ConfigError("the evidence is of simulated and of real hardware, or of two simulated installations", "draft a policy for each")
    lines = [*_head(sources, name, today), *entry("reviewed", False), ""]
    lines += entry("level", "simulated" if roots - {None} else "tee")
    lines += entry("cpu", [kind for kind, found in (("tdx", quotes), ("sev-snp", reports)) if found])
    if quotes:
        logged, composed = all(found.log for _, found in quotes), all(found.compose_hash is not None for _, found in quotes)
        lines += [] if composed else _without_compose(logged=logged)
        lines += tdx.table(quotes, name=name, compose_required=composed)
    if reports:
        lines += snp.table(reports, name=name)
    return "\n".join(lines) + "\n"


def _read(source: Source, read: Callable[[_Evidence], _Found], evidence: _Evidence) -> _Found:
    try:
        return read(evidence)
    except EvidenceRefused as refusal:
        raise ConfigError(f"{source.file}: {refusal.check}: got {refusal.got}, want {refusal.want}", "give evidence that can be read") from None


def _head(sources: Sequence[Source], name: str, today: datetime.date) -> list[str]:
    lines = [f'# Policy "{name}", drafted on {today} by `ollm policy from-evidence`. NOT REVIEWED.', "#"]
    lines += comment("It repeats what machines say of themselves in")
    for source in sources:
        lines += comment(f"  {source.cited}")
    lines += comment("Nothing here was verified, and a hostile machine drafts the policy that admits it. So, before any gateway takes this file:")
    lines += comment("  1. verify that the evidence is genuine: `ollm verify evidence`;")
    lines += comment("  2. get each value below once more from where this machine can't write: the comment above it says how;")
    lines += comment("  3. read what the policy leaves open: `ollm policy explain` with this file;")
    lines += comment('  4. replace the next line by reviewed = "who, when, against what". As long as it says false, the file is refused.')
    return lines


def _without_compose(*, logged: bool) -> list[str]:
    lines = comment(
        "The evidence came without its event log and app-compose file, or without one of them. So RTMR3 alone speaks for the application below,"
        " and it differs between instances. Better: draft from evidence that has both."
    )
    lines += entry("require_compose", False)
    return lines if logged else [*lines, *entry("require_event_log", False)]
