"""ACI's field encryption against a second reading of its specification; both suites, every place, every binding."""

import json
import os
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from ollm.errors import SealError
from ollm.seal.aci_e2ee import SECP256K1, X25519, AciCipher, Binding, Suite, open_field, seal_field
from ollm.seal.openai_fields import CHAT, COMPLETIONS, EMBEDDINGS
from ollm.testing.sealing.aci import AciRecipient
from ollm.testing.sealing.cheats import Cheat, Refused
from tests.seal.peers import CANARY, NOW, PROMPT, aci, answer, chat, chunk, code_of, documents, encoded, exchanged

BOTH = pytest.mark.parametrize("suite", [X25519, SECP256K1], ids=["x25519", "secp256k1"])
HEX = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"


# --- the specification's vectors ------------------------------------------------------------------------------------------


def test_associated_data() -> None:
    """spec/e2ee-v2-test-vectors.md."""
    binding = Binding(X25519.algo, "demo-model", HEX, 1_750_000_000)
    assert binding.request("messages.0.content").decode() == (
        '{"algo":"x25519-aes-256-gcm-hkdf-sha256","field":"messages.0.content","model":"demo-model",'
        f'"nonce":"{HEX}","purpose":"aci.e2ee.request.v2","ts":1750000000}}'
    )
    assert binding.answer("chatcmpl-123", "choices.0.message.content").decode() == (
        '{"algo":"x25519-aes-256-gcm-hkdf-sha256","field":"choices.0.message.content","id":"chatcmpl-123","model":"demo-model",'
        f'"nonce":"{HEX}","purpose":"aci.e2ee.response.v2","ts":1750000000}}'
    )


def test_the_services_key() -> None:
    key = X25519PrivateKey.from_private_bytes(bytes([3] * 32))
    assert X25519.public(key).hex() == "5dfedd3b6bd47f6fa28ee15d969d5bb0ea53774d488bdaf9df1c6e0124b3ef22"


# --- one field ----------------------------------------------------------------------------------------------------------


@BOTH
def test_a_field_opens_in_its_place_only(suite: Suite) -> None:
    own = suite.generate()
    blob = seal_field(suite, suite.load(suite.public(own)), b"hello", b"here", os.urandom(12))
    assert len(blob) == 2 * (suite.point_size + 12 + 5 + 16)
    assert blob == blob.lower()
    assert open_field(suite, own, blob, b"here") == b"hello"
    assert code_of(lambda: open_field(suite, own, blob, b"there")) == "AEAD_DECRYPT_FAILED"
    assert code_of(lambda: open_field(suite, suite.generate(), blob, b"here")) == "AEAD_DECRYPT_FAILED"


@BOTH
@pytest.mark.parametrize("blob", ["text", "", "ab" * 59, "0x" + "ab" * 100, "ab " * 100, "é" * 200])
def test_what_is_no_blob_is_plaintext(suite: Suite, blob: str) -> None:
    assert code_of(lambda: open_field(suite, suite.generate(), blob, b"")) == "PLAINTEXT_ANSWER"


@BOTH
@pytest.mark.parametrize("blob", ["00" * 100, "04" + "ff" * 99, "02" + "ab" * 99])
def test_a_blob_with_no_point_does_not_open(suite: Suite, blob: str) -> None:
    assert code_of(lambda: open_field(suite, suite.generate(), blob, b"")) == "AEAD_DECRYPT_FAILED"


# --- keys ---------------------------------------------------------------------------------------------------------------


def cipher(algo: str, key: bytes) -> AciCipher:
    return AciCipher(algo, key, strict=True, random=os.urandom, now=lambda: NOW)


def test_secp256k1_keys_come_with_or_without_their_first_byte() -> None:
    service = AciRecipient(SECP256K1.algo)
    for key in (service.public_key, service.public_key[1:]):
        sealed, _ = cipher(SECP256K1.algo, key).seal(CHAT, encoded(chat()), streamed=False)
        assert dict(sealed.headers)["X-Model-Pub-Key"] == key.hex()
        assert service.open(CHAT, dict(sealed.headers), sealed.body, now=NOW).request == chat()


@pytest.mark.parametrize(
    ("suite", "key"),
    [
        (X25519, bytes(31)),
        (X25519, bytes(32)),
        (X25519, (1).to_bytes(32, "little")),
        (SECP256K1, bytes(65)),
        (SECP256K1, b"\x04" + bytes(64)),
        (SECP256K1, b"\x02" + bytes(32)),
        (SECP256K1, b""),
    ],
)
def test_a_key_that_is_none_is_refused(suite: Suite, key: bytes) -> None:
    assert code_of(lambda: cipher(suite.algo, key)) == "INVALID_KEY_CONFIG"


@pytest.mark.parametrize("algo", ["ecdsa", "ed25519", "", "X25519-AES-256-GCM-HKDF-SHA256"])
def test_other_suites_are_refused(algo: str) -> None:
    assert code_of(lambda: cipher(algo, bytes(32))) == "UNSUPPORTED_SUITE"


# --- requests -----------------------------------------------------------------------------------------------------------


@BOTH
def test_a_chat_with_either_suite(suite: Suite) -> None:
    parts = [{"type": "text", "text": PROMPT}, {"type": "image_url", "image_url": {"url": "data:x"}}]
    request = chat(messages=[{"role": "system", "content": PROMPT}, {"role": "user", "content": parts}, {"role": "assistant", "content": None}])
    exchange, opener = exchanged(aci(algo=suite.algo), request)
    assert json.loads(opener.whole(exchange.whole(answer(reasoning="r")))) == answer(reasoning="r")


def test_the_headers() -> None:
    sealed, _ = aci().cipher.seal(CHAT, encoded(chat()), streamed=False)
    headers = dict(sealed.headers)
    assert headers["X-E2EE-Version"] == "2"
    assert headers["X-E2EE-Timestamp"] == str(NOW)
    assert [len(headers[name]) for name in ("X-Client-Pub-Key", "X-Model-Pub-Key", "X-E2EE-Nonce")] == [64, 64, 64]
    assert "X-Signing-Algo" not in headers


def test_the_service_refuses_a_replay_and_an_old_request() -> None:
    service = AciRecipient()
    sealed, _ = cipher(X25519.algo, service.public_key).seal(CHAT, encoded(chat()), streamed=False)
    with pytest.raises(Refused, match="e2ee_invalid_timestamp"):
        service.open(CHAT, dict(sealed.headers), sealed.body, now=NOW + 301)
    service.open(CHAT, dict(sealed.headers), sealed.body, now=NOW)
    with pytest.raises(Refused, match="e2ee_replay_detected"):
        service.open(CHAT, dict(sealed.headers), sealed.body, now=NOW)


@pytest.mark.parametrize("prompt", ["text", ["one", "two"]])
def test_completions_and_embeddings(prompt: Any) -> None:
    said = {"id": "c", "choices": [{"index": 1, "text": CANARY}, {"text": "other"}], "usage": {"n": 1}}
    exchange, opener = exchanged(aci(COMPLETIONS), {"model": "m", "prompt": prompt}, COMPLETIONS)
    with pytest.raises(SealError, match="AEAD"):  # both choices are at place 1, and only one of them was sealed for it
        opener.whole(
            exchange.whole({**said, "choices": [{"index": 1, "text": "x"}, {"index": 0, "text": "y"}]}).replace(b'"index": 0', b'"index": 1')
        )
    exchange, opener = exchanged(aci(COMPLETIONS), {"model": "m", "prompt": prompt}, COMPLETIONS)
    assert json.loads(opener.whole(exchange.whole(said))) == said

    vectors = {"data": [{"index": 0, "embedding": [0.5, -1.25]}, {"index": 1, "embedding": "base64=="}]}
    exchange, opener = exchanged(aci(EMBEDDINGS), {"model": "m", "input": prompt}, EMBEDDINGS)
    assert json.loads(opener.whole(exchange.whole(vectors))) == vectors


@pytest.mark.parametrize(
    "members",
    [
        {"tools": [{"type": "function", "function": {"name": "x"}}]},
        {"tool_choice": "auto"},
        {"logprobs": True},
        {"metadata": {}},
        {"messages": [{"role": "user", "content": "x", "name": "somebody"}]},
        {"messages": [{"role": "assistant", "content": "x", "tool_calls": []}]},
    ],
    ids=lambda members: next(iter(members)),
)
def test_content_that_would_go_in_the_clear(members: dict[str, Any]) -> None:
    body = encoded({**chat(), **members})
    assert code_of(lambda: aci().cipher.seal(CHAT, body, streamed=False)) == "UNSEALABLE_CONTENT"
    loose = aci(strict=False)
    sealed, _ = loose.cipher.seal(CHAT, body, streamed=False)
    assert loose.open(sealed).request == {**chat(), **members}


@pytest.mark.parametrize(("path", "streamed"), [("/v1/responses", False), ("/v1/images/generations", False), (EMBEDDINGS, True)])
def test_endpoints_without_a_sealed_form(path: str, streamed: bool) -> None:
    assert code_of(lambda: aci().cipher.seal(path, encoded({"model": "m", "input": "x"}), streamed=streamed)) == "UNSUPPORTED_ENDPOINT"


@pytest.mark.parametrize("model", [None, 5, ["m"]])
def test_a_request_names_its_model(model: Any) -> None:
    assert code_of(lambda: aci().cipher.seal(CHAT, encoded({**chat(), "model": model}), streamed=False)) == "INVALID_INPUT"


@given(model=st.text(max_size=20), id=st.none() | st.text(max_size=20))
def test_every_model_and_id_binds(model: str, id: str | None) -> None:
    exchange, opener = exchanged(aci(), {**chat(), "model": model})
    said = {**answer(), "id": id} if id is not None else {name: value for name, value in answer().items() if name != "id"}
    assert json.loads(opener.whole(exchange.whole(said))) == said


# --- what is bound ------------------------------------------------------------------------------------------------------


def test_fields_of_a_request_cannot_change_places() -> None:
    pair = aci()
    sealed, _ = pair.cipher.seal(CHAT, encoded(chat()), streamed=False)
    body = json.loads(sealed.body)
    one, other = body["messages"]
    one["content"], other["content"] = other["content"], one["content"]
    with pytest.raises(Refused, match="e2ee_decryption_failed"):
        pair.open(sealed.__class__(encoded(body), sealed.headers))


@pytest.mark.parametrize("header", ["X-E2EE-Nonce", "X-E2EE-Timestamp"])
def test_a_request_holds_for_its_headers(header: str) -> None:
    pair = aci()
    sealed, _ = pair.cipher.seal(CHAT, encoded(chat()), streamed=False)
    changed = {**dict(sealed.headers), header: {"X-E2EE-Nonce": HEX, "X-E2EE-Timestamp": str(NOW + 1)}[header]}
    with pytest.raises(Refused, match="e2ee_decryption_failed"):
        pair.open(sealed.__class__(sealed.body, tuple(changed.items())))


@pytest.mark.parametrize("change", [(b'"chatcmpl-1"', b'"chatcmpl-2"'), (b'"index": 0', b'"index": 1'), (b'"content"', b'"reasoning"')])
def test_a_field_of_an_answer_holds_for_its_place_and_id(change: tuple[bytes, bytes]) -> None:
    exchange, opener = exchanged(aci(), chat())
    assert code_of(lambda: opener.whole(exchange.whole(answer()).replace(*change))) == "AEAD_DECRYPT_FAILED"


# --- answers ------------------------------------------------------------------------------------------------------------


def test_every_field_of_an_answer() -> None:
    message = {"reasoning": CANARY, "reasoning_content": CANARY, "audio": {"id": "a", "data": CANARY}, "refusal": None}
    exchange, opener = exchanged(aci(), chat())
    wire = exchange.whole(answer(CANARY, **message))
    assert CANARY.encode() not in wire
    assert json.loads(opener.whole(wire)) == answer(CANARY, **message)


def test_a_streamed_answer_with_empty_content() -> None:
    exchange, opener = exchanged(aci(), chat(stream=True))
    wire = exchange.stream([chunk(role="assistant", content=""), chunk(reasoning="r", reasoning_content=None), chunk(content=CANARY)])
    opened = [document["choices"][0]["delta"] for document in documents(opener.feed(b"".join(wire)))]
    assert opened == [{"role": "assistant"}, {"reasoning": "r", "reasoning_content": None}, {"content": CANARY}]


@pytest.mark.parametrize("kind", ["message", "delta"])
@pytest.mark.parametrize("said", [{"content": "x"}, {"reasoning": "x"}, {"reasoning_content": "x"}, {"content": ["x"]}, {"content": 1}])
def test_plaintext_where_ciphertext_is_due_is_refused(kind: str, said: dict[str, Any]) -> None:
    _, opener = exchanged(aci(), chat())
    assert code_of(lambda: opener.whole(encoded({"choices": [{kind: said}]}))) == "PLAINTEXT_ANSWER"


def test_plaintext_of_the_other_endpoints_is_refused() -> None:
    exchange, opener = exchanged(aci(EMBEDDINGS), {"model": "m", "input": "x"}, EMBEDDINGS)
    assert code_of(lambda: opener.whole(exchange.whole({"data": [{"embedding": [1.0]}]}, Cheat.PLAINTEXT))) == "PLAINTEXT_ANSWER"


def test_whoever_sees_our_key_can_forge_an_answer() -> None:
    """What the module says. The receipt's hash of the answer tells it, afterwards."""
    service = AciRecipient()
    sealed, opener = cipher(X25519.algo, service.public_key).seal(CHAT, encoded(chat()), streamed=False)
    headers = dict(sealed.headers)
    binding = Binding(X25519.algo, "m", headers["X-E2EE-Nonce"], NOW)
    peer = X25519.load(bytes.fromhex(headers["X-Client-Pub-Key"]))
    forged = seal_field(X25519, peer, b"forged", binding.answer("", "choices.0.message.content"), os.urandom(12))
    opener.begin(200, {})
    opened = json.loads(opener.whole(encoded({"choices": [{"message": {"content": forged}}]})))
    assert opened["choices"][0]["message"]["content"] == "forged"
