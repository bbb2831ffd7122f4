"""Reading a signer's report: known members strictly, unknown ones not at all, and no size that hurts."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.attest.services.dstack_signer import report
from ollm.errors import EvidenceRefused
from ollm.testing.mint.signer import MODEL
from tests.attest.services.dstack_signer.signers import Bend, direct, signer


def parsed(document: Any) -> report.SignerReport:
    return report.parse_report(report.parse_document(json.dumps(document).encode()))


def refused(document: Any) -> str:
    with pytest.raises(EvidenceRefused) as refusal:
        parsed(document)
    assert refusal.value.check == report.FORMAT
    assert len(refusal.value.got) < 200
    return refusal.value.got


def test_a_report_taken_apart() -> None:
    found = parsed(direct())
    assert (found.model, found.algorithm, found.address) == (MODEL, "ed25519", signer("genuine").key.address)
    assert found.key == found.address
    assert json.loads(found.cpu.event_log or "") == json.loads(signer("genuine").machine.event_log_json)
    assert found.cpu.app_compose == signer("genuine").machine.app_compose
    assert found.gpus == 0
    assert found.manager is not None
    assert found.ohttp is not None


def test_what_may_be_missing_or_written_in_another_way() -> None:
    document = direct()
    log, info = document["event_log"], document["info"]
    for name in ("model_name", "signing_public_key", "nvidia_payload", "event_log", "info", "compose_manager_attestation", "ohttp_attestation"):
        del document[name]
    bare = parsed(document)
    assert (bare.model, bare.devices, bare.gpus, bare.cpu.event_log, bare.cpu.app_compose, bare.ohttp) == (None, (), None, None, None, None)
    assert bare.key == bare.address
    document["event_log"] = json.dumps(log)
    document["info"] = {"tcb_info": json.dumps(info["tcb_info"]), "vm_config": "[]"}
    document["signing_address"] = "0x" + document["signing_address"].upper()
    document["nvidia_payload"] = {"evidence_list": []}
    again = parsed(document)
    assert again.cpu.app_compose == signer("genuine").machine.app_compose
    assert again.cpu.event_log == json.dumps(log)
    assert again.address == bare.address
    assert again.gpus is None


def _set(name: str, value: Any) -> Bend:
    return lambda document: document.update({name: value})


def _device(**members: str) -> str:
    return json.dumps({"evidence_list": [{"certificate": "QUJD", "evidence": "QUJD", **members}]})


MALFORMED: dict[str, Bend] = {
    "no address": lambda document: document.pop("signing_address"),
    "an address that is no text": _set("signing_address", 7),
    "an address that is no hex": _set("signing_address", "zz" * 32),
    "an address of another length": _set("signing_address", "77" * 33),
    "another kind of key": _set("signing_algo", "rsa"),
    "a key of another length": _set("signing_public_key", "77" * 31),
    "a quote without end": _set("intel_quote", "00" * 70_000),
    "an empty quote": _set("intel_quote", ""),
    "a log without end": _set("event_log", "x" * (1024 * 1024 + 1)),
    "a nonce without end": _set("request_nonce", "0" * 70_000),
    "a compose file that is no text": _set("info", {"tcb_info": {"app_compose": {}}}),
    "a compose file without end": _set("info", {"tcb_info": {"app_compose": "x" * (1024 * 1024 + 1)}}),
    "tcb_info that is no JSON": _set("info", {"tcb_info": "{"}),
    "vm_config that is no JSON": _set("info", {"vm_config": "{"}),
    "a fingerprint of another length": _set("tls_cert_fingerprint", "00" * 31),
    "GPUs that are no JSON": _set("nvidia_payload", "{"),
    "GPUs that are no list": _set("nvidia_payload", '{"evidence_list": 7}'),
    "more GPUs than there are": _set("nvidia_payload", json.dumps({"evidence_list": [{"certificate": "", "evidence": ""}] * 65})),
    "evidence of a GPU that is no base64": _set("nvidia_payload", _device(evidence="%")),
    "certificates of a GPU that are no PEM": _set("nvidia_payload", _device(certificate="/w==")),
    "a key configuration of another signer": lambda document: document["ohttp_attestation"].update(signing_algo="ecdsa"),
    "another key configuration than was signed": _set("ohttp_key_config", "00"),
    "a signature of another length": lambda document: document["ohttp_attestation"].update(signature="00"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_report_is_refused(name: str) -> None:
    refused(direct(bend=MALFORMED[name]))


def test_an_ecdsa_key_is_a_point() -> None:
    assert refused(direct("ecdsa", _set("signing_public_key", "02" + "00" * 32))) == "signing_public_key of 33 bytes"
    assert parsed(direct("ecdsa")).key == signer("ecdsa").key.public


def test_what_is_no_object_has_no_members() -> None:
    assert report.members([]) == {}
    assert report.members({"a": 1}) == {"a": 1}


def test_the_address_of_a_known_key() -> None:
    """Ethereum's test key: the private key 1, whose point is the generator."""
    point = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
    assert report.address_of(bytes.fromhex(point)).hex() == "7e5f4552091a69125d5dfcb7b8c2659029395bdf"


@given(st.binary(max_size=300))
def test_no_bytes_escape_as_another_error(data: bytes) -> None:
    with pytest.raises(EvidenceRefused):
        report.parse_report(report.parse_document(data))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
    )
)
def test_no_member_escapes_as_another_error(value: Any) -> None:
    for name in direct():
        try:
            parsed({**direct(), name: value})
        except EvidenceRefused:
            continue
