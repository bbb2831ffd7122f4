"""NEAR AI Cloud's gateway before a signer: its own report, and those of the machines that have the model.

    {"gateway_attestation": {"signing_address": …, "signing_algo": …, "intel_quote": hex, "event_log": JSON text, "request_nonce": …,
     "info": {…}, "tls_cert_fingerprint": hex}, "model_attestations": [a signer's report, …]}

The channel ends at the gateway: it reads whatever isn't sealed to the signer's key. Entries of another shape among those behind it (the
gateway passes on to other services too) are none of a machine that was asked for.

Source: nearai/cloud-api (attestation routes and report_data).
"""

from typing import Any

import msgspec

from ollm.attest.services.dstack_signer.report import SignerReport, members, parse_report
from ollm.errors import EvidenceRefused
from ollm.values.checks import Appraisal
from ollm.values.policy import AttestationPolicy, ServicePolicy

_FORMAT, _CANDIDATES = "gateway.format", "gateway.candidates"
_KEPT = ("tcb_status", "advisories", "tcb_date", "os_image_hash", "app_id", "compose_hash")


def split(document: Any, model: str | None) -> tuple[SignerReport | None, Any]:
    """The gateway's report, where there is one, and the document of the one signer behind it. Raises: EvidenceRefused."""
    if "gateway_attestation" not in members(document):
        return None, document
    front = parse_report(document["gateway_attestation"], _FORMAT)
    if front.fingerprint is None:
        raise EvidenceRefused(_FORMAT, "no fingerprint of its channel's key", "one")
    behind = document.get("model_attestations")
    candidates = [each for each in behind if _names(each, model)] if isinstance(behind, list) else []
    if len(candidates) != 1:
        raise EvidenceRefused(_CANDIDATES, f"{len(candidates)} reports of signers that have the model", "one")
    return front, candidates[0]


def _names(entry: Any, model: str | None) -> bool:
    """Whether `entry` is a signer's report about `model`."""
    found = members(entry)
    return "signing_address" in found and "intel_quote" in found and (model is None or found.get("model_name") == model)


def check_accepted(policy: AttestationPolicy) -> None:
    """The policy says what a gateway must be. Raises: EvidenceRefused with gateway.accepted."""
    if policy.service.gateway_tdx is None:
        raise EvidenceRefused("gateway.accepted", "a machine behind a gateway", "none, as the policy says nothing of gateways (service.gateway_tdx)")


def rules(policy: AttestationPolicy) -> AttestationPolicy:
    """What `policy` demands of the gateway: its own table for TDX, and no GPUs."""
    gateway = policy.service.gateway_tdx
    if gateway is None:
        raise EvidenceRefused("gateway.accepted", "no rules for a gateway", "service.gateway_tdx")
    return msgspec.structs.replace(policy, cpu=("tdx",), tdx=gateway, nvidia=None, provenance=None, service=ServicePolicy())


def facts(judged: Appraisal) -> dict[str, str]:
    """What is worth keeping of the gateway's machine."""
    return {f"gateway_{name}": judged.claims.extra[name] for name in _KEPT if name in judged.claims.extra}
