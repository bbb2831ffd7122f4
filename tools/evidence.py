"""`make evidence`: every recorded case of real evidence gets its verdict, at its time, with its collateral, for one of its reasons.

The recordings lie outside the project (OLLM_EVIDENCE_DIR). Ends 0 only when all agree; `--write` puts the table into
docs/reference/evidence-coverage.md. Cases that NVIDIA's file format judges alone (kind rim), and devices without a CPU, go through the
doors of their own packages; all others through the door for machines.
"""

import json
import os
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.utils import CryptographyDeprecationWarning

from ollm.attest.checks import Trail
from ollm.attest.evidence import CpuCollateral, CpuEvidence, Expected, MachineCollateral, MachineEvidence
from ollm.attest.machine import appraise_machine
from ollm.attest.nvidia import appraise as nvidia
from ollm.attest.tokens import appraise as tokens
from ollm.cli.logs import AMD_SERIAL
from ollm.errors import EvidenceRefused
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy
from tests.attest import recorded, recorded_nitro, recorded_nvidia, recorded_snp, recorded_tokens

PAGE = Path(__file__).parent.parent / "docs/reference/evidence-coverage.md"
Case = dict[str, Any]

REASONS = {**recorded.REASONS, **recorded_snp.REASONS, **recorded_nitro.REASONS, **recorded_nvidia.REASONS, **recorded_tokens.REASONS}
MISSING = "endorsement_missing"
OUTSIDE = {
    "sgx": "SGX enclaves are not confidential machines: recognised and refused by name",
    "oidc": "clouds' and other verifiers' tokens: recognised and refused by name",
}


class Found(NamedTuple):
    """Our verdict on a case. `check` is what refused; None: accepted."""

    check: str | None
    got: str = ""

    @property
    def verdict(self) -> str:
        return "accept" if self.check is None else "refuse"


class Row(NamedTuple):
    case: Case
    found: Found | None  # None: outside this release

    @property
    def agrees(self) -> bool:
        """The same verdict, and for a refusal a reason that was found too; what nobody could decide, we refuse for want of an endorsement."""
        if self.found is None:
            return True
        if self.case["verdict"] == "accept":
            return self.found.check is None
        reasons = self.case.get("all_reasons") or [MISSING]
        return self.found.check is not None and REASONS.get(self.found.check) in reasons


def seconds(case: Case) -> int:
    """The time at which a case was judged."""
    return int(datetime.fromisoformat(case["at"]).timestamp())


def _machine(found: CpuEvidence, collateral: CpuCollateral, now: int, **tables: Any) -> Found:
    policy = AttestationPolicy(name="hardware", level=Level.TEE, **tables)
    evidence = MachineEvidence(cpu=found)
    failure = appraise_machine(evidence, MachineCollateral(cpu=collateral), policy, now, expected=Expected(), compare=False).failure
    return Found(None) if failure is None else Found(failure.name, failure.got)


def _tdx(folder: Path, case: Case) -> Found:
    policy = recorded.policy(case)
    return _machine(recorded.evidence(folder, case), recorded.collateral(folder, case), seconds(case), tdx=policy)


def _snp(folder: Path, case: Case) -> Found:
    collateral = recorded_snp.collateral(folder, case) if case["collateral"] else None
    policy = recorded_snp.policy({"collateral": {}, **{name: value for name, value in case.items() if value is not None}})
    return _machine(recorded_snp.evidence(folder, case), collateral, seconds(case), cpu=("sev-snp",), snp=policy)


def _nitro(folder: Path, case: Case) -> Found:
    return _machine(recorded_nitro.evidence(folder, case), None, seconds(case), cpu=("nitro",), nitro=recorded_nitro.policy(case))


def _rim(folder: Path, case: Case) -> Found:
    return _refusal(lambda: recorded_nvidia.appraise_rim((folder / case["file"]).read_bytes(), recorded_nvidia.policy(case, folder), seconds(case)))


def _devices(folder: Path, case: Case) -> Found:
    policy, nonce = recorded_nvidia.policy(case, folder), recorded_nvidia.nonce(case)
    collateral = recorded_nvidia.collateral(folder, case)

    def judge() -> None:
        for device in recorded_nvidia.evidence(folder, case):
            trail = Trail(nvidia.plan(policy))
            nvidia.genuine_device(trail, device, collateral, policy, seconds(case), nonce=nonce)
            trail.completed()

    return _refusal(judge)


def _token(folder: Path, case: Case) -> Found:
    policy, nonce = recorded_tokens.policy(case), recorded_tokens.nonce(case)
    evidence, collateral = recorded_tokens.evidence(folder, case), recorded_tokens.collateral(folder, case)
    return _refusal(lambda: tokens.judged_devices(Trail(tokens.plan(policy)), evidence, collateral, policy, seconds(case), nonce=nonce))


def _refusal(call: Callable[[], object]) -> Found:
    try:
        call()
    except EvidenceRefused as refusal:
        return Found(refusal.check, refusal.got)
    return Found(None)


JUDGES: dict[tuple[str, str], Callable[[Path, Case], Found]] = {
    ("tdx", "quote"): _tdx,
    ("snp", "report"): _snp,
    ("nitro", "document"): _nitro,
    ("nvidia", "rim"): _rim,
    ("nvidia", "gpu-evidence"): _devices,
    ("nvidia", "token"): _token,
}


def judged(folder: Path) -> list[Row]:
    """Our verdict on every recorded case."""
    cases: list[Case] = json.loads((folder / "VERDICTS.json").read_bytes())
    return [Row(case, None if case["tech"] in OUTSIDE else JUDGES[case["tech"], case["kind"]](folder, case)) for case in cases]


INTRODUCTION = """\
# Evidence coverage

Recorded evidence of real machines, judged by this release: each case at its own time, with its own collateral. The recordings are not ours
to publish and are no part of the project; `make evidence` judges them where `OLLM_EVIDENCE_DIR` names their folder, and makes this page with
`WRITE=1`. The verdicts were established by other programs before.

*Expected* is the verdict that was established, with every reason that was found for a refusal; *endorsement_missing* means that a vendor's
statement was not recorded, so nobody could accept. *Got* is ours, with the [check](checks.md) that refused. The cases ask whether evidence
is genuine and not of a debugged machine, so no measurements are compared; NVIDIA's cases were recorded without revocation answers, and two
of AMD's without a CRL, so their policies demand none. `q_v4_gotdx_spr_e4.dat` ends in a text that was appended to show that verifiers
overlook it: with it the file is refused as `quote.format`, and its case here is about the quote before it.
"""


def page(rows: list[Row]) -> str:
    """The page's text."""
    parts = [INTRODUCTION, "| technology | cases | accepted | refused | for want of an endorsement | agree |\n|---|---|---|---|---|---|"]
    within = [row for row in rows if row.found is not None]
    for tech in dict.fromkeys(row.case["tech"] for row in within):
        mine = [row for row in within if row.case["tech"] == tech]
        count = Counter(row.case["verdict"] for row in mine)
        agree = sum(row.agrees for row in mine)
        parts.append(f"| {tech} | {len(mine)} | {count['accept']} | {count['refuse']} | {count['indeterminate']} | {agree} |")
    parts.append("\n| technology | vector | expected | got |\n|---|---|---|---|")
    parts += [_line(row) for row in within]
    parts.append("\n## Outside this release\n")
    for tech, why in OUTSIDE.items():
        names = ", ".join(f"`{_name(row.case)}`" for row in rows if row.case["tech"] == tech)
        parts.append(f"- {tech} ({why}): {names}")
    return "\n".join(parts) + "\n"


def _line(row: Row) -> str:
    case, found = row.case, row.found
    reasons = ", ".join(case.get("all_reasons") or ([MISSING] if case["verdict"] == "indeterminate" else []))
    expected = f"{case['verdict']}: {reasons}" if reasons else case["verdict"]
    got = "accept" if found is None or found.check is None else f"refuse: `{found.check}`"
    return f"| {case['tech']} | `{_name(case)}` | {expected} | {got}{'' if row.agrees else ' **differs**'} |"


def _name(case: Case) -> str:
    stem = case["file"].partition("/")[2]
    return f"{stem} {case['variant']}" if case.get("variant") else stem


def main(arguments: list[str]) -> int:
    """Judge everything; the exit status."""
    place = os.environ.get("OLLM_EVIDENCE_DIR")
    if not place:
        print("no recorded evidence: set OLLM_EVIDENCE_DIR to its folder", file=sys.stderr)
        return 2
    warnings.filterwarnings("ignore", message=AMD_SERIAL, category=CryptographyDeprecationWarning)
    rows = judged(Path(place))
    for row in rows:
        if row.found is None:
            print(f"outside {row.case['tech']:<7} {_name(row.case)}")
        else:
            mark, got = "agrees " if row.agrees else "DIFFERS", row.found.check or "accept"
            print(f"{mark} {row.case['tech']:<7} {_name(row.case)}: {row.case['verdict']}, {got}")
    differing = [row for row in rows if not row.agrees]
    for row in differing:
        print(f"\n{_name(row.case)}: expected {row.case['verdict']} {row.case.get('all_reasons')}, got {row.found}", file=sys.stderr)
    text = page(rows)
    if "--write" in arguments:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        print(f"\n{PAGE.name} is another table: make evidence WRITE=1", file=sys.stderr)
        return 1
    judged_here = sum(row.found is not None for row in rows)
    print(f"\n{judged_here - len(differing)} of {judged_here} cases agree; {len(rows) - judged_here} are outside this release")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
