"""The checks of a Nitro document, in the order of appraisal."""

from ollm.attest.proof import Proof

_AWS = "AWS Nitro Enclaves NSM API, attestation process"
_COSE = "RFC 9052 (COSE)"
_OWN = "OLLM attestation policy"

CHECKS: dict[str, Proof] = {
    "nitro.format": Proof("the document is one COSE_Sign1 item with the fields of a Nitro document, and nothing else", f"{_AWS} §3.2.2"),
    "nitro.algorithm": Proof("it is signed with ECDSA and SHA-384, and no header is left unsigned", f"{_COSE} §4.2"),
    "nitro.root": Proof("its certificates end in the root that is pinned", f"{_AWS} §3.2.3"),
    "platform.marker": Proof("simulated hardware is met only where the policy admits it, and then nothing else is", "decision 0002"),
    "nitro.chain": Proof("each certificate was issued by the one above it, which may do that so deep", f"{_AWS} §3.2.3.2 to §3.2.4"),
    "nitro.validity": Proof("every certificate is valid now", f"{_AWS} §3.2.3.1"),
    "nitro.signature": Proof("the hypervisor signed the document, and no bit was changed", f"{_COSE} §4.4"),
    "nitro.debug": Proof(
        "the host can't read the enclave's console, as it can in debug mode", "AWS Nitro Enclaves user guide, cryptographic attestation"
    ),
    "nitro.age": Proof("the document was made lately, by the hypervisor's clock", _OWN),
    "nitro.instance": Proof("the machine is one that the policy lists", _OWN),
    "nitro.reference_values": Proof("the PCRs are those of an image that the policy knows", _OWN),
}
