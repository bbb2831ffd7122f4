"""What another verifier enforced of a recording, line by line, and which of our checks asks the same. Its verdict is not taken for a truth.

A line is covered when the appraisal has one of the checks beside it; else the provider's page has to name it (`line`) and say why.
"""

import re
from collections.abc import Collection

_LINE = re.compile(r"^\s+[✓✗]\s+([a-z0-9_]+)\s.*\[ENFORCED\]\s*$", re.MULTILINE)
_NONCE = ("tinfoil.nonce", "chutes.nonce", "signer.nonce", "gateway.nonce", "binding.nonce")
_QUOTE = ("quote.format", "snp.format")
_CHAIN = ("chain.root", "snp.root")
_SIGNATURE = ("quote.signature", "snp.signature")
_DEBUG = ("quote.debug", "snp.debug")
_MEASURED = ("measurement.reference_values", "snp.reference_values")
_TCB = ("tcb.status", "snp.tcb")
_BOUND = ("binding.report_data", "binding.statement")

COVERED: dict[str, tuple[str, ...]] = {
    "nonce_match": _NONCE,
    "tee_quote_present": _QUOTE,
    "tee_quote_structure": _QUOTE,
    "tee_cert_chain": _CHAIN,
    "tee_quote_signature": _SIGNATURE,
    "tee_debug_disabled": _DEBUG,
    "tee_measurement": _MEASURED,
    "tee_hardware_config": _MEASURED,
    "tee_boot_config": _MEASURED,
    "tdx_mrseam_mrtd": _MEASURED,
    "tee_tcb_current": _TCB,
    "tee_tcb_not_revoked": _TCB,
    "tee_reportdata_binding": _BOUND,
    "intel_pcs_collateral": ("collateral.validity",),
    "event_log_integrity": ("event_log.replay",),
    "compose_binding": ("compose.hash",),
    "signing_key_present": ("signer.key", "chutes.key", "tinfoil.keys"),
    "e2ee_capable": ("signer.key", "chutes.key", "tinfoil.keys"),
    "tls_key_binding": ("channel.spki",),
    "nvidia_payload_present": ("devices.required",),
    "nvidia_signature": ("nras.result", "device.signature"),
    "nvidia_claims": ("nras.result", "device.measurements"),
    "nvidia_nonce_client_bound": ("nras.nonce", "device.nonce"),
    "nvidia_nras_verified": ("nras.result",),
    "cpu_gpu_chain": ("devices.bound",),
    "nvswitch_binding": ("devices.bound",),
    "sigstore_code_verified": ("provenance.signature",),
    "sigstore_verification": ("provenance.images", "provenance.signature"),
    "build_transparency_log": ("provenance.log",),
    "provider_signer_recognition": ("provenance.identity",),
    "component_signature_recognition": ("provenance.identity",),
}


def missing_lines(report: str, checks: Collection[str], page: str) -> list[str]:
    """Enforced lines of `report` that neither one of `checks` nor a word in `page` answers."""
    return [line for line in dict.fromkeys(_LINE.findall(report)) if not set(_answers(line)) & set(checks) and f"`{line}`" not in page]


def _answers(line: str) -> tuple[str, ...]:
    """`line` is of the machine or of the gateway before it, and of a time when quotes could be Intel's alone."""
    name = line.removeprefix("gateway_")
    return COVERED.get(name) or COVERED.get(re.sub("^tdx_", "tee_", name), ())
