"""What Chutes' API, or a gateway in front of it, says about the instances of one chute: two forms of the same evidence.

Chutes' own, in two documents:

    GET /e2e/instances/{chute}           {"instances": [{"instance_id", "e2e_pubkey": base64, "nonces": [...]}], "nonce_expires_in", …}
    GET /chutes/{chute}/evidence?nonce=  {"evidence": [{"instance_id", "quote": base64, "gpu_evidence": [GPU], "certificate": base64 of DER}],
                                          "failed_instance_ids": []}

As Phala's gateway serves it, in one: the nonce is the gateway's, whatever was asked for.

    {"attestation_type": "chutes", "nonce": hex,
     "all_attestations": [{"instance_id", "nonce", "e2e_pubkey": base64, "intel_quote": base64, "gpu_evidence": [GPU]}]}

    GPU = {"certificate": base64 of PEM, "evidence": base64 of SPDM, "arch": text}

An instance's report data are SHA-256(nonce in hex || e2e_pubkey in base64, both as ASCII), then SHA-256 of the SubjectPublicKeyInfo of
`certificate`, or bytes without a documented meaning where none is sent. The GPUs sign the first half. (Recorded answers: all of them agree.)
"""

import base64
import binascii
import hashlib
from typing import TypeVar

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from ollm.attest import strict_json
from ollm.attest.certificates import refusing
from ollm.attest.evidence import NvidiaEvidence
from ollm.attest.services.evidence import ServiceEvidence
from ollm.attest.services.shapes import MAX_REPORT, REPORT
from ollm.errors import EvidenceRefused
from ollm.values.structs import resolved

INSTANCES = "instances"  # the role of the list of instances and their keys
FORMAT = "chutes.format"
MAX_INSTANCES = 256
MAX_GPUS = 16  # of one instance
KEY_SIZE = 1184  # FIPS 203 §8

_MAX_KEY = 2048  # characters

_T = TypeVar("_T")


class _Gpu(msgspec.Struct, frozen=True):
    certificate: str
    evidence: str
    arch: str = ""


class _Listed(msgspec.Struct, frozen=True):
    instance_id: str
    e2e_pubkey: str


@resolved
class _Listing(msgspec.Struct, frozen=True):
    instances: tuple[_Listed, ...]


class _Own(msgspec.Struct, frozen=True):
    instance_id: str
    quote: str
    gpu_evidence: tuple[_Gpu, ...] = ()
    certificate: str | None = None


@resolved
class _OwnReport(msgspec.Struct, frozen=True):
    evidence: tuple[_Own, ...]


class _Passed(msgspec.Struct, frozen=True):
    instance_id: str
    nonce: str
    e2e_pubkey: str
    intel_quote: str
    gpu_evidence: tuple[_Gpu, ...] = ()


@resolved
class _PassedReport(msgspec.Struct, frozen=True):
    nonce: str
    all_attestations: tuple[_Passed, ...]


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One instance, as its evidence was sent. Nothing of it is decoded yet: what is wrong with one must not hide the others."""

    instance_id: str
    nonce: str  # that its report data are over, by whoever sent it
    key: str  # base64, as it was hashed
    quote: str  # base64
    gpus: tuple[_Gpu, ...]
    certificate: str | None

    @property
    def public_key(self) -> bytes:
        """The ML-KEM-768 key. Raises: EvidenceRefused with chutes.key."""
        key = _bytes(self.key, "chutes.key", "a key")
        if len(key) != KEY_SIZE:
            raise EvidenceRefused("chutes.key", f"a key of {len(key)} bytes", f"{KEY_SIZE}, of ML-KEM-768")
        return key

    @property
    def statement(self) -> bytes:
        """The first half of its report data, which its GPUs sign: over the nonce and the key, both in their text form."""
        return hashlib.sha256(self.nonce.encode() + self.key.encode()).digest()

    @property
    def report_data(self) -> bytes:
        """With what its report data have to begin. Raises: EvidenceRefused with chutes.format."""
        if self.certificate is None:
            return self.statement
        with refusing(FORMAT, "a certificate that can't be read", "one in DER"):
            key = x509.load_der_x509_certificate(_bytes(self.certificate, FORMAT, "a certificate")).public_key()
            spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return self.statement + hashlib.sha256(spki).digest()

    @property
    def quote_bytes(self) -> bytes:
        """Raises: EvidenceRefused with chutes.format."""
        return _bytes(self.quote, FORMAT, "a quote")

    @property
    def devices(self) -> tuple[NvidiaEvidence, ...]:
        """Evidence of its GPUs. Raises: EvidenceRefused with chutes.format."""
        if len(self.gpus) > MAX_GPUS:
            raise EvidenceRefused(FORMAT, f"{len(self.gpus)} GPUs", f"at most {MAX_GPUS}")
        return tuple(_device(gpu) for gpu in self.gpus)

    @property
    def arch(self) -> str:
        """Architecture of its GPUs, as their evidence names it."""
        return self.gpus[0].arch if self.gpus else ""


class Chute(msgspec.Struct, frozen=True):
    """All instances that have both a key and evidence. `nonce`: the one that the document names; None: Chutes' own form names none."""

    instances: tuple[Instance, ...]
    nonce: str | None


def read(evidence: ServiceEvidence) -> Chute:
    """What was fetched, in either form. Raises: EvidenceRefused with chutes.format."""
    document = strict_json.parse(evidence.documents.get(REPORT, b""), limit=MAX_REPORT, check=FORMAT)
    if isinstance(document, dict) and "attestation_type" in document:
        return _passed(_converted(document, _PassedReport))
    report = _converted(document, _OwnReport)
    listing = _converted(strict_json.parse(evidence.documents.get(INSTANCES, b""), limit=MAX_REPORT, check=FORMAT), _Listing)
    keys = {listed.instance_id: listed.e2e_pubkey for listed in listing.instances}
    _check_each_once([listed.instance_id for listed in listing.instances])
    _check_each_once([each.instance_id for each in report.evidence])
    return Chute(
        tuple(
            _instance(each.instance_id, evidence.nonce, keys[each.instance_id], each.quote, each.gpu_evidence, each.certificate)
            for each in report.evidence
            if each.instance_id in keys
        ),
        None,
    )


def _passed(report: _PassedReport) -> Chute:
    _check_each_once([each.instance_id for each in report.all_attestations])
    if any(each.nonce != report.nonce for each in report.all_attestations):
        raise EvidenceRefused(FORMAT, "instances with nonces of their own", "the nonce of the document")
    return Chute(
        tuple(
            _instance(each.instance_id, each.nonce, each.e2e_pubkey, each.intel_quote, each.gpu_evidence, None) for each in report.all_attestations
        ),
        report.nonce,
    )


def _instance(instance_id: str, nonce: str, key: str, quote: str, gpus: tuple[_Gpu, ...], certificate: str | None) -> Instance:
    if len(key) > _MAX_KEY or not key.isascii() or not nonce.isascii() or not instance_id.isascii() or len(instance_id) > 64:
        raise EvidenceRefused(FORMAT, "an instance with a name, nonce or key that is none", "ASCII of their size")
    return Instance(instance_id=instance_id, nonce=nonce, key=key, quote=quote, gpus=gpus, certificate=certificate)


def _check_each_once(names: list[str]) -> None:
    if len(names) > MAX_INSTANCES:
        raise EvidenceRefused(FORMAT, f"{len(names)} instances", f"at most {MAX_INSTANCES}")
    if len(set(names)) != len(names):
        raise EvidenceRefused(FORMAT, "an instance twice", "each once")


def _converted(document: object, form: type[_T]) -> _T:
    try:
        return msgspec.convert(document, form)
    except msgspec.ValidationError:
        raise EvidenceRefused(FORMAT, "JSON without the members of Chutes' evidence", "instances with their evidence") from None


def _device(gpu: _Gpu) -> NvidiaEvidence:
    chain = _bytes(gpu.certificate, FORMAT, "a GPU's certificates")
    if not chain.isascii():
        raise EvidenceRefused(FORMAT, "a GPU's certificates that are no PEM", "PEM")
    return NvidiaEvidence(report=_bytes(gpu.evidence, FORMAT, "a GPU's evidence"), certificate_chain=chain.decode("ascii"))


def _bytes(text: str, check: str, what: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        raise EvidenceRefused(check, f"{what} that is not base64", "base64") from None
