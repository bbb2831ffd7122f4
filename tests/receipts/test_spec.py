"""Every value of docs/spec/aci-ehbp.md, recomputed."""

import json
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ollm.receipts import receipt
from ollm.receipts.at_rest import open_receipt, seal_receipt
from ollm.seal import ehbp
from ollm.values.aci import EHBP_VERSION, HPKE_ALGO, config_digest_of, config_subject, parse_keyset
from ollm.values.hexes import sha256_name, sha256_of

PAGE = (Path(__file__).parents[2] / "docs" / "spec" / "aci-ehbp.md").read_text(encoding="utf-8")
REPORT, EVENTS = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))

KEY = X25519PrivateKey.from_private_bytes(bytes([3] * 32))
EPHEMERAL = X25519PrivateKey.from_private_bytes(bytes([4] * 32))
REQUEST = b'{"messages":[{"content":"hi","role":"user"}],"model":"demo-model"}'
RESPONSE = b'{"choices":[],"id":"chatcmpl-123"}'


def test_the_keyset_names_the_key_and_has_its_digest() -> None:
    keyset, digest = parse_keyset(REPORT["workload_keyset"])
    assert keyset.hpke_key() == KEY.public_key().public_bytes_raw()
    assert f"workload_keyset_digest   {digest}\n" in PAGE
    assert REPORT["service_capabilities"]["supported_e2ee_versions"] == [EHBP_VERSION]
    assert f"`algo` is `{HPKE_ALGO}`" in PAGE and f"`{EHBP_VERSION}`" in PAGE


def test_the_key_configuration() -> None:
    assert f"\n        {ehbp.key_config(KEY.public_key().public_bytes_raw()).hex()}\n" in PAGE
    assert f"GET {ehbp.KEYS_PATH}, content-type {ehbp.MEDIA_TYPE}\n" in PAGE


def test_the_exchange() -> None:
    request = ehbp.RequestSealer(KEY.public_key().public_bytes_raw(), ephemeral=EPHEMERAL)
    body = request.seal(REQUEST)
    assert f"{ehbp.ENCAPSULATED_KEY}: {request.encapsulated_key}\n" in PAGE
    assert f"\n    {body.hex()}\n" in PAGE

    enclave = ehbp.RequestOpener(KEY, request.encapsulated_key)
    assert enclave.feed(body) == REQUEST
    answer = enclave.response_sealer(bytes(range(32)))
    assert f"{ehbp.RESPONSE_NONCE}: {answer.nonce_hex}\n" in PAGE
    assert f"\n    {answer.seal(RESPONSE).hex()}\n" in PAGE
    assert [event["body_hash"] for event in EVENTS if event["type"] == receipt.SEALED] == [sha256_of(body)]


def test_the_events_are_those_that_we_write() -> None:
    by_type = {event["type"]: event for event in EVENTS}
    config_digest = sha256_name(by_type["ollm.config"]["config_digest"])
    session_id = by_type["upstream.verified"]["session_id"]
    assert [
        receipt.received(sha256_of(REQUEST)),
        receipt.policy(config_digest),
        receipt.verified("demo-model", session_id, True),
        receipt.forwarded(sha256_of(REQUEST)),
        receipt.sealed(by_type["ollm.sealed"]["body_hash"]),
        receipt.returned(sha256_of(RESPONSE)),
    ] == EVENTS
    assert f'"subject": "{config_subject(config_digest)}"' in PAGE


def test_an_enclave_without_configuration_names_none() -> None:
    assert config_digest_of(parse_keyset(REPORT["workload_keyset"])[0]) is None


def test_the_receipt_at_rest() -> None:
    secret, request_id, document = bytes([7] * 32), "0123456789abcdef" * 2, b'{"api_version":"aci/1"}'
    sealed = seal_receipt(secret, request_id, document, bytes(range(12)))
    assert f"\n    {sealed.hex()}\n" in PAGE
    assert open_receipt(secret, request_id, sealed) == document


@pytest.mark.parametrize("limit", [f"at most {ehbp.MAX_FRAME >> 20} MiB", f"at most {ehbp.FRAME_PLAINTEXT >> 20} MiB of plaintext"])
def test_the_limits(limit: str) -> None:
    assert limit in PAGE


def test_the_problem_type() -> None:
    assert json.loads(ehbp.KEY_PROBLEM)["type"] in PAGE
