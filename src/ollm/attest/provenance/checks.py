"""The checks of provenance: first those of whoever verifies a statement, then those of its appraisal, in order."""

from ollm.attest.proof import Proof

_SIGSTORE = "Sigstore client specification"
_FULCIO = "Fulcio certificate extensions, 1.3.6.1.4.1.57264.1"
_INTOTO = "in-toto attestation framework v1, statement"
_DSSE = "DSSE v1"
_FILE = "OLLM specification: reference values"
_COMPOSE = "Compose specification"
_OWN = "OLLM attestation policy"

VERIFIED_BEFORE: dict[str, Proof] = {
    "provenance.trust_root": Proof("the trust root is Sigstore's document of certificate authorities and logs, and readable", _SIGSTORE),
    "provenance.bundle": Proof("the bundle is one attestation with its certificate, log entry and time, in a known form", "Sigstore bundle v0.3"),
    "provenance.certificate": Proof("Sigstore's CA issued the certificate, publicly, and it held when the statement was signed", _SIGSTORE),
    "provenance.log": Proof("the signature stands in a public log that is in the trust root", _SIGSTORE),
    "provenance.signature": Proof("the key certified, or named by the policy, signed this very statement", _DSSE),
    "provenance.library_verdict": Proof("the verifying library accepts the bundle as a whole", "sigstore-python 4.5"),
    "provenance.statement": Proof("the statement names what it is about by digest, and leaves nothing to two readings", _INTOTO),
}
APPRAISED: dict[str, Proof] = {
    "provenance.identity": Proof("every statement was made by a build, or with a key, that the policy admits", _FULCIO),
    "provenance.time": Proof("no statement is from the future, and none that ends has ended", _OWN),
    "provenance.subject": Proof("a statement is about the very file that was asked for", _INTOTO),
    "provenance.reference_values": Proof("the measurements that a statement vouches for are complete and readable", _FILE),
    "provenance.witness": Proof("the witness said lately that these releases are the current ones", _OWN),
    "provenance.compose": Proof("the compose file names its images in a way that leaves nothing to the environment", _COMPOSE),
    "provenance.images_pinned": Proof("every image of the compose file is named by its digest", _OWN),
    "provenance.images": Proof("every image of the compose file was built by a build that the policy admits", _OWN),
}
CHECKS: dict[str, Proof] = {**VERIFIED_BEFORE, **APPRAISED}
