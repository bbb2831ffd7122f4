"""The checks of a signer in a dstack machine, and of a gateway before it, in the order of appraisal; the machines' own stand between."""

from ollm.attest.checks import CHANNEL
from ollm.attest.proof import Proof

_SIGNER = "attestation report of nearai/inference-proxy and dstack-vllm-proxy"
_GATEWAY = "attestation report of nearai/cloud-api"
_MANAGER = "compose-manager attestation of NEAR AI"
_OWN = "OLLM attestation policy"

# Before the machines are judged.
GATEWAY: dict[str, Proof] = {
    "gateway.accepted": Proof("the policy admits a gateway of the provider's before the machine", _OWN),
    "gateway.format": Proof("the gateway's report is well-formed, and names the key of its channel", _GATEWAY),
    "gateway.nonce": Proof("the gateway's report is an answer to our nonce", _GATEWAY),
    "gateway.candidates": Proof("exactly one report of a machine that has the model stands behind the gateway's", _GATEWAY),
}
SIGNER: dict[str, Proof] = {
    "signer.format": Proof("the signer's report is well-formed", _SIGNER),
    "signer.nonce": Proof("the report is an answer to our nonce; that the machine itself signed it is `binding.nonce`", _SIGNER),
    "signer.algorithm": Proof("the signer's key is of the kind that was asked for", _SIGNER),
    "signer.model": Proof("the signer names the model that was asked for; it is configured there, and not measured", _SIGNER),
    "signer.key": Proof("the key is the one that the signer's address names", _SIGNER),
    "signer.fingerprint": Proof("the machine names the key of its channel", _SIGNER),
}
MANAGER_FORMAT: dict[str, Proof] = {
    "manager.format": Proof("a statement of what was started after the boot is there where the policy demands it, and well-formed", _MANAGER),
    "manager.nonce": Proof("it is an answer to our nonce", _MANAGER),
    "manager.actions": Proof("the list of what was started is the one that it states by its hash", _MANAGER),
}
# After the first machine.
GATEWAY_MACHINE: dict[str, Proof] = {
    "gateway.app": Proof("the gateway's dstack application is one that the policy lists", _OWN),
}
MACHINE: dict[str, Proof] = {
    "signer.app": Proof("the machine's dstack application is one that the policy lists", _OWN),
    "signer.key_provider": Proof("the application's keys come from a KMS, one that the policy lists", _OWN),
    "signer.gpus": Proof("as many GPUs were attested as the machine was configured with", _SIGNER),
}
SPKI: dict[str, Proof] = {"channel.spki": CHANNEL["channel.spki"]}
MANAGER: dict[str, Proof] = {
    "manager.machine": Proof("the statement is by the same measured machine: firmware, boot and application are equal", _MANAGER),
    "manager.files": Proof("what may run by that statement is in files that the policy lists", _OWN),
}
OHTTP: dict[str, Proof] = {
    "signer.ohttp": Proof("the key configuration for oblivious HTTP is signed by the signer's key", _SIGNER),
}
CHECKS: dict[str, Proof] = {**GATEWAY, **SIGNER, **MANAGER_FORMAT, **GATEWAY_MACHINE, **MACHINE, **MANAGER, **OHTTP}
