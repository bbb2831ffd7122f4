"""Documents of v3: strict wherever Tinfoil wrote, and tolerant of keys and devices that are unknown here."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from ollm.attest.evidence import SnpEvidence
from ollm.attest.services.tinfoil import document_v3
from ollm.testing.mint import tinfoil as mint
from tests.attest.service import refused_check
from tests.attest.services.tinfoil.enclaves import NONCE, gpus, keys, snp, switches


def document(**options: Any) -> bytes:
    return mint.v3(snp(), keys(), NONCE, **options)


def putting(*path: str | int, value: object) -> mint.Change:
    def change(whole: Any) -> None:
        for name in path[:-1]:
            whole = whole[name]
        whole[path[-1]] = value

    return change


def adding(item: mint.Document) -> mint.Change:
    return lambda section: section["items"].append(item)


def refused(report: bytes) -> str | None:
    return refused_check(lambda: document_v3.parse(report))


def test_a_document() -> None:
    found = document_v3.parse(document(gpus=gpus(), switches=switches()))
    stated = found.stated
    assert (stated.spki, stated.hpke, stated.nonce, len(stated.gpus), len(stated.switches)) == (keys().spki, keys().hpke, NONCE, 1, 1)
    assert (stated.arch, stated.covers_devices) == ("HOPPER", True)
    document_v3.check_sections(found)


@pytest.mark.parametrize(
    "change",
    [
        putting("format", value="https://tinfoil.sh/predicate/attestation/v4"),
        putting("domain", value="enclave.example"),
        putting("challenge", "time", value=1),
        putting("challenge", "nonce", value="A5" * 32),
        putting("challenge", "report_data", value="00" * 63),
        putting("challenge", "report_data_algorithm", value="https://tinfoil.sh/report-data/v2"),
        putting("cpu_evidence", "format", value="https://tinfoil.sh/format/nitro/v1"),
        putting("cpu_evidence", "report_base64", value=""),
        putting("cpu_evidence", "endorsed", "crypto_material_hash", value="00"),
        putting("crypto_material", value="AB=="),
        putting("crypto_material", value="e30="),
        putting("device_evidence", value="bnVsbA=="),
        putting("collateral", value=None),
        putting("collateral", value=[{"id": "x", "role": "opinion", "format": "f", "data": {}}]),
        putting("collateral", value=[{"id": "", "role": "endorsement", "format": "f", "data": {}}]),
        putting("collateral", value=[{"id": "x", "role": "endorsement", "format": "f", "data": {}}] * 2),
        putting("collateral", value=[{"id": "x", "role": "endorsement", "format": document_v3.VCEK, "data": {"vcek_der_base64": "?"}}]),
        lambda whole: whole.pop("device_evidence"),
    ],
    ids=[
        "format", "unknown member", "unknown member inside", "upper case", "short report data", "algorithm", "cpu", "no report", "short hash",
        "base64", "other section", "no section", "no collateral", "unknown role", "empty id", "one id twice", "certificate", "member missing",
    ],
)  # fmt: skip
def test_what_has_another_form_is_refused(change: mint.Change) -> None:
    assert refused(document(change=change)) == "tinfoil.format"


@pytest.mark.parametrize(
    "change",
    [
        putting("format", value="https://tinfoil.sh/crypto-material/v2"),
        putting("items", 0, "data", value="00" * 31),
        putting("items", 0, "data", value=""),
        putting("items", 0, "data", value="A0" * 32),
        putting("items", 1, "data", value="00" * 33),
        putting("items", 1, "id", value="tls"),
        putting("items", 1, "id", value=""),
        putting("items", 0, "use", value="tls"),
        adding({"id": "other", "format": "https://example.com/key", "data": "abc"}),
    ],
    ids=["section", "short", "empty", "upper case", "long", "one id twice", "empty id", "unknown member", "odd"],
)
def test_keys_of_another_form_are_refused(change: mint.Change) -> None:
    assert refused(document(keys_changed=change)) == "tinfoil.format"


@pytest.mark.parametrize(
    "change",
    [
        putting("format", value="https://tinfoil.sh/device-evidence/v2"),
        putting("items", 0, "id", value=""),
        putting("items", 0, "slot", value=1),
        putting("items", 0, "evidence", value={}),
        lambda section: section["items"].append(section["items"][0]),
    ],
    ids=["section", "empty id", "unknown member", "no evidence", "one id twice"],
)
def test_devices_of_another_form_are_refused(change: mint.Change) -> None:
    assert refused(document(gpus=gpus(), devices_changed=change)) == "tinfoil.format"


def test_what_is_unknown_here_satisfies_no_demand() -> None:
    def unknown(section: mint.Document) -> None:
        for item in section["items"]:
            item["format"] = "https://tinfoil.sh/unknown/v9"

    found = document_v3.parse(document(gpus=gpus(), switches=switches(), keys_changed=unknown, devices_changed=unknown)).stated
    assert (found.spki, found.hpke, found.gpus, found.switches, found.arch) == (None, None, (), (), "")


def test_a_whole_key_of_tls_stands_for_its_fingerprint() -> None:
    whole = keys().tls.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    def spelled(section: mint.Document) -> None:
        section["items"][0] |= {"format": document_v3.SPKI, "data": whole.hex()}

    assert document_v3.parse(document(keys_changed=spelled)).stated.spki == keys().spki


@pytest.mark.parametrize("name", ["crypto_material_hash", "device_evidence_hash"])
def test_hashes_that_are_stated_are_those_of_the_sections(name: str) -> None:
    found = document_v3.parse(document(change=putting("cpu_evidence", "endorsed", name, value="00" * 32)))
    assert refused_check(lambda: document_v3.check_sections(found)) == "tinfoil.sections"


def test_report_data_that_are_stated_are_those_that_follow() -> None:
    found = document_v3.parse(document(change=putting("challenge", "report_data", value="00" * 64)))
    assert refused_check(lambda: document_v3.check_sections(found)) == "tinfoil.sections"


def test_a_certificate_of_the_cpu_goes_along_and_others_do_not() -> None:
    entry = mint.vcek_entry(b"certificate", "chain")
    other = {**entry, "id": "gpu-endorsement", "subjects": ["gpu0"]}
    for collateral, leaf in (([other, entry], b"certificate"), ([other], None), ([], None)):
        cpu = document_v3.parse(document(collateral=collateral)).stated.cpu
        assert isinstance(cpu, SnpEvidence)
        assert cpu.leaf == leaf


def test_bundles_are_chosen_by_the_repository_that_they_name() -> None:
    carried = [
        mint.bundle_entry("code", "a/b", {"n": 1}),
        mint.bundle_entry("platform", "c/d", {"n": 2}),
        mint.bundle_entry("freshness", "e/f", {"n": 3}),
    ]
    carried.append({**mint.bundle_entry("code", "a/b", {"n": 4}), "id": "config", "format": "https://tinfoil.sh/collateral/config-endorsement/v1"})
    report = document(collateral=carried)
    assert [json.loads(bundle) for bundle in document_v3.bundles(report, {"a/b", "e/f"})] == [{"n": 1}, {"n": 3}]
    assert document_v3.bundles(report, ()) == ()
