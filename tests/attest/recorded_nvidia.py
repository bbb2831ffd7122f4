"""Reads recorded evidence of NVIDIA devices and reference files, where the folder is given: cases with their verdicts.

Reports come raw, in hex, or in JSON lists as NVIDIA's tools write them. The cases were judged without OCSP.
"""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ollm.attest.checks import Trail
from ollm.attest.evidence import NvidiaCollateral, NvidiaEvidence
from ollm.attest.nvidia import appraise, chain
from ollm.attest.nvidia.rim import Rim
from ollm.values.policy import NvidiaPolicy

Case = dict[str, Any]

# Our check -> the reason that the recorded verdicts give for the same finding.
REASONS = {
    "device.format": "malformed",
    "device.certificates": "malformed",
    "device.chain": "chain",
    "device.root": "wrong_root",
    "device.validity": "expired",
    "device.signature": "signature",
    "device.nonce": "binding",
    "device.fwid": "fwid",
    "rim.present": "endorsement_missing",
    "rim.format": "malformed",
    "rim.root": "wrong_root",
    "rim.chain": "chain",
    "rim.validity": "expired",
    "rim.signature": "signature",
    "rim.version": "measurement",
    "device.measurements": "measurement",
}


def cases(folder: Path, kind: str) -> list[Case]:
    """Every recorded NVIDIA case of `kind`: rim or gpu-evidence."""
    return [case for case in json.loads((folder / "VERDICTS.json").read_bytes()) if case["tech"] == "nvidia" and case["kind"] == kind]


def find(folder: Path, file: str, variant: str | None = None) -> Case:
    """The case of `file`."""
    found = [*cases(folder, "gpu-evidence"), *cases(folder, "rim")]
    return next(case for case in found if case["file"] == f"nvidia/{file}" and case.get("variant") == variant)


def evidence(folder: Path, case: Case) -> tuple[NvidiaEvidence, ...]:
    """The devices of a case of kind gpu-evidence."""
    data = (folder / case["file"]).read_bytes()
    if case["file"].endswith(".json"):
        document = json.loads(data)
        items = document if isinstance(document, list) else document["evidence_list"]
        return tuple(
            NvidiaEvidence(report=base64.b64decode(item["evidence"]), certificate_chain=base64.b64decode(item["certificate"]).decode())
            for item in items
        )
    report = data if data[:1] == b"\x11" else bytes.fromhex(data.decode().strip())
    report = report[: len(report) - int(case.get("drop_trailing_bytes", 0))]
    return (NvidiaEvidence(report=report, certificate_chain=(folder / case["collateral"]["certificate_chain"]).read_text()),)


def expected(case: Case) -> list[Case]:
    """What was found in each device's report."""
    items: list[Case] = case["expect"].get("items") or [case["expect"]]
    return items


def nonce(case: Case) -> bytes:
    """The nonce that the devices were asked with; one case was judged against another on purpose."""
    return bytes(32) if case.get("variant") == "expected_nonce_is_zero" else bytes.fromhex(expected(case)[0]["nonce"])


def collateral(folder: Path, case: Case) -> NvidiaCollateral:
    """The reference files of a case."""
    files = {role: (folder / case["collateral"][role]).read_bytes() for role in ("driver_rim", "vbios_rim") if role in case["collateral"]}
    return NvidiaCollateral(**files)


def policy(case: Case, folder: Path | None = None) -> NvidiaPolicy:
    """A policy that asks what the case was asked. One case names another root: it stands in for a policy that pins that."""
    root = case["collateral"].get("rim_root")
    pin = None
    if folder is not None and root is not None and root != "nvidia/root_rim.pem":
        pin = hashlib.sha256(x509.load_pem_x509_certificate((folder / root).read_bytes()).public_bytes(Encoding.DER)).hexdigest()
    return NvidiaPolicy(require_ocsp=False, simulated_rim_root_sha256=pin)


def appraise_rim(data: bytes, policy: NvidiaPolicy, now: int) -> Rim:
    """Appraise a reference file alone. Raises: EvidenceRefused."""
    trail = Trail(appraise.RIM_PLAN)
    (rim,) = appraise.genuine_rims(trail, appraise.read_rims(trail, [("RIM", data)]), policy, now)
    trail.completed()
    return rim


def ocsp_responses(folder: Path, *names: str) -> tuple[bytes, ...]:
    """Recorded OCSP responses by the middle of their names."""
    return tuple(base64.b64decode((folder / f"nvidia/gonv_ocsp_test_{name}_base64encoded_ocsp_response.dat").read_bytes()) for name in names)


def load_chain(folder: Path, file: str) -> tuple[x509.Certificate, ...]:
    return chain.load_device_chain((folder / file).read_text())
