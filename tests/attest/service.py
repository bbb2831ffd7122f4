"""An ACI/1 service on simulated hardware, as a verifier sees it: real bytes of every kind, and one place to bend each of them."""

import json
from collections.abc import Callable
from typing import Any

import msgspec

from ollm.attest.appraise import appraise
from ollm.attest.evidence import AciEvidence, Binding, MachineCollateral
from ollm.attest.services.evidence import Demand, Judged, ServiceEvidence
from ollm.errors import EvidenceRefused
from ollm.sim.machine import Hardware
from ollm.values.aci import HPKE_ALGO, E2eeKey, Keyset, SigningKey, TlsKey, report_data
from ollm.values.checks import Appraisal
from ollm.values.hexes import Hex32
from ollm.values.policy import AttestationPolicy
from tests.sim.hardware import NOW

NONCE = Hex32("a5" * 32)
SPKI = Hex32("51" * 32)
HPKE_KEY = bytes(range(32))
HPKE_CONFIG = bytes.fromhex("000020") + HPKE_KEY + bytes.fromhex("000400010002")

KEYSET = Keyset(
    subject=None,
    not_after=NOW + 86_400,
    receipt_signing_keys=(SigningKey("receipt", "ed25519", "02" * 32),),
    e2ee_public_keys=(E2eeKey("sealing", HPKE_ALGO, HPKE_KEY.hex()),),
    tls_public_keys=(TlsKey(SPKI),),
)


def report(machine: Hardware, keyset: Keyset = KEYSET, nonce: Hex32 = NONCE) -> dict[str, Any]:
    """The attestation report of a service with `keyset` on `machine`, for `nonce`."""
    digest = keyset.digest()
    return {
        "api_version": "aci/1",
        "workload_keyset_digest": digest,
        "attestation": {
            "tee_type": "tdx",
            "workload_keyset": keyset.document(),
            "report_data": report_data(digest, nonce)[:32].hex(),
            "evidence": {
                "quote": machine.quote(report_data(digest, nonce)).hex(),
                "event_log": machine.event_log_json,
                "app_compose": machine.app_compose,
                "vm_config": machine.vm_config,
            },
        },
        "service_capabilities": {"supported_e2ee_versions": ["ehbp/1"], "serving": "direct"},
    }


def evidence(machine: Hardware, keyset: Keyset = KEYSET, change: Callable[[dict[str, Any]], object] | None = None, **members: Any) -> AciEvidence:
    """What a verifier fetched from that service; `change` edits the report, `members` replace what stands around it."""
    document = report(machine, keyset)
    if change is not None:
        change(document)
    fetched = AciEvidence(report=json.dumps(document).encode(), nonce=NONCE, peer_spki_sha256=SPKI, hpke_key_config=HPKE_CONFIG)
    return msgspec.structs.replace(fetched, **members)


def judged(machine: Hardware, policy: AttestationPolicy, fetched: AciEvidence | None = None) -> tuple[Appraisal, Binding | None]:
    """The verdict on `fetched` (by default what the service on `machine` really says), under `policy`, now."""
    return appraise(fetched or evidence(machine), machine.collateral(), policy, NOW, require_hpke=True)


def service_evidence(fetched: AciEvidence) -> ServiceEvidence:
    """`fetched` as an adapter hands it on."""
    documents = {"report": fetched.report, "hpke_keys": fetched.hpke_key_config}
    return ServiceEvidence(
        documents={role: document for role, document in documents.items() if document is not None},
        nonce=fetched.nonce,
        host="machine.example",
        peer_spki_sha256=fetched.peer_spki_sha256,
    )


def kept(machine: Hardware, fetched: AciEvidence | None = None, *, seal: bool = True, channel: bool = True) -> Judged:
    """What a session keeps of `fetched` (by default what the service on `machine` really says)."""
    return Judged(
        evidence=service_evidence(fetched or evidence(machine)),
        collateral=(MachineCollateral(cpu=machine.collateral()),),
        demand=Demand(shapes=("aci",), seal=seal, channel=channel),
        appraised_at=NOW,
    )


def failing(appraisal: Appraisal) -> str | None:
    """Name of the check that failed, or None when all passed."""
    assert appraisal.accepted == (appraisal.failure is None)
    return appraisal.failure.name if appraisal.failure else None


def refused_check(call: Callable[[], object]) -> str | None:
    """Name of the check that `call` refuses by, or None when it returns. Any other exception escapes."""
    try:
        call()
    except EvidenceRefused as error:
        return error.check
    return None
