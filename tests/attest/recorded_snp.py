"""Reads recorded SEV-SNP evidence of real machines, where the folder is given: cases with their verdicts, reports, endorsements."""

import base64
import json
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ollm.attest.evidence import SnpCollateral, SnpEvidence
from ollm.values.policy import SnpPolicy

Case = dict[str, Any]

# Our check -> the reason that the recorded verdicts give for the same finding.
REASONS = {
    "snp.format": "malformed",
    "snp.collateral": "malformed",
    "snp.certificate": "malformed",
    "snp.root": "chain",
    "snp.chain": "chain",
    "snp.validity": "expired",
    "snp.revocation": "revoked",
    "snp.chip": "hwid_mismatch",
    "snp.endorsed_tcb": "tcb_mismatch",
    "snp.signature": "signature",
    "snp.debug": "debug",
    "machine.collateral": "endorsement_missing",  # the recording has no certificate of the key: no SnpCollateral can be built
}
PROVIDERS = ("CN=cc-us-east-2.amazonaws.com",)


def cases(folder: Path) -> list[Case]:
    """Every recorded SEV-SNP case with its verdict."""
    return [case for case in json.loads((folder / "VERDICTS.json").read_bytes()) if case["tech"] == "snp"]


def find(folder: Path, file: str, variant: str | None = None) -> Case:
    """The case of `file`."""
    return next(case for case in cases(folder) if case["file"] == file and case.get("variant") == variant)


def evidence(folder: Path, case: Case) -> SnpEvidence:
    """The report of `case`."""
    data = (folder / case["file"]).read_bytes()
    place = case.get("report_at")
    if place is None:
        return SnpEvidence(report=data)
    data = base64.b64decode(data) if place["encoding"] == "base64" else data
    return SnpEvidence(report=data[place["offset"] : place["offset"] + place["length"]])


def collateral(folder: Path, case: Case) -> SnpCollateral | None:
    """What was recorded of AMD's statements for `case`; None where the certificate of the key is not among it."""
    roles = case["collateral"]
    leaf = roles.get("vcek") or roles.get("vlek")
    if leaf is None:
        return None
    crl = (folder / roles["crl"]).read_bytes() if "crl" in roles else None
    return SnpCollateral(leaf=_certificate(folder, leaf), chain=(folder / roles["ask_ark_chain"]).read_text(), crl=crl)


def policy(case: Case) -> SnpPolicy:
    """Hardware of AMD, as loose as the recorded verdicts: they are about whether reports are genuine and not of debugged guests."""
    return SnpPolicy(require_crl="crl" in case["collateral"], allow_vlek=True, vlek_csp_ids=PROVIDERS, vmpls=(0, 1))


def _certificate(folder: Path, role: str) -> bytes:
    """DER of the first certificate in a file, or in the member of a JSON file that `#` names."""
    file, _, member = role.partition("#")
    data = (folder / file).read_bytes()
    if member:
        data = json.loads(data)[member].encode()
    return x509.load_pem_x509_certificates(data)[0].public_bytes(Encoding.DER) if data.startswith(b"-----") else data
