"""The fake service of ACI refuses with the error types of spec §9; round trips with our cipher are in tests/seal."""

import json

import pytest

from ollm.testing.sealing.aci import AciRecipient
from ollm.testing.sealing.cheats import Refused

CHAT = "/v1/chat/completions"
NOW = 1_750_000_000


def refusal(body: bytes = b'{"model":"m","messages":[]}', **changed: str | None) -> str:
    """The error type with which a request is refused."""
    service = AciRecipient()
    headers = {
        "X-E2EE-Version": "2",
        "X-Client-Pub-Key": "ab" * 32,
        "X-Model-Pub-Key": service.public_key.hex(),
        "X-E2EE-Nonce": "ab" * 32,
        "X-E2EE-Timestamp": str(NOW),
    }
    for name, value in changed.items():
        headers[name.replace("_", "-")] = value or ""
    with pytest.raises(Refused) as refused:
        service.open(CHAT, {name: value for name, value in headers.items() if value}, body, now=NOW)
    assert refused.value.status == 400
    return refused.value.type


@pytest.mark.parametrize("name", ["X_E2EE_Version", "X_Client_Pub_Key", "X_Model_Pub_Key", "X_E2EE_Nonce", "X_E2EE_Timestamp"])
def test_a_header_is_missing(name: str) -> None:
    assert refusal(b"{}", **{name: None}) == "e2ee_header_missing"


def test_other_refusals() -> None:
    assert refusal(X_E2EE_Version="1") == "e2ee_invalid_version"
    assert refusal(X_Signing_Algo="ed25519") == "e2ee_invalid_version"
    assert refusal(X_Model_Pub_Key="ab" * 32) == "e2ee_model_key_mismatch"
    assert refusal(X_E2EE_Timestamp=str(NOW - 301)) == "e2ee_invalid_timestamp"
    assert refusal(X_E2EE_Nonce="ab") == "e2ee_invalid_nonce"
    assert refusal(b'{"messages":[]}') == "e2ee_invalid_payload_model"
    assert refusal() == "e2ee_decryption_failed"
    for content in ("plain", "ab" * 80):
        assert refusal(json.dumps({"model": "m", "messages": [{"content": content}]}).encode()) == "e2ee_decryption_failed"
