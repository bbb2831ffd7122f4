"""One door for files of evidence: bytes, hex, base64, tokens and JSON; every recorded kind of file is told for what it is."""

import base64
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.attest.evidence import NitroEvidence, NrasEvidence, SnpEvidence, TdxEvidence
from ollm.attest.recognise import MAX_FILE, Kind, Recognised, recognise
from ollm.testing.mint.nras import create_service
from tests.attest.test_kinds import NITRO, quote, report
from tests.sim.hardware import NOW

QUOTE, REPORT = quote(5, 0x81), report()
BUNDLE = create_service(NOW).bundle(NOW, bytes(32), gpus=1)


@pytest.mark.parametrize(
    ("form", "data"),
    [
        ("bytes", QUOTE),
        ("hex", QUOTE.hex().encode()),
        ("hex", b"0x" + QUOTE.hex().encode() + b"\n"),
        ("base64", base64.b64encode(QUOTE)),
        ("base64", base64.encodebytes(QUOTE)),  # with line breaks
        ("JSON", json.dumps({"quote": QUOTE.hex()}).encode()),
        ("JSON", b" \n" + json.dumps({"quote": base64.b64encode(QUOTE).decode()}, indent=2).encode()),
    ],
)
def test_a_quote_in_every_form(form: str, data: bytes) -> None:
    assert recognise(data) == Recognised(kind=Kind.TDX_V5, form=form, cpu=TdxEvidence(quote=QUOTE))


def test_other_kinds() -> None:
    assert recognise(REPORT).cpu == SnpEvidence(report=REPORT)
    assert recognise(NITRO).cpu == NitroEvidence(document=NITRO)
    assert recognise(BUNDLE).devices == (NrasEvidence(token=json.dumps(json.loads(BUNDLE)).encode()),)
    token = json.loads(BUNDLE)[0][1].encode()
    assert recognise(token + b"\n") == Recognised(kind=Kind.NVIDIA_ALONE, form="token")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"00ff",
        b"\xff\xfe",
        b"{",
        b'{"quote": 1, "quote": 2}',
        b'{"quote": "\xff"}',
        b"[" * 100_000,
        b"9" * 100_000,
        b'{"quote": ' + b"9" * 100_000 + b"}",
        bytes(MAX_FILE + 1),
        QUOTE + bytes(MAX_FILE),
    ],
    ids=lambda data: repr(data[:20]),
)
def test_what_is_nothing_is_told_as_nothing(data: bytes) -> None:
    assert recognise(data) == Recognised(kind=Kind.UNKNOWN)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode) | st.from_regex(rb"[\[{][\[\]{}\",:0-9a-z ]{0,100}", fullmatch=True))
def test_nothing_raises(data: bytes) -> None:
    assert isinstance(recognise(data), Recognised)


# Recorded files. Each pattern is a folder's way to name one kind.
RECORDED = [
    ("tdx/q_v4_*.dat", {Kind.TDX_V4, Kind.TDX_V5}),  # one file's name is wrong about its version
    ("tdx/q_v5_*.dat", {Kind.TDX_V5}),
    ("tdx/dstack_quote-report.json", {Kind.TDX_V4}),
    ("tdx/q_openpcc_azure_tdx_report.bin", {Kind.HCL}),
    ("snp/r_openpcc_azure_sevsnp_report.bin", {Kind.HCL}),
    ("snp/trustee_az_evidence-*.json", {Kind.HCL}),
    ("snp/r_*.b64", {Kind.SNP}),
    ("snp/r_secretvm_amd_cpu_quote.txt", {Kind.SNP}),
    ("snp/r_oak_*.bin", {Kind.SNP}),
    ("snp/*.scale", {Kind.DSTACK_SCALE}),
    ("sgx/q_*.dat", {Kind.SGX}),
    ("nitro/d_marlin_*.bin", {Kind.NITRO}),
    ("nitro/qos_*", {Kind.NITRO}),
    ("nitro/d_dstack_*.bin", {Kind.DSTACK_SCALE}),
    ("nvidia/ev_*.json", {Kind.NVIDIA}),
    ("nvidia/eat_*_detached_eat.json", {Kind.NRAS}),
    ("nvidia/dstack_gpu_attestation_h100.json", {Kind.NVIDIA_LOCAL}),
    ("nvidia/*_hopperAttestationReport.txt", {Kind.NVIDIA_REPORT_ALONE}),
    ("nvidia/rim_*.xml", {Kind.REFERENCE}),
    ("nvidia/root_*.pem", {Kind.CERTIFICATE}),
    ("oidc/cs_oak_sample.jwt", {Kind.GOOGLE}),
    ("oidc/ear_veraison_*.jwt", {Kind.EAR, Kind.OTHER_ISSUER}),
    ("dstack/tpm-attest_tests_tpm_quote_sample.bin", {Kind.TPM}),
    ("dstack/cc-eventlog_samples_*.bin", {Kind.EVENT_LOG}),
    ("captures/near*/responses/0001_qwen*_attestation_report.body", {Kind.TDX_V4}),
    ("captures/nearcloud*/responses/0001_*_attestation_report.body", {Kind.SEVERAL}),
    ("captures/chutes*/responses/0002_*_evidence.body", {Kind.SEVERAL}),
    ("captures/tinfoil*_cloud_*/responses/0001_*_tinfoil-attestation.body", {Kind.SNP}),
    ("captures/tinfoil*_direct_*/responses/0002_*_tinfoil-attestation.body", {Kind.TDX_V4}),
    ("captures/*/responses/*_v3_attest_gpu.body", {Kind.NRAS}),
    ("captures/*/responses/*_jwks.json.body", {Kind.REFERENCE}),
]


@pytest.mark.skipif(not os.environ.get("OLLM_EVIDENCE_DIR"), reason="OLLM_EVIDENCE_DIR is not set: no recorded evidence")
@pytest.mark.parametrize(("pattern", "kinds"), RECORDED)
def test_recorded_files_are_told_for_what_they_are(pattern: str, kinds: set[Kind]) -> None:
    files = sorted(Path(os.environ["OLLM_EVIDENCE_DIR"]).glob(pattern))
    assert files
    assert {recognise(file.read_bytes()).kind for file in files} == kinds


@pytest.mark.skipif(not os.environ.get("OLLM_EVIDENCE_DIR"), reason="OLLM_EVIDENCE_DIR is not set: no recorded evidence")
def test_a_recorded_report_of_a_machine_is_taken_apart() -> None:
    (file, *_) = sorted(Path(os.environ["OLLM_EVIDENCE_DIR"]).glob("captures/neardirect*/responses/0001_*_attestation_report.body"))
    found = recognise(file.read_bytes())
    assert isinstance(found.cpu, TdxEvidence)
    assert found.cpu.event_log is not None
    assert found.cpu.app_compose is not None
    assert (len(found.devices), found.nonce_hint is not None) == (8, True)
