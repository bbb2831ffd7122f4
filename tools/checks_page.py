"""Writes docs/reference/checks.md from the tables of checks: `make docs`. `make check` fails where the page is another."""

import sys
from pathlib import Path

import msgspec

from ollm.attest import checks
from ollm.attest.dstack import checks as dstack
from ollm.attest.nitro import checks as nitro
from ollm.attest.nvidia import checks as nvidia
from ollm.attest.proof import Proof
from ollm.attest.provenance import checks as provenance
from ollm.attest.services.chutes import checks as chutes
from ollm.attest.services.dstack_signer import checks as dstack_signer
from ollm.attest.services.privatemode import checks as privatemode
from ollm.attest.services.tinfoil import checks as tinfoil
from ollm.attest.sevsnp import checks as sevsnp
from ollm.attest.tdx import checks as tdx
from ollm.attest.tokens import checks as tokens
from ollm.attest.tokens import unsupported
from ollm.receipts import audit
from ollm.receipts.receipt import STEPS

PAGE = Path(__file__).parent.parent / "docs/reference/checks.md"

INTRODUCTION = """\
# Checks

What an appraisal looks at, by name. Names are stable: refusals, receipts, `ollm verify` and the tests use them. A refusal names the first
check that failed, with what was got and what was wanted; the checks behind it count as *not reached*, which says nothing either way.

This page is made from the source (`make docs`). The order is the order of appraisal. An ACI service goes through its *report*, *Intel TDX*,
the *channel* and *dstack*; a machine through *machine*, its CPU's technology, the *statement*, for each device that the policy demands *GPU*
or *token*, and then *devices together*. What a policy leaves out is not in its plan; `ollm policy explain` says what that leaves open.

To see a check refuse, let a simulated enclave [do it wrong](breaks.md). Which recorded evidence was judged, and how, is in
[evidence coverage](evidence-coverage.md).
"""

# Checks of a session document against the id that a receipt cites.
SESSION_CHECKS = {
    "session.format": "the session is one strict JSON document with the members of a session",
    "session.id": "the document hashes to the id by which it is cited",
    "session.version": "it is of ACI version aci/1",
    "session.period": "it expires after it was established",
    "session.evidence": "the evidence in it hashes to the digest that stands beside it",
    "session.identity": "the evidence in it is that of the machine and keyset that it names",
    "session.channel_binding": "the keys it names are those that its evidence binds",
}


class Section(msgspec.Struct, frozen=True):
    title: str
    text: str
    checks: dict[str, Proof]


def _without_source(proofs: dict[str, str]) -> dict[str, Proof]:
    return {name: Proof(proves, "") for name, proves in proofs.items()}


SECTIONS = (
    Section("Before anything else", "", {**checks.BEFORE, **unsupported.CHECKS}),
    Section(
        "Shape of a service's report",
        "Where a provider's reports have one of several shapes. Which one decides what binds what; a host's name never does.",
        checks.SHAPE,
    ),
    Section("Keys of a service", "Made last, where a provider's service is judged.", checks.CUSTODY),
    Section(
        "Signer in a dstack machine",
        "Reports of NEAR AI and of dstack's vLLM proxy. `gateway.*` only behind NEAR's gateway, `manager.*` only where such a statement is there or "
        "demanded (`service.require_manager`), `signer.ohttp` only where a configuration is.",
        dstack_signer.CHECKS,
    ),
    Section("Report of an ACI service", "", checks.REPORT),
    Section("Tinfoil's attestation document", "Which are made depends on its form: v2, v3 as of June 2026, v3.", tinfoil.CHECKS),
    Section(
        "Instances of a chute",
        "`chutes.nonce` only where a gateway passed the evidence on. Machines are named `instance0` and so on.",
        chutes.CHECKS,
    ),
    Section("Privatemode's coordinator and secret", "The first two before the coordinator's machine, the others after it.", privatemode.CHECKS),
    Section("Machine", "What is demanded of the parts that were sent, before any of them is judged.", checks.MACHINE),
    Section("Intel TDX", "", tdx.CHECKS),
    Section("AMD SEV-SNP", "", sevsnp.CHECKS),
    Section("AWS Nitro", "", nitro.CHECKS),
    Section("Channel of an ACI service", "", checks.CHANNEL),
    Section("Statement of a machine", "Made where something was asked of it.", checks.BINDING),
    Section("What the firmware of a TDX machine measured", "Where the policy demands its log (`tdx.require_firmware_log`).", tdx.SOFTWARE),
    Section(
        "What a dstack machine booted and runs",
        "A policy can leave out `compose.*` (`require_compose`), and then `event_log.*` too (`require_event_log`).",
        dstack.CHECKS,
    ),
    Section("NVIDIA GPU or switch", "Made for each device, which the result names.", nvidia.CHECKS),
    Section("NVIDIA's word about devices (NRAS)", "Only where the policy accepts it.", tokens.CHECKS),
    Section("Devices together", "", checks.DEVICES),
    Section("Provenance", "Where the policy has a table `provenance`.", provenance.CHECKS),
    Section(
        "Of a receipt",
        "`ollm verify receipt` goes through these. The keyset must be established first: from the gateway's own evidence, or as a pinned digest.",
        _without_source(STEPS),
    ),
    Section("Of a session document", "", _without_source(SESSION_CHECKS)),
    Section(
        "Of the audit log",
        "`ollm verify audit` goes through these for each event; `audit.mac` only with the row key, `audit.head` only with a remembered head. "
        "[What the log holds](audit.md).",
        _without_source(audit.STEPS),
    ),
)


def proofs() -> dict[str, Proof]:
    """Every check that a refusal can name."""
    return {name: proof for section in SECTIONS for name, proof in section.checks.items()}


def page() -> str:
    """The text of the page."""
    parts = [INTRODUCTION]
    listed: set[str] = set()
    for section in SECTIONS:
        rows = {name: proof for name, proof in section.checks.items() if name not in listed}
        listed |= set(rows)
        sourced = any(proof.source for proof in rows.values())
        head = "| check | passed, it proves that | demanded by |\n|---|---|---|" if sourced else "| check | passed, it proves that |\n|---|---|"
        lines = [f"| `{name}` | {proof.proves} |" + (f" {proof.source} |" if sourced else "") for name, proof in rows.items()]
        parts.append("\n".join(filter(None, (f"## {section.title}\n", section.text + "\n" if section.text else "", head, *lines))) + "\n")
    return "\n".join(parts)


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
