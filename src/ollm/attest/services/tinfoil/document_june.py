"""v3 as it was in June 2026: keys, nonce and hashes of devices' evidence as members, signed by the machine's TLS key.

    {"format", "report_data": {"tls_key_fp", "hpke_key", "nonce", "gpu_evidence_hash"?, "nvswitch_evidence_hash"?},
     "cpu": {"platform", "report"}, "gpu"?: {"evidences": […]}, "nvswitch"?: …, "certificate": PEM, "signature": base64}

Switches' evidence was hashed before it was written into the document, and is written in another way there: its hash can't be recomputed,
so machines that send it are refused. Source: recorded documents; 13rac1/teep, docs/attestation_gaps/tinfoil_nvswitch_json.md.
"""

import hashlib
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ollm.attest.certificates import load_chain, refusing
from ollm.attest.services.tinfoil import devices
from ollm.attest.services.tinfoil.bound import FORMAT, Stated, cpu_evidence, decoded, from_base64, from_hex, june_report_data
from ollm.errors import EvidenceRefused
from ollm.values.hexes import Hex32
from ollm.values.structs import resolved

FORMAT_URI = "https://tinfoil.sh/predicate/attestation/v3"

_SECTIONS, _SIGNATURE = "tinfoil.sections", "tinfoil.signature"


class _ReportData(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tls_key_fp: str
    hpke_key: str
    nonce: str
    gpu_evidence_hash: str | None = None
    nvswitch_evidence_hash: str | None = None


class _Cpu(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    platform: Literal["tdx", "sev-snp"]
    report: str


@resolved
class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    report_data: _ReportData
    cpu: _Cpu
    certificate: str
    signature: str
    gpu: msgspec.Raw = msgspec.Raw(b"")
    nvswitch: msgspec.Raw = msgspec.Raw(b"")


class June(msgspec.Struct, frozen=True, kw_only=True):
    """A document of June, its parts decoded."""

    stated: Stated
    sections: tuple[tuple[str, Hex32 | None, bytes], ...]  # name, hash as stated, bytes as sent; each may be missing
    certificate: str
    signed: bytes  # the document without its signature
    signature: bytes


def parse(report: bytes) -> June:
    """What the document states. Raises: EvidenceRefused with tinfoil.format."""
    document = decoded(report, _Document)
    if document.format != FORMAT_URI:
        raise EvidenceRefused(FORMAT, f"format {document.format[:80]!a}", FORMAT_URI)
    said = document.report_data
    spki, hpke, nonce = from_hex(said.tls_key_fp, "tls_key_fp"), from_hex(said.hpke_key, "hpke_key"), from_hex(said.nonce, "nonce")
    sections = (
        ("gpu", _hash(said.gpu_evidence_hash, "gpu_evidence_hash"), bytes(document.gpu)),
        ("nvswitch", _hash(said.nvswitch_evidence_hash, "nvswitch_evidence_hash"), bytes(document.nvswitch)),
    )
    gpus, arch = devices.gpus(bytes(document.gpu)) if document.gpu else ((), "")
    stated = Stated(
        cpu=cpu_evidence(document.cpu.platform, from_base64(document.cpu.report, "a report")),
        gpus=gpus,
        switches=devices.switches(bytes(document.nvswitch)) if document.nvswitch else (),
        arch=arch,
        spki=spki,
        hpke=bytes.fromhex(hpke),
        nonce=nonce,
        report_data=june_report_data(spki, bytes.fromhex(hpke), nonce, *(bytes.fromhex(digest) for _, digest, _ in sections if digest is not None)),
        covers_devices=True,
    )
    signature = from_base64(document.signature, "a signature")
    signed = _unsigned(report, document.signature)
    return June(stated=stated, sections=sections, certificate=document.certificate, signed=signed, signature=signature)


def check_sections(document: June) -> None:
    """Every hash is that of the bytes that were sent, and no evidence is without one. Raises: EvidenceRefused with tinfoil.sections."""
    for name, stated, sent in document.sections:
        computed = hashlib.sha256(sent).hexdigest() if sent else None
        if stated != computed:
            raise EvidenceRefused(_SECTIONS, f"{name}: hash {stated or 'not there'} stated", f"{computed or 'none'}, of what was sent")


def check_signature(document: June) -> None:
    """The key of the certificate, which is the attested one, signed. Raises: EvidenceRefused with tinfoil.signature.

    The certificate's issuer is not asked: what counts is its key, which the CPU's report names.
    """
    certificate = load_chain(document.certificate, _SIGNATURE, "a certificate")[0]
    with refusing(_SIGNATURE, "a certificate with an unreadable key", "a key on P-384"):
        key = certificate.public_key()
        spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    fingerprint = hashlib.sha256(spki).hexdigest()
    if fingerprint != document.stated.spki:
        raise EvidenceRefused(_SIGNATURE, f"a certificate for {fingerprint}", f"{document.stated.spki}, the key that is attested")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise EvidenceRefused(_SIGNATURE, "a key of another kind", "one on P-384")
    try:
        key.verify(document.signature, document.signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise EvidenceRefused(_SIGNATURE, "a signature that does not verify", "one by the TLS key over the document") from None


def _hash(text: str | None, what: str) -> Hex32 | None:
    return None if text is None else from_hex(text, what)


def _unsigned(report: bytes, signature: str) -> bytes:
    """What was signed: the document with an empty signature, without the line's end."""
    member = b'"signature":"' + signature.encode() + b'"'
    if report.count(member) != 1:
        raise EvidenceRefused(FORMAT, "a signature that can't be told from the rest", "one member")
    return report.replace(member, b'"signature":""').removesuffix(b"\n")
