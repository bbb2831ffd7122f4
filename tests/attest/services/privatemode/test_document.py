"""The API's answer: what it states, and what the coordinator's CPU must have signed for it."""

import base64
import json
from typing import Any

import pytest

from ollm.attest.evidence import SnpEvidence, TdxEvidence
from ollm.attest.services.privatemode import document
from ollm.attest.sevsnp.layout import parse_report
from ollm.attest.tdx.layout import parse_quote
from ollm.errors import EvidenceRefused
from ollm.testing.mint.contrast import SNP_TYPE, TDX_TYPE, wrapped
from tests.attest.services.privatemode.deployments import NONCE, deployment


def test_the_report_data_of_contrasts_own_vector() -> None:
    """edgelesssys/contrast, apitypes, TestConstructReportDataGolden."""
    nonce, transition = bytes(range(32)), bytes(range(0xA0, 0xC0))
    want = "ec25193fbfa21fb46964de80adca8e7d70222ad41e67c77a696e2f188c02a0f2" + "00" * 32
    assert document.stated(nonce, transition, b"root-ca", b"mesh-ca").hex() == want


@pytest.mark.parametrize("manifests", [1, 3])
def test_the_machine_signed_what_follows_from_the_document(manifests: int) -> None:
    known = tuple(b"manifest %d" % index for index in range(manifests))
    snp = document.read(deployment().answer(NONCE, manifests=known))
    assert isinstance(snp.cpu, SnpEvidence) and parse_report(snp.cpu.report).report_data == snp.report_data(NONCE)
    tdx = document.read(deployment("tdx").answer(NONCE, manifests=known))
    assert isinstance(tdx.cpu, TdxEvidence) and parse_quote(tdx.cpu.quote).td_report.report_data == tdx.report_data(NONCE)


@pytest.mark.parametrize(("platform", "type"), [("sev-snp", SNP_TYPE), ("tdx", TDX_TYPE)])
def test_later_versions_say_of_what_type_the_report_is(platform: str, type: list[int]) -> None:
    plain = document.read(deployment(platform).answer(NONCE))
    typed = document.read(deployment(platform).answer(NONCE, {"attestation_type": type}))
    assert isinstance(typed.cpu, plain.cpu.__class__)


@pytest.mark.parametrize("type", [[1, 3, 9901, 2, 3], [1, 3, 9901, 2], []])
def test_a_report_of_no_hardware_is_refused(type: list[int]) -> None:
    if not type:  # Go writes none as an empty list: then the message tells
        assert document.read(deployment().answer(NONCE, {"attestation_type": type})).manifests
        return
    with pytest.raises(EvidenceRefused) as problem:
        document.read(deployment().answer(NONCE, {"attestation_type": type}))
    assert (problem.value.check, problem.value.want) == ("privatemode.format", "one of SEV-SNP or TDX")


def test_a_type_that_the_report_is_not_of_is_refused() -> None:
    for platform, type in (("sev-snp", TDX_TYPE), ("tdx", SNP_TYPE)):
        with pytest.raises(EvidenceRefused):
            document.read(deployment(platform).answer(NONCE, {"attestation_type": type}))


CHANGES: list[dict[str, Any]] = [
    {"raw_attestation_doc": None},
    {"raw_attestation_doc": ""},
    {"raw_attestation_doc": "AA"},
    {"manifests": None},
    {"manifests": "e30="},
    {"root_ca": None},
    {"mesh_ca": 5},
    {"capabilities": {}},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: json.dumps(change))
def test_a_document_with_other_members_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(EvidenceRefused) as problem:
        document.read(deployment().answer(NONCE, change))
    assert problem.value.check == "privatemode.format"


def test_policies_may_be_absent() -> None:
    changes: tuple[dict[str, Any], ...] = ({"policies": None}, {"policies": []})
    for policies in changes:
        assert document.read(deployment().answer(NONCE, policies)).manifests
    nulled = json.loads(base64.b64decode(json.loads(deployment().answer(NONCE))["AttestationDoc"])) | {"policies": None}
    assert document.read(wrapped(nulled)).manifests


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"AttestationDoc":"!"}', b'{"AttestationDoc":"e30="}', b'{"AttestationDoc":"","x":1}'])
def test_an_answer_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(EvidenceRefused) as problem:
        document.read(data)
    assert problem.value.check == "privatemode.format"


def test_a_member_twice_is_refused() -> None:
    text = json.dumps(deployment().document(NONCE))
    doubled = text[:-1] + ',"mesh_ca":"AA=="}'
    with pytest.raises(EvidenceRefused, match="twice"):
        document.read(json.dumps({"AttestationDoc": base64.b64encode(doubled.encode()).decode()}).encode())
