"""Reads recorded AWS Nitro documents, where the folder is given: cases with their verdicts.

Some files have framing around the document; a case says which bytes it is about.
"""

import json
from pathlib import Path
from typing import Any

from ollm.attest.evidence import NitroEvidence
from ollm.values.policy import NitroPolicy

Case = dict[str, Any]

# Our check -> the reason that the recorded verdicts give for the same finding.
REASONS = {
    "nitro.format": "malformed",
    "nitro.algorithm": "algorithm",
    "nitro.root": "wrong_root",
    "nitro.chain": "chain",
    "nitro.validity": "expired",
    "nitro.signature": "signature",
    "nitro.debug": "debug",
}


def cases(folder: Path) -> list[Case]:
    """Every recorded Nitro case with its verdict."""
    return [case for case in json.loads((folder / "VERDICTS.json").read_bytes()) if case["tech"] == "nitro"]


def evidence(folder: Path, case: Case) -> NitroEvidence:
    """The document of `case`."""
    data = (folder / case["file"]).read_bytes()
    start, end = case.get("slice", (0, len(data)))
    return NitroEvidence(document=data[start:end])


def collateral(folder: Path, case: Case) -> None:
    """None: a document carries its own certificates, and the root is pinned."""


def policy(case: Case) -> NitroPolicy:
    """Hardware of AWS. The recorded verdicts ask for no age: a document is as old as its certificate, three hours, at most."""
    return NitroPolicy(max_age_seconds=4 * 3600)
