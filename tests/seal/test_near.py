"""NEAR's field encryption against libsodium: every field, both ways, and what is refused."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from ollm.seal.edwards import x25519_private, x25519_public
from ollm.seal.near import FieldSealer, NearCipher, open_field
from ollm.seal.openai_fields import CHAT, COMPLETIONS, EMBEDDINGS
from ollm.testing.sealing import near as provider
from ollm.testing.sealing.cheats import Cheat
from tests.seal.peers import CANARY, answer, chat, chunk, code_of, documents, encoded, exchanged, near

SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")  # RFC 8032 §7.1, test 1
MODEL = Ed25519PrivateKey.from_private_bytes(SEED)
# "hello" for that key, ephemeral secret 32 times 0x11, nonce 00 to 17.
BLOB = (
    "7b4e909bbe7ffe44c465a220037d608ee35897d31ef972f07f74892cb0f73f13"
    "000102030405060708090a0b0c0d0e0f1011121314151617"
    "cfaab02289084f33a961a3f62810136611f60af6cf"
)
PROMPT = "the prompt"


# --- one field ----------------------------------------------------------------------------------------------------------


def test_the_vector() -> None:
    peer = X25519PublicKey.from_public_bytes(x25519_public(MODEL.public_key().public_bytes_raw()))
    ephemeral = X25519PrivateKey.from_private_bytes(bytes([0x11] * 32))
    assert FieldSealer(peer, ephemeral=ephemeral).seal(b"hello", bytes(range(24))) == BLOB
    assert open_field(x25519_private(MODEL), BLOB) == b"hello"
    assert open_field(x25519_private(MODEL), BLOB.upper()) == b"hello"


@given(text=st.text(min_size=1), seed=st.binary(min_size=32, max_size=32))
def test_both_ways_with_libsodium(text: str, seed: bytes) -> None:
    machine = provider.NearRecipient(seed)
    peer = X25519PublicKey.from_public_bytes(x25519_public(machine.public_key))
    assert provider.unseal(machine._secret, FieldSealer(peer).seal(text.encode(), os.urandom(24))) == text
    own = x25519_private(Ed25519PrivateKey.from_private_bytes(seed))
    assert open_field(own, provider.seal(machine.public_key, text)).decode() == text


@pytest.mark.parametrize("blob", ["hello", "0x" + BLOB, " " + BLOB, BLOB[:64] + " " + BLOB[64:], BLOB[:-1], "ab" * 71, "é" * 200, BLOB[:-2] + "zz"])
def test_what_is_no_blob_is_plaintext(blob: str) -> None:
    assert code_of(lambda: open_field(x25519_private(MODEL), blob)) == "PLAINTEXT_ANSWER"


@pytest.mark.parametrize("blob", ["00" * 32 + BLOB[64:], "ab" * 72, BLOB + "00", BLOB[:-2] + "00"])
def test_a_blob_that_does_not_open(blob: str) -> None:
    """The first has the point of order 4 for its key: its shared secret would be known to everybody."""
    assert code_of(lambda: open_field(x25519_private(MODEL), blob)) == "AEAD_DECRYPT_FAILED"


def test_recorded_keys_can_be_sealed_to(evidence_dir: Path) -> None:
    recorded = list((evidence_dir / "captures").glob("neardirect_*/responses/*_attestation_report.body"))
    assert recorded
    for path in recorded:
        key = bytes.fromhex(json.loads(path.read_bytes())["signing_public_key"])
        sealed, _ = NearCipher(key, strict=True, name_key=True, random=os.urandom).seal(CHAT, encoded(chat()), streamed=True)
        assert dict(sealed.headers)["X-Model-Pub-Key"] == key.hex()


# --- requests -----------------------------------------------------------------------------------------------------------

FULL: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": PROMPT, "name": PROMPT},
        {"role": "user", "content": [{"type": "text", "text": PROMPT}, {"type": "image_url", "image_url": {"url": "data:" + PROMPT}}]},
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": PROMPT,
            "reasoning": PROMPT,
            "refusal": PROMPT,
            "audio": {"id": "a", "data": PROMPT},
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": PROMPT, "arguments": '{"q":"the prompt"}'}}],
            "function_call": {"name": PROMPT, "arguments": PROMPT},
        },
        {"role": "tool", "tool_call_id": "c", "content": ""},
    ],
    "tools": [{"type": "function", "function": {"name": PROMPT, "description": PROMPT, "parameters": {"title": PROMPT}, "strict": True}}],
    "tool_choice": {"type": "function", "function": {"name": PROMPT}},
    "function_call": {"name": PROMPT},
    "response_format": {"type": "json_object"},
    "temperature": 0.1,
    "stream": False,
}


def test_every_field_of_a_chat() -> None:
    pair = near()
    sealed, _ = pair.cipher.seal(CHAT, encoded(FULL), streamed=False)
    assert PROMPT.encode() not in sealed.body
    assert json.loads(sealed.body)["messages"][2]["tool_calls"][0]["id"] == "c"
    assert pair.open(sealed).request == FULL


def test_the_headers() -> None:
    pair = near()
    sealed, _ = pair.cipher.seal(CHAT, encoded(chat()), streamed=False)
    headers = dict(sealed.headers)
    assert len(headers.pop("X-Client-Pub-Key")) == 64
    assert len(headers.pop("X-Model-Pub-Key")) == 64
    assert headers == {"X-Signing-Algo": "ed25519", "X-Encryption-Version": "2", "X-Encrypt-All-Fields": "true"}
    assert sealed.path is None
    unnamed, _ = near(name_key=False).cipher.seal(CHAT, encoded(chat()), streamed=False)
    assert "X-Model-Pub-Key" not in dict(unnamed.headers)


@pytest.mark.parametrize("prompt", [PROMPT, [PROMPT, "", "two"]])
def test_completions_and_embeddings(prompt: Any) -> None:
    said = {"id": "c", "choices": [{"index": 0, "text": CANARY, "logprobs": None}], "usage": {"prompt_tokens": 1}}
    exchange, opener = exchanged(near(COMPLETIONS), {"model": "m", "prompt": prompt, "stream": False}, COMPLETIONS)
    assert CANARY.encode() not in exchange.whole(said)
    assert json.loads(opener.whole(exchange.whole(said))) == said

    vectors = {"data": [{"index": 0, "embedding": [0.5, -1.25]}], "usage": {"prompt_tokens": 1}}
    exchange, opener = exchanged(near(EMBEDDINGS), {"model": "m", "input": prompt}, EMBEDDINGS)
    assert json.loads(opener.whole(exchange.whole(vectors))) == vectors


@pytest.mark.parametrize("ids", [[1, 2, 3], [[1], [2, 3]]])
def test_token_ids_have_no_sealed_form(ids: list[Any]) -> None:
    body = encoded({"model": "m", "input": ["text", *ids]})
    assert code_of(lambda: near(EMBEDDINGS).cipher.seal(EMBEDDINGS, body, streamed=False)) == "UNSEALABLE_CONTENT"
    loose = near(EMBEDDINGS, strict=False)
    sealed, _ = loose.cipher.seal(EMBEDDINGS, body, streamed=False)
    assert loose.open(sealed).request["input"] == ["text", *ids]


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/tokenize", "/v1/chat/completions/", "/v1/audio/transcriptions", ""])
def test_the_provider_would_pass_other_paths_on_unsealed(path: str) -> None:
    assert code_of(lambda: near().cipher.seal(path, encoded(chat()), streamed=False)) == "UNSUPPORTED_ENDPOINT"


CLEAR: list[dict[str, Any]] = [
    {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
    {"response_format": {"type": "text", "json_schema": {}}},
    {"metadata": {"case": "x"}},
    {"user": "somebody"},
    {"stop": ["x"]},
    {"logit_bias": {"5": 1}},
    {"prediction": {"type": "content", "content": "x"}},
    {"functions": [{"name": "x"}]},
    {"chat_template_kwargs": {"x": 1}},
    {"web_search_options": {}},
    {"guided_regex": "x"},
    {"documents": ["x"]},
    {"tool_choice": "something else"},
    {"tools": [{"type": "custom", "custom": {"name": "x"}}]},
    {"tools": [{"type": "function", "function": {"name": "x", "examples": ["x"]}}]},
    {"messages": [{"role": "user", "content": "x", "annotations": []}]},
    {"messages": [{"role": "assistant", "content": "x", "audio": {"transcript": "x"}}]},
    {"messages": [{"role": "assistant", "content": "x", "tool_calls": [{"id": "c", "custom": {"input": "x"}}]}]},
]


@pytest.mark.parametrize("members", CLEAR, ids=lambda members: next(iter(members)))
def test_content_that_would_go_in_the_clear(members: dict[str, Any]) -> None:
    body = encoded({**chat(), **members})
    assert code_of(lambda: near().cipher.seal(CHAT, body, streamed=False)) == "UNSEALABLE_CONTENT"
    loose = near(strict=False)
    sealed, _ = loose.cipher.seal(CHAT, body, streamed=False)
    assert loose.open(sealed).request == {**chat(), **members}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("messages", ["text", [1], [["x"]], {"content": "x"}])
def test_a_chat_of_another_shape_is_never_sent(messages: Any, strict: bool) -> None:
    body = encoded({"model": "m", "messages": messages})
    assert code_of(lambda: near(strict=strict).cipher.seal(CHAT, body, streamed=False)) == "INVALID_INPUT"


@pytest.mark.parametrize("key", [bytes(32), bytes(31), b"\x02" + bytes(31), (1).to_bytes(32, "little")])
def test_a_key_that_is_none_is_refused(key: bytes) -> None:
    assert code_of(lambda: NearCipher(key, strict=True, name_key=True, random=os.urandom)) == "INVALID_KEY_CONFIG"


# --- answers ------------------------------------------------------------------------------------------------------------

TOKENS = [{"token": "a", "bytes": [97], "logprob": -0.5, "top_logprobs": [{"token": "b", "bytes": None, "logprob": -1}]}]
MESSAGE: dict[str, Any] = {
    "content": CANARY,
    "reasoning_content": CANARY,
    "reasoning": CANARY,
    "refusal": CANARY,
    "audio": {"id": "a", "data": CANARY},
    "tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": CANARY, "arguments": CANARY}}],
    "function_call": {"name": CANARY, "arguments": CANARY},
    "nearai_tool_result": {"name": "search", "output": CANARY},
}


def full(kind: str) -> dict[str, Any]:
    choice = {"index": 0, kind: {"role": "assistant", **MESSAGE}, "logprobs": {"content": TOKENS, "refusal": TOKENS}, "finish_reason": None}
    return {"id": "c", "model": "m", "choices": [choice], "usage": {"prompt_tokens": 1.0, "x": None}}


def test_every_field_of_a_whole_answer() -> None:
    exchange, opener = exchanged(near(), chat())
    wire = exchange.whole(full("message"))
    assert CANARY.encode() not in wire
    assert json.loads(opener.whole(wire)) == full("message")


def test_every_field_of_a_streamed_answer() -> None:
    exchange, opener = exchanged(near(), chat(stream=True))
    wire = exchange.stream([full("delta"), chunk(content=""), chunk(content=None), chunk(tool_calls=[{"index": 0, "function": {"arguments": ""}}])])
    assert CANARY.encode() not in b"".join(wire)
    opened = list(documents(opener.feed(b"".join(wire))))
    assert opened[0] == full("delta")
    assert [document["choices"][0]["delta"] for document in opened[1:3]] == [{"content": ""}, {"content": None}]


def test_content_in_parts() -> None:
    parts = [{"type": "text", "text": CANARY}, {"type": "other", "n": 1}]
    exchange, opener = exchanged(near(), chat())
    assert json.loads(opener.whole(exchange.whole(answer(content=parts)))) == answer(content=parts)


def leaves() -> list[tuple[str, dict[str, Any]]]:
    """For each field that must come sealed, a document in which that field alone comes in the clear."""
    cases: list[tuple[str, dict[str, Any]]] = []
    for kind in ("message", "delta"):
        for name, value in MESSAGE.items():
            cases.append((f"{kind}.{name}", {"choices": [{kind: {name: value}}]}))
    for kind in ("content", "refusal"):
        for one in ({"token": "a"}, {"bytes": [97]}, {"top_logprobs": [{"token": "b"}]}, {"top_logprobs": [{"bytes": [98]}]}):
            cases.append((f"logprobs.{kind}.{next(iter(one))}", {"choices": [{"delta": {}, "logprobs": {kind: [one]}}]}))
    cases.append(("content.text", {"choices": [{"message": {"content": [{"type": "text", "text": "x"}]}}]}))
    cases.append(("content, a number", {"choices": [{"message": {"content": 5}}]}))
    cases.append(("content, an object", {"choices": [{"message": {"content": {"text": "x"}}}]}))
    return cases


@pytest.mark.parametrize("document", [document for _, document in leaves()], ids=[name for name, _ in leaves()])
def test_plaintext_where_ciphertext_is_due_is_refused(document: dict[str, Any]) -> None:
    _, opener = exchanged(near(), chat())
    assert code_of(lambda: opener.whole(encoded(document))) == "PLAINTEXT_ANSWER"
    _, opener = exchanged(near(), chat(stream=True))
    assert code_of(lambda: opener.feed(b"data: " + json.dumps(document).encode() + b"\n\n")) == "PLAINTEXT_ANSWER"


@pytest.mark.parametrize("path", [COMPLETIONS, EMBEDDINGS])
def test_plaintext_of_the_other_endpoints_is_refused(path: str) -> None:
    request: dict[str, Any] = {"model": "m", "prompt": "x"} if path == COMPLETIONS else {"model": "m", "input": "x"}
    exchange, opener = exchanged(near(path), request, path)
    said = {"choices": [{"text": "x"}], "data": [{"embedding": [1.0]}]}
    assert code_of(lambda: opener.whole(exchange.whole(said, Cheat.PLAINTEXT))) == "PLAINTEXT_ANSWER"


@pytest.mark.parametrize("document", [b"[]", b"text", b'{"choices":"text"}', b'{"choices":["text"]}', b'{"choices":[{"message":"text"}]}', b"{"])
def test_an_answer_of_another_shape_is_refused(document: bytes) -> None:
    _, opener = exchanged(near(), chat())
    assert code_of(lambda: opener.whole(document)) in {"MALFORMED_ANSWER", "PLAINTEXT_ANSWER"}


def test_events_without_content_pass() -> None:
    _, opener = exchanged(near(), chat(stream=True))
    for data in (b'{"choices":[],"usage":{"n":1.0}}', b'{"error":{"message":"m"}}', b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'):
        assert opener.feed(b"data: " + data + b"\n\n") == b"data: " + data + b"\n\n"


def test_whoever_sees_our_key_can_forge_an_answer() -> None:
    """What the module says: a blob proves nothing about its sender. The channel, and the provider's signature, must."""
    pair = near()
    sealed, opener = pair.cipher.seal(CHAT, encoded(chat()), streamed=False)
    forged = provider.seal(bytes.fromhex(dict(sealed.headers)["X-Client-Pub-Key"]), "forged")
    opener.begin(200, {})
    assert json.loads(opener.whole(encoded({"choices": [{"message": {"content": forged}}]})))["choices"][0]["message"]["content"] == "forged"


def test_fields_of_a_request_can_change_places() -> None:
    pair = near()
    sealed, _ = pair.cipher.seal(CHAT, encoded(chat()), streamed=False)
    body = json.loads(sealed.body)
    one, other = body["messages"]
    one["content"], other["content"] = other["content"], one["content"]
    swapped = sealed.__class__(encoded(body), sealed.headers)
    assert [message["content"] for message in pair.open(swapped).request["messages"]] == [m["content"] for m in chat()["messages"][::-1]]
