"""What Privatemode's API answers to `POST /privatemode/v1/attest`: a Contrast coordinator's attestation of itself and of its state.

    {"AttestationDoc": base64 of {"version", "raw_attestation_doc": base64, "attestation_type": [1, 3, 9901, 2, 1],
                                  "manifests": [base64], "policies": [base64], "root_ca": base64 of PEM, "mesh_ca": base64 of PEM}}

    report data = SHA-256(nonce 32 || transition || SHA-256(root CA) || SHA-256(mesh CA)), then 32 zeros
    transition  = SHA-256(SHA-256(manifest) || the transition before it, of the first manifest 32 zeros)

So the CPU's report commits to our nonce, to every manifest that was ever set, in order, and to the certificates as they were sent. The
type of the report came with later versions (1.3.9901.2.1: SEV-SNP, .2: TDX, .3: none of either, which is refused); without it the
message's own form tells. `policies`, the workloads' own rules, aren't committed to but by their hashes in the manifest; they aren't read.

Sources: edgelesssys/privatemode-public, internal/oss/{attest,httpapi}; edgelesssys/contrast v1.20, internal/httpapi, internal/history, internal/oid.
"""

import hashlib
from typing import TypeVar

import msgspec

from ollm.attest import strict_json
from ollm.attest.evidence import SnpEvidence, TdxEvidence
from ollm.attest.services.privatemode import snp, tdx
from ollm.attest.services.privatemode.protobuf import Message
from ollm.attest.services.shapes import MAX_REPORT
from ollm.errors import EvidenceRefused
from ollm.values.hexes import Hex32
from ollm.values.structs import resolved

FORMAT = "privatemode.format"

_SNP, _TDX = (1, 3, 9901, 2, 1), (1, 3, 9901, 2, 2)
_TDX_SIZE_FIELD = 3  # of a quote: the size of its signature data; of an attestation of SEV-SNP: the product, a message

_T = TypeVar("_T")


class _Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    AttestationDoc: bytes  # base64 in JSON, like all bytes here


@resolved
class _State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    raw_attestation_doc: bytes
    manifests: tuple[bytes, ...]
    root_ca: bytes
    mesh_ca: bytes
    version: str = ""
    attestation_type: tuple[int, ...] | None = None
    policies: tuple[bytes, ...] | None = None


class Coordinator(msgspec.Struct, frozen=True, kw_only=True):
    """What a coordinator states; nothing of it is proven before the CPU's report is."""

    cpu: SnpEvidence | TdxEvidence
    manifests: tuple[bytes, ...]  # oldest first
    root_ca: bytes  # as they were sent, PEM
    mesh_ca: bytes

    def report_data(self, nonce: Hex32) -> bytes:
        """The 64 bytes that the CPU must have signed in answer to `nonce`."""
        transition = bytes(32)
        for manifest in self.manifests:
            transition = _sha256(_sha256(manifest) + transition)
        return stated(bytes.fromhex(nonce), transition, self.root_ca, self.mesh_ca)


def read(report: bytes) -> Coordinator:
    """The statement in the API's answer. Raises: EvidenceRefused with privatemode.format."""
    state = decoded(decoded(report, _Answer, "the answer").AttestationDoc, _State, "the attestation document")
    message = Message(state.raw_attestation_doc, FORMAT, "the attestation")
    kind = state.attestation_type or (_TDX if message.is_number(_TDX_SIZE_FIELD) else _SNP)
    if kind not in (_SNP, _TDX):
        stated = ".".join(map(str, kind))[:40]
        raise EvidenceRefused(FORMAT, f"an attestation of type {stated}", "one of SEV-SNP or TDX")
    cpu = tdx.evidence(message) if kind == _TDX else snp.evidence(message, FORMAT)
    return Coordinator(cpu=cpu, manifests=state.manifests, root_ca=state.root_ca, mesh_ca=state.mesh_ca)


def stated(nonce: bytes, transition: bytes, root_ca: bytes, mesh_ca: bytes) -> bytes:
    """Report data over the digest of the latest `transition`."""
    return _sha256(nonce + transition + _sha256(root_ca) + _sha256(mesh_ca)) + bytes(32)


def decoded(data: bytes, form: type[_T], what: str, *, check: str = FORMAT) -> _T:
    """JSON of the members of `form`. Raises: EvidenceRefused naming `check`."""
    strict_json.parse(data, limit=MAX_REPORT, check=check)  # refuses what the next line would read in a way of its own
    try:
        return msgspec.json.decode(data, type=form)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise EvidenceRefused(check, f"{what} with other members than there are, or of another kind", "what the API defines") from None


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
