"""Recorded documents of real enclaves: each as its recording says, and one byte of each part changed."""

import base64
import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from ollm.attest.evidence import MachineCollateral, SnpCollateral
from ollm.attest.services import door
from ollm.attest.services.evidence import Demand, ServiceEvidence
from ollm.attest.services.question import Question
from ollm.net.provenance import embedded_trust_root, verify_bundle
from ollm.values.checks import Appraisal
from ollm.values.hexes import Hex32
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy, ServicePolicy, SnpPolicy, SnpTcb
from ollm.values.provenance import BuildIdentity, ProvenancePolicy
from tests.attest.service import failing

V2 = Demand(shapes=("tinfoil-v2",))
ROUTER = AttestationPolicy(
    name="router",
    level=Level.TEE,
    cpu=("sev-snp",),
    snp=SnpPolicy(require_crl=False, min_tcb={"Genoa": SnpTcb(bootloader=7, snp=14, microcode=72)}),
    provenance=ProvenancePolicy(builds=(BuildIdentity(repository="tinfoilsh/confidential-model-router", workflow=".github/workflows/build.yml"),)),
    service=ServicePolicy(freshness="server", terminates_at="router"),
)


class Recorded(msgspec.Struct, frozen=True):
    """A router's v2 document with what belongs to it."""

    report: bytes
    spki: Hex32
    leaf: bytes
    chain: str
    bundle: bytes
    at: int
    certificate: bytes

    def judged(self, report: bytes | None = None, policy: AttestationPolicy = ROUTER, spki: Hex32 | None = None) -> Appraisal:
        statement = verify_bundle(self.bundle, embedded_trust_root())
        evidence = ServiceEvidence(
            documents={"report": report or self.report, "certificate": self.certificate},
            nonce=Hex32("00" * 32),
            host="x",
            peer_spki_sha256=spki or self.spki,
        )
        collateral = (MachineCollateral(cpu=SnpCollateral(leaf=self.leaf, chain=self.chain)),)
        return door.appraise(Question(evidence, collateral, (statement,), policy, self.at, V2))[0]


@pytest.fixture(scope="module")
def recorded(evidence_dir: Path) -> Recorded:
    bundle = json.loads((evidence_dir / "tinfoil/attestation-bundle.json").read_bytes())
    certificate = x509.load_pem_x509_certificate(bundle["enclaveCert"].encode())
    spki = certificate.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    sigstore = bundle["sigstoreBundle"]
    chain = next(evidence_dir.glob("captures/tinfoil_v3_cloud*/responses/*cert_chain.body"))
    return Recorded(
        report=json.dumps(bundle["enclaveAttestationReport"]).encode(),
        spki=Hex32(hashlib.sha256(spki).hexdigest()),
        leaf=base64.b64decode(bundle["vcek"]),
        chain=chain.read_text(),
        bundle=(sigstore if isinstance(sigstore, str) else json.dumps(sigstore)).encode(),
        at=int(certificate.not_valid_before_utc.timestamp()) + 86_400,
        certificate=json.dumps({"certificate": bundle["enclaveCert"]}).encode(),
    )


def test_a_routers_document_of_v2_with_its_release_on_sigstore(recorded: Recorded) -> None:
    appraisal = recorded.judged()
    assert appraisal.accepted, appraisal.failure
    assert appraisal.claims is not None
    assert appraisal.claims.os_known_good.status == "asserted"
    assert appraisal.claims.extra["certificate"] == "sealing key: named; report: named"
    assert "tinfoilsh/confidential-model-router v" in str(appraisal.claims.os_known_good.reason)


def test_it_is_refused_where_evidence_must_be_for_our_nonce(recorded: Recorded) -> None:
    strict = msgspec.structs.replace(ROUTER, service=ServicePolicy())
    assert failing(recorded.judged(policy=strict)) == "tinfoil.freshness"


def test_it_is_refused_for_another_repository_and_another_key(recorded: Recorded) -> None:
    assert ROUTER.provenance is not None
    other = BuildIdentity(repository="tinfoilsh/confidential-model", workflow=".github/workflows/build.yml")
    strangers = msgspec.structs.replace(ROUTER, provenance=msgspec.structs.replace(ROUTER.provenance, builds=(other,)))
    assert failing(recorded.judged(policy=strangers)) == "provenance.identity"
    assert failing(recorded.judged(spki=Hex32("00" * 32))) == "channel.spki"


@pytest.mark.parametrize(("at", "what"), [(0x50, "TLS fingerprint"), (0x70, "sealing key"), (0x90, "measurement"), (0x2A0, "signature")])
def test_one_bit_of_the_report_changed_is_refused(recorded: Recorded, at: int, what: str) -> None:
    document = json.loads(recorded.report)
    raw = bytearray(gzip.decompress(base64.b64decode(document["body"])))
    raw[at] ^= 1
    document["body"] = base64.b64encode(gzip.compress(bytes(raw))).decode()
    assert failing(recorded.judged(report=json.dumps(document).encode())) == "snp.signature"


# Documents of June 2026: the whole way, collateral and all, is `make captures`; here, what only our own nonce and bytes decide.

SPOILED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "nonce": (lambda document: document["report_data"].update(nonce="00" * 32), "tinfoil.nonce"),
    "fingerprint": (lambda document: document["report_data"].update(tls_key_fp="00" * 32), "tinfoil.signature"),
    "key": (lambda document: document["report_data"].update(hpke_key="00" * 32), "tinfoil.signature"),
    "report": (lambda document: document["cpu"].update(report=document["cpu"]["report"].replace("A", "B", 1)), "tinfoil.signature"),
    "spelling": (lambda document: None, "tinfoil.signature"),
}


@pytest.mark.parametrize("spoil", SPOILED)
def test_one_part_of_a_document_of_june_changed_is_refused(evidence_dir: Path, spoil: str) -> None:
    change, check = SPOILED[spoil]
    folders = sorted(evidence_dir.glob("captures/tinfoil_v3_*"))
    assert len(folders) == 3
    for folder in folders:
        body = next(folder.glob("responses/*tinfoil-attestation.body")).read_bytes()
        document = json.loads(body)
        change(document)
        separators = (", ", ":") if spoil == "spelling" else (",", ":")
        nonce = Hex32(json.loads((folder / "manifest.json").read_bytes())["nonce_hex"])
        report = json.dumps(document, separators=separators).encode()
        evidence = ServiceEvidence(documents={"report": report}, nonce=nonce, host="x", peer_spki_sha256=None)
        appraisal, _ = door.appraise(Question(evidence, (), (), ROUTER, 0, Demand(shapes=("tinfoil-v3-june",))))
        wanted = (check, "tinfoil.sections") if "gpu" in document and spoil == "spelling" else (check,)
        assert failing(appraisal) in wanted
