"""NVIDIA's attestation service as an appraiser of devices, where a policy accepts its word and not the devices' own reports.

    POST {nras}/v3/attest/gpu    {"nonce": hex, "arch": "HOPPER", "evidence_list": [{"certificate": base64, "evidence": base64, "arch": …}]}
    → [["JWT", overall token], {"GPU-0": token, …}]        judged in `attest.tokens`, under keys that are fetched apart

Source: NVIDIA Attestation, NRAS API reference v3.
"""

import base64
from collections.abc import Sequence

import msgspec

from ollm.attest.evidence import NvidiaEvidence
from ollm.errors import UpstreamError
from ollm.upstream.provider import Tools
from ollm.values.policy import AttestationPolicy

NRAS = "nras"  # the role of its answer among a service's documents


def is_asked(policy: AttestationPolicy | None) -> bool:
    """Whether `policy` wants this service's word: it demands devices, and does not take their own reports."""
    return policy is not None and policy.nvidia is not None and "report" not in policy.nvidia.accept


def request(devices: Sequence[NvidiaEvidence], *, nonce: str, arch: str) -> bytes:
    """The body that asks about `devices`, GPUs of one architecture (HOPPER, BLACKWELL) that signed `nonce` (64 hex)."""
    evidence = [
        {
            "certificate": base64.b64encode(device.certificate_chain.encode()).decode(),
            "evidence": base64.b64encode(device.report).decode(),
            "arch": arch,
        }
        for device in devices
    ]
    return msgspec.json.encode({"nonce": nonce, "evidence_list": evidence, "arch": arch})


async def judged(tools: Tools, body: bytes) -> bytes:
    """What the service says to `body`: a bundle of tokens, still to be verified. Raises: UpstreamError."""
    answer = await tools.fetch.post(tools.nras_url.rstrip("/") + "/v3/attest/gpu", body, "application/json")
    if answer.status != 200:
        raise UpstreamError("headers", f"NVIDIA's attestation service answered {answer.status}", status=answer.status)
    return answer.body
