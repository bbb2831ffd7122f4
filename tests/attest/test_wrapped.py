"""Evidence taken out of the JSON in which it usually comes."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.attest import wrapped
from ollm.attest.evidence import NitroEvidence, NrasEvidence, NvidiaEvidence, SnpEvidence, TdxEvidence
from ollm.attest.kinds import Kind, Recognised
from ollm.testing.mint.nras import create_service, unsigned_token
from tests.attest.test_kinds import NITRO, quote, report, scale
from tests.sim.hardware import NOW

QUOTE, REPORT, SPDM, PEM = quote(4, 0x81), report(), bytes.fromhex("11e001ff") + bytes(40), "-----BEGIN CERTIFICATE-----\nAAAA\n"
NONCE = bytes(range(32))
BUNDLE = json.loads(create_service(NOW).bundle(NOW, NONCE, gpus=1))


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


DEVICE = {"arch": "HOPPER", "evidence": b64(SPDM), "certificate": b64(PEM.encode()), "nonce": NONCE.hex()}
NVIDIA = NvidiaEvidence(report=SPDM, certificate_chain=PEM)
NRAS = NrasEvidence(token=json.dumps(BUNDLE).encode())


def found(value: Any) -> Recognised:
    recognised = wrapped.of_json(value)
    assert recognised.kind is Kind.UNKNOWN or recognised.form == "JSON"
    return recognised


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (QUOTE.hex(), "hex"),
        ("0x" + QUOTE.hex().upper(), "hex"),
        (b64(QUOTE), "base64"),
        (b64(QUOTE).rstrip("="), "base64"),
        (base64.urlsafe_b64encode(QUOTE).decode(), "base64"),
    ],
)
def test_bytes_of_text(text: str, form: str) -> None:
    assert wrapped.bytes_of_text(text) == (QUOTE, form)


@pytest.mark.parametrize("text", ["", "a b", "é", "A", "=", "AAAAA"])
def test_text_that_spells_no_bytes(text: str) -> None:
    assert wrapped.bytes_of_text(text) is None


@pytest.mark.parametrize("name", ["quote", "intel_quote", "report"])
@pytest.mark.parametrize("spelled", [QUOTE.hex(), b64(QUOTE), list(QUOTE)], ids=["hex", "base64", "numbers"])
def test_a_quote_with_what_explains_it(name: str, spelled: object) -> None:
    recognised = found({name: spelled, "event_log": "[]", "app_compose": "{}", "nonce": NONCE.hex()})
    assert recognised.kind is Kind.TDX_V4
    assert recognised.cpu == TdxEvidence(quote=QUOTE, event_log="[]", app_compose="{}")
    assert (recognised.devices, recognised.nonce_hint) == ((), NONCE)


def test_an_event_log_may_be_json_itself_and_the_compose_file_in_the_agents_info() -> None:
    for tcb_info in ({"app_compose": "{}"}, json.dumps({"app_compose": "{}"})):
        recognised = found({"quote": QUOTE.hex(), "event_log": [{"imr": 0}], "info": {"tcb_info": tcb_info}, "request_nonce": NONCE.hex()})
        assert recognised.cpu == TdxEvidence(quote=QUOTE, event_log='[{"imr": 0}]', app_compose="{}")
        assert recognised.nonce_hint == NONCE
    others: list[dict[str, Any]] = [{"app_compose": {}}, {"info": []}, {"info": {"tcb_info": "no JSON"}}]
    for other in others:
        assert found({"quote": QUOTE.hex(), **other}).cpu == TdxEvidence(quote=QUOTE)


def test_an_aci_report() -> None:
    assert found({"attestation": {"tee_type": "tdx", "evidence": {"quote": QUOTE.hex()}}}).cpu == TdxEvidence(quote=QUOTE)


def test_tinfoils_report_of_cpu_and_gpus() -> None:
    recognised = found({"report_data": {"nonce": NONCE.hex()}, "cpu": {"platform": "sev-snp", "report": b64(REPORT)}, "gpu": {"evidences": [DEVICE]}})
    assert (recognised.kind, recognised.cpu) == (Kind.SNP, SnpEvidence(report=REPORT))
    assert (recognised.devices, recognised.nonce_hint) == ((NVIDIA,), NONCE)


def test_a_providers_report_with_gpus_as_text() -> None:
    payload = json.dumps({"arch": "HOPPER", "evidence_list": [DEVICE, DEVICE]})
    recognised = found({"intel_quote": QUOTE.hex(), "nvidia_payload": payload, "all_attestations": [{}]})
    assert (recognised.kind, recognised.devices) == (Kind.TDX_V4, (NVIDIA, NVIDIA))


@pytest.mark.parametrize(
    "value",
    [
        DEVICE,
        [DEVICE],
        {"evidence_list": [DEVICE]},
        {"gpu_evidence": [DEVICE]},
        {"gpu": {"evidences": [DEVICE]}},
        {"nvidia_payload": json.dumps([DEVICE])},
    ],
    ids=["one", "list", "evidence_list", "gpu_evidence", "gpu", "nvidia_payload"],
)
def test_devices(value: Any) -> None:
    recognised = found(value)
    assert (recognised.kind, recognised.cpu, recognised.devices) == (Kind.NVIDIA, None, (NVIDIA,))


@pytest.mark.parametrize(
    "value",
    [
        [],
        [1],
        [DEVICE, {}],
        [DEVICE] * 65,
        {**DEVICE, "evidence": b64(b"other")},
        {**DEVICE, "certificate": b64(b"other")},
        {**DEVICE, "certificate": 1},
        {"evidence_list": []},
        {"gpu": {}},
        {"nvidia_payload": "no JSON"},
        1,
        "text",
        None,
    ],
    ids=lambda value: str(value)[:30],
)
def test_lists_that_are_no_devices(value: Any) -> None:
    assert found(value).kind is Kind.UNKNOWN


def test_bundles_of_tokens() -> None:
    for value in (BUNDLE, {"detached_eat": BUNDLE}, [["JWT", unsigned_token({})], {"REMOTE_GPU_CLAIMS": BUNDLE}]):
        assert (found(value).kind, found(value).devices) == (Kind.NRAS, (NRAS,))
    both = [["JWT", unsigned_token({})], {"REMOTE_GPU_CLAIMS": BUNDLE, "REMOTE_SWITCH_CLAIMS": BUNDLE}]
    assert found(both).devices == (NRAS, NRAS)
    assert found({"quote": QUOTE.hex(), "nvidia_payload": json.dumps(BUNDLE)}).devices == (NRAS,)
    assert found({"nvidia_payload": BUNDLE}).kind is Kind.NRAS


def test_bundles_that_tools_wrote_themselves() -> None:
    for value in ([["JWT", unsigned_token({})], {}], {"detached_eat": [["JWT", "x"], {}]}):
        assert (found(value).kind, found(value).devices) == (Kind.NVIDIA_LOCAL, ())
    assert found({"detached_eat": {}}).kind is Kind.UNKNOWN
    assert found([["JWT", unsigned_token({})], {"REMOTE_GPU_CLAIMS": 1}]).kind is Kind.UNKNOWN


def test_what_is_recognised_inside_and_not_judged() -> None:
    assert found({"attestation": scale(3, REPORT).hex()}).kind is Kind.DSTACK_SCALE
    assert found({"report": list(b"HCLA" + bytes(60))}).kind is Kind.HCL
    assert found({"report": list(b"HCLA" + bytes(60))}).cpu is None
    assert found({"quote": NITRO.hex()}).cpu == NitroEvidence(document=NITRO)
    for name in ("all_attestations", "model_attestations", "evidence"):
        assert found({name: [{}]}).kind is Kind.SEVERAL
    assert found({"keys": []}).kind is Kind.REFERENCE
    assert found({"report": [256], "quote": 5, "nonce": "short"}) == Recognised(kind=Kind.UNKNOWN)


names = st.sampled_from(
    ["quote", "report", "cpu", "gpu", "evidence", "certificate", "evidence_list", "nvidia_payload", "detached_eat", "info", "nonce", "JWT"]
)
leaves = st.none() | st.booleans() | st.integers(-1, 300) | st.text(max_size=9) | st.sampled_from([QUOTE.hex(), b64(SPDM), "[[]]", "JWT"])
documents = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=12)


@given(documents)
def test_no_document_raises(value: Any) -> None:
    assert isinstance(wrapped.of_json(value), Recognised)
