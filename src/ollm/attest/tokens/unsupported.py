"""What this release recognises and does not judge, each with the reason and, where there is one, what to give instead.

Refusing by name matters: the evidence may be sound, and whoever reads the refusal should not go looking for a flaw in it.
"""

from ollm.attest.kinds import Kind, Recognised
from ollm.attest.proof import Proof
from ollm.errors import EvidenceRefused

CHECKS: dict[str, Proof] = {
    "evidence.technology": Proof("the file is evidence of a kind that this release judges", "OLLM attestation policy"),
}

SUPPORTED = (Kind.TDX_V4, Kind.TDX_V5, Kind.SNP, Kind.NITRO, Kind.NVIDIA, Kind.NRAS)

_WANT = "an Intel TDX quote, an AMD SEV-SNP report, an AWS Nitro document, NVIDIA device evidence or tokens of NVIDIA's service"
_CLOUD = "the machine's own quote or report: a token is a cloud's word about its own machine"
_INSTEAD: dict[Kind, str] = {
    Kind.SEVERAL: "one machine's part of it",
    Kind.NVIDIA_REPORT_ALONE: "the report together with its certificates, as JSON with evidence and certificate",
    Kind.NVIDIA_LOCAL: "tokens of NVIDIA's service, or the device's own report: whoever sends these vouches for himself",
    Kind.NVIDIA_ALONE: "the whole bundle: a token alone says nothing of the other devices",
    Kind.SGX: "evidence of a confidential machine: SGX enclaves are not judged by this release",
    Kind.TPM: "the machine's own quote or report: TPM quotes are not judged by this release",
    Kind.HCL: "the report inside, without the paravisor's wrapping: Azure's chain through its paravisor is not judged by this release",
    Kind.DSTACK_SCALE: "the guest agent's JSON, or the quote or report inside",
    Kind.GOOGLE: _CLOUD,
    Kind.AZURE: _CLOUD,
    Kind.INTEL: "the machine's own quote or report: a token is another verifier's word",
    Kind.EAR: "the machine's own quote or report: a token is another verifier's word",
    Kind.UNSIGNED: "evidence that somebody signed",
    Kind.OTHER_ISSUER: "evidence of a known kind",
    Kind.EVENT_LOG: "the quote whose registers the log explains",
    Kind.CERTIFICATE: "the evidence that it endorses",
    Kind.REFERENCE: "the evidence that it is compared with",
}


def check_supported(found: Recognised) -> None:
    """What was found is of a kind that this release judges. Raises: EvidenceRefused with evidence.technology."""
    if found.kind not in SUPPORTED:
        raise EvidenceRefused("evidence.technology", found.kind, _INSTEAD.get(found.kind, _WANT))
