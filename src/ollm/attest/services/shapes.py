"""Which shape a report has, by the members that only it has. Nothing is verified, and nothing is believed for having a shape."""

from collections.abc import Mapping
from typing import Any

from ollm.attest import strict_json
from ollm.attest.services.evidence import Shape
from ollm.errors import EvidenceRefused

REPORT = "report"  # the role of the document that a shape is told by
MAX_REPORT = 4 * 1024 * 1024  # bytes; real ones have 7 to 530 KB

_TINFOIL = "https://tinfoil.sh/predicate/"
_TINFOIL_V2 = (f"{_TINFOIL}sev-snp-guest/v2", f"{_TINFOIL}tdx-guest/v2")
_TINFOIL_V3 = f"{_TINFOIL}attestation/v3"


def shape_of(documents: Mapping[str, bytes]) -> Shape | None:
    """The shape of the report among `documents`; None for one that is not known. Raises: EvidenceRefused when there is none that can be read."""
    report = documents.get(REPORT)
    if report is None:
        raise EvidenceRefused("report.format", "no report", "one")
    document = strict_json.parse(report, limit=MAX_REPORT, check="report.format")
    return _of(document) if isinstance(document, dict) else None


def _of(document: dict[str, Any]) -> Shape | None:
    if "api_version" in document:
        return "aci"
    if "format" in document:
        return _tinfoil(document)
    if document.get("attestation_type") == "chutes" or ("evidence" in document and "failed_instance_ids" in document):
        return "chutes"
    if "gateway_attestation" in document:
        return "near-gateway"
    if "intel_quote" in document and "signing_address" in document:
        return "dstack"
    return "privatemode" if "AttestationDoc" in document else None


def _tinfoil(document: dict[str, Any]) -> Shape | None:
    if document["format"] in _TINFOIL_V2:
        return "tinfoil-v2"
    if document["format"] != _TINFOIL_V3:
        return None
    # One name for two forms: what was hashed into the report data stands as members in June's, and as transmitted bytes since.
    return "tinfoil-v3" if "cpu_evidence" in document else "tinfoil-v3-june"
