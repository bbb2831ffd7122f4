"""What a person does with a draft, in the least possible time."""

import tomllib
from pathlib import Path
from typing import Any

from ollm.attest.evidence import CpuEvidence, DeviceEvidence
from ollm.config.draft.document import draft
from ollm.config.draft.writing import Source
from ollm.config.policy_file import policy_of
from ollm.values.policy import AttestationPolicy
from tests.config.samples import TODAY


def drafted(*evidence: CpuEvidence | DeviceEvidence, name: str = "acme") -> str:
    """The draft from files called 0.bin, 1.bin, …"""
    return draft([Source(f"{index}.bin", f"{index:02x}" * 32, part) for index, part in enumerate(evidence)], name=name, today=TODAY)


def tree(text: str) -> dict[str, Any]:
    return tomllib.loads(text)


def reviewed(text: str, **tables: dict[str, Any]) -> AttestationPolicy:
    """The policy that `text` becomes when a reviewer signs it off; `tables` has members that only a person knows."""
    rules = tree(text)
    assert rules["reviewed"] is False
    rules["reviewed"] = "by the tests"
    for table in ("tdx", "snp", "nitro"):
        for values in rules.get(table, {}).get("reference_values", ()):
            assert values["source"].endswith("NOT REVIEWED")
            values["source"] = "minted"
    for table, members in tables.items():
        rules[table] = {**rules[table], **members}
    return policy_of("acme", rules, Path())
