"""Reads recorded tokens of NVIDIA's attestation service, where the folder is given: cases with their verdicts, and captures.

The cases came without the service's keys; captures of whole verifications have tokens and the key set of the same minute.
"""

import base64
import json
from pathlib import Path
from typing import Any

from ollm.attest.evidence import NrasCollateral, NrasEvidence
from ollm.values.policy import NvidiaPolicy

Case = dict[str, Any]

# Our check -> the reason that the recorded verdicts give for the same finding.
REASONS = {
    "nras.format": "malformed",
    "nras.algorithm": "algorithm",
    "nras.issuer": "issuer",
    "nras.key": "endorsement_missing",
    "nras.signature": "signature",
    "nras.validity": "expired",
    "nras.digests": "signature",
    "nras.nonce": "binding",
}
NO_KEYS = NrasCollateral(jwks=b'{"keys":[]}')


def cases(folder: Path) -> list[Case]:
    """Every recorded token with its verdict."""
    return [case for case in json.loads((folder / "VERDICTS.json").read_bytes()) if (case["tech"], case["kind"]) == ("nvidia", "token")]


def evidence(folder: Path, case: Case) -> NrasEvidence:
    """The bundle of `case`; NVIDIA's tools write it as a member of their output."""
    data = (folder / case["file"]).read_bytes()
    document = json.loads(data)
    return NrasEvidence(token=data if isinstance(document, list) else json.dumps(document["detached_eat"]).encode())


def collateral(folder: Path, case: Case) -> NrasCollateral:
    """No key of the service was recorded with the cases."""
    return NO_KEYS


def policy(case: Case) -> NvidiaPolicy:
    """Hardware of NVIDIA, by the word of its service."""
    return NvidiaPolicy(accept=("nras",))


def nonce(case: Case) -> bytes | None:
    """What the service was asked about."""
    stated = case["expect"].get("eat_nonce")
    return None if stated is None else bytes.fromhex(stated)


def captures(folder: Path) -> list[Path]:
    """Folders of captures that have an answer of the service."""
    return sorted({path.parent for path in folder.glob("captures/*/responses/*_v3_attest_gpu.body")})


def captured(responses: Path) -> tuple[NrasEvidence, NrasCollateral, bytes, int]:
    """Bundle, key set, nonce that was asked about, and the second in which the service answered."""
    (answer,), (asked,) = responses.glob("*_v3_attest_gpu.body"), responses.glob("*_v3_attest_gpu.json")
    (keys,) = responses.glob("*_jwks.json.body")
    request = json.loads(base64.b64decode(json.loads(asked.read_bytes())["req_body_base64"]))
    payload = json.loads(answer.read_bytes())[0][1].split(".")[1]
    issued = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["iat"]
    return NrasEvidence(token=answer.read_bytes()), NrasCollateral(jwks=keys.read_bytes()), bytes.fromhex(request["nonce"]), issued
