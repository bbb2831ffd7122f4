"""The signer that is software does what real ones do: its parts verify by other means than the reader's."""

import hashlib
import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ollm.sim.pki import create_pki
from ollm.testing.mint.signer import FakeSigner, KmsMachine, LocalMachine, ecdsa, ed25519
from tests.sim.hardware import NOW, FrozenClock

NONCE, FINGERPRINT = "ab" * 32, "cd" * 32


def fake(**members: object) -> FakeSigner:
    machine = KmsMachine(create_pki(NOW), FrozenClock())
    return FakeSigner(**{"machine": machine, "key": ed25519(), **members})  # type: ignore[arg-type]  # members of the struct


def test_the_quote_states_what_the_report_says() -> None:
    report = fake().report(NONCE, FINGERPRINT)
    stated = bytes.fromhex(report["intel_quote"])[568:632]
    assert stated[:32] == hashlib.sha256(bytes.fromhex(report["signing_address"] + FINGERPRINT)).digest()
    assert stated[32:].hex() == NONCE
    bare = fake(model=None, actions=None, ohttp=False).report(NONCE, None)
    assert bytes.fromhex(bare["intel_quote"])[568:600].hex() == bare["signing_address"]
    assert not {"model_name", "tls_cert_fingerprint", "compose_manager_attestation", "ohttp_attestation"} & set(bare)


def test_a_managers_quote_states_its_list() -> None:
    for in_order in (True, False):
        statement = fake().manager(NONCE, in_order=in_order)
        assert bytes.fromhex(statement["quote"])[568:632].hex() == statement["actions_hash"] + NONCE
    assert fake(actions=None).manager(NONCE)["actions"] == []


def test_keys_come_from_where_the_log_says() -> None:
    def provider(machine: KmsMachine) -> str:
        payload = next(event["event_payload"] for event in json.loads(machine.event_log_json) if event["event"] == "key-provider")
        name: str = json.loads(bytes.fromhex(payload))["name"]
        return name

    assert provider(KmsMachine(create_pki(NOW), FrozenClock())) == "kms"
    assert provider(LocalMachine(create_pki(NOW), FrozenClock())) == "local-sgx"


def test_signatures_of_both_kinds() -> None:
    reply = fake().reply("m", b"request", b"answer")
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(reply["signing_address"])).verify(bytes.fromhex(reply["signature"]), reply["text"].encode())
    ethereum = fake(key=ecdsa()).reply("m", b"request", b"answer")
    assert ethereum["signing_address"].startswith("0x")
    assert len(ethereum["signature"]) == 2 + 130


def test_a_gateways_report_has_other_members() -> None:
    report = fake().gateway_report(NONCE, FINGERPRINT)
    assert isinstance(report["event_log"], str)
    assert not {"signing_public_key", "nvidia_payload"} & set(report)
