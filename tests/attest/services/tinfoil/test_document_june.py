"""Documents of v3 as it was in June 2026: hashes over bytes as sent, and a signature by the TLS key."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from ollm.attest.services.tinfoil import document_june
from ollm.testing.mint import tinfoil as mint
from tests.attest.service import refused_check
from tests.attest.services.tinfoil.enclaves import NONCE, gpus, keys, snp, switches, tdx
from tests.sim.hardware import NOW


def document(change: mint.Change | None = None, **options: Any) -> bytes:
    return mint.june(snp(), keys(), NONCE, change=change, **options)


def checked(report: bytes) -> str | None:
    def check() -> None:
        found = document_june.parse(report)
        document_june.check_sections(found)
        document_june.check_signature(found)

    return refused_check(check)


def test_a_document() -> None:
    found = document_june.parse(mint.june(tdx(), keys(), NONCE, gpus=gpus(), switches=switches()))
    stated = found.stated
    assert (stated.spki, stated.hpke, stated.nonce, len(stated.gpus), len(stated.switches)) == (keys().spki, keys().hpke, NONCE, 1, 1)
    assert stated.report_data is not None
    assert stated.report_data[32:] == bytes(32)
    assert checked(document(gpus=gpus(), switches=switches())) is None
    assert checked(document()) is None
    assert checked(document().removesuffix(b"\n")) is None


def putting(*path: str, value: object) -> mint.Change:
    def change(whole: mint.Document) -> None:
        for name in path[:-1]:
            whole = whole[name]
        whole[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        putting("format", value="https://tinfoil.sh/predicate/attestation/v4"),
        putting("generated_at", value=1),
        putting("cpu", "platform", value="nitro"),
        putting("report_data", "nonce", value="A5" * 32),
        putting("report_data", "hpke_key", value="00" * 31),
        putting("report_data", "gpu_evidence_hash", value="none"),
        putting("cpu", "report", value="AB=="),
        putting("gpu", value=None),
        putting("certificate", value=3),
    ],
    ids=["format", "unknown member", "platform", "upper case", "short key", "hash", "base64", "null", "kind"],
)
def test_what_has_another_form_is_refused(change: mint.Change) -> None:
    assert checked(document(change)) == "tinfoil.format"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda report: report.replace(b'"signature":"', b'"signature": "'),
        lambda report: report.replace(b'"certificate":', b'"signature":"","certificate":'),
        lambda report: report[: report.index(b',"signature"')] + b"}",
        lambda report: report.replace(b'"signature":"', b'"signature":"A'),
    ],
    ids=["spelled otherwise", "twice", "none", "no base64"],
)
def test_a_signature_that_cant_be_told_from_the_rest_is_refused(spoil: Callable[[bytes], bytes]) -> None:
    assert checked(spoil(document())) == "tinfoil.format"


@pytest.mark.parametrize(
    "report",
    [
        document(putting("report_data", "gpu_evidence_hash", value="00" * 32)),
        document(putting("report_data", "gpu_evidence_hash", value="00" * 32), gpus=gpus()),
        document(lambda whole: whole["report_data"].pop("gpu_evidence_hash"), gpus=gpus()),
        document(gpus=gpus(), switches=switches(), honest_switches=False),
        document(gpus=gpus()).replace(b'{"evidences":[', b'{"evidences": ['),
    ],
    ids=["hash of nothing", "another hash", "evidence without one", "spelled anew by the machine", "spelled anew on the way"],
)
def test_hashes_are_of_the_bytes_that_were_sent(report: bytes) -> None:
    assert checked(report) == "tinfoil.sections"


def test_the_signature_is_by_the_attested_key_over_the_whole_document() -> None:
    strange = mint.create_keys(NOW)
    cases = [
        document(putting("certificate", value=strange.pem)),
        document(putting("certificate", value="-----BEGIN CERTIFICATE-----")),
        mint.june(snp(), mint.create_keys(NOW, curve=ec.SECP256R1()), NONCE),
        document().replace(b'"platform":"sev-snp"', b'"platform": "sev-snp"'),
        document() + b"\n",
        _signed_by_another(),
    ]
    assert [checked(report) for report in cases] == ["tinfoil.signature"] * len(cases)


def _signed_by_another() -> bytes:
    mine, other = document(), document()
    return mine.replace(json.loads(mine)["signature"].encode(), json.loads(other)["signature"].encode()).replace(b'"platform":', b'"platform" :')
