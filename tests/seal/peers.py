"""Every cipher beside the provider's side of it, and the bodies that go between them."""

import itertools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import pytest

from ollm.errors import SealError, WireError
from ollm.seal.aci_e2ee import X25519, AciCipher
from ollm.seal.chutes import ChutesCipher
from ollm.seal.cipher import AnswerOpener, Cipher, SealedBody
from ollm.seal.ehbp_cipher import EhbpCipher
from ollm.seal.near import NearCipher
from ollm.seal.openai_fields import CHAT
from ollm.seal.privatemode import PrivatemodeCipher
from ollm.seal.secret_exchange import SecretExchange
from ollm.testing.sealing.aci import AciRecipient
from ollm.testing.sealing.cheats import Cheat, Exchange
from ollm.testing.sealing.chutes import ChutesRecipient
from ollm.testing.sealing.ehbp import EhbpRecipient
from ollm.testing.sealing.near import NearRecipient
from ollm.testing.sealing.privatemode import PrivatemodeRecipient, SecretService

NOW = 1_750_000_000
CANARY = "canary-9f2c77"
PROMPT = f'What is {CANARY}? 🔒 "quoted" \\ and\nnew line'
SAID = ("It is ", "a bird, ", "yellow ", "and ", "small.")


class Pair(NamedTuple):
    """A cipher, and the provider that opens what it seals."""

    cipher: Cipher
    open: Callable[[SealedBody], Exchange]


def near(path: str = CHAT, *, strict: bool = True, name_key: bool = True) -> Pair:
    machine = NearRecipient()
    cipher = NearCipher(machine.public_key, strict=strict, name_key=name_key, random=os.urandom)
    return Pair(cipher, lambda sealed: machine.open(path, dict(sealed.headers), sealed.body))


def aci(path: str = CHAT, *, strict: bool = True, algo: str = X25519.algo) -> Pair:
    service = AciRecipient(algo)
    cipher = AciCipher(algo, service.public_key, strict=strict, random=os.urandom, now=lambda: NOW)
    return Pair(cipher, lambda sealed: service.open(path, dict(sealed.headers), sealed.body, now=NOW))


def chutes() -> Pair:
    instance = ChutesRecipient()
    cipher = ChutesCipher(
        instance.public_key, chute_id=instance.chute_id, instance_id=instance.instance_id, take_nonce=instance.new_nonce, random=os.urandom
    )
    return Pair(cipher, lambda sealed: instance.open(sealed.path or "", dict(sealed.headers), sealed.body))


def privatemode(path: str = CHAT) -> Pair:
    service, exchange = SecretService(), SecretExchange()
    secret = exchange.secret(*service.exchange(exchange.public_key), service.public_key)
    proxy = PrivatemodeRecipient(service.secrets)
    cipher = PrivatemodeCipher(secret, exchange.secret_id, random=os.urandom)
    return Pair(cipher, lambda sealed: proxy.open(path, dict(sealed.headers), sealed.body))


def ehbp(path: str = CHAT) -> Pair:
    enclave = EhbpRecipient()
    return Pair(EhbpCipher(enclave.public_key), lambda sealed: enclave.open(path, dict(sealed.headers), sealed.body))


PAIRS: dict[str, Callable[[], Pair]] = {
    "ehbp": ehbp,
    "near-e2ee-v2": near,
    "aci-e2ee-v2": aci,
    "chutes-e2ee-v1": chutes,
    "privatemode-v1": privatemode,
}


def chat(*, stream: bool = False, prompt: str = PROMPT, **members: Any) -> dict[str, Any]:
    """A chat request."""
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": prompt}]
    return {"model": "m", "messages": messages, "stream": stream, "temperature": 0.7, **members}


def answer(text: str = "".join(SAID), **message: Any) -> dict[str, Any]:
    """A whole answer."""
    said = {"role": "assistant", "content": text, **message}
    choice = {"index": 0, "message": said, "finish_reason": "stop"}
    return {"id": "chatcmpl-1", "object": "chat.completion", "model": "m", "choices": [choice], "usage": {"prompt_tokens": 3}}


def chunk(**delta: Any) -> dict[str, Any]:
    """One document of a streamed answer."""
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m", "choices": [{"index": 0, "delta": delta}]}


def chunks(said: Sequence[str] = SAID) -> list[dict[str, Any]]:
    """The documents of a streamed answer."""
    return [chunk(role="assistant"), *(chunk(content=text) for text in said)]


def encoded(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, indent=1).encode()


def headers_of(exchange: Exchange, cheat: Cheat = Cheat.NONE) -> dict[bytes, bytes]:
    return {name.lower().encode(): value.encode() for name, value in exchange.headers(cheat).items()}


def exchanged(pair: Pair, request: dict[str, Any], path: str = CHAT) -> tuple[Exchange, AnswerOpener]:
    """`request` sealed, sent and opened; its answer begun."""
    sealed, opener = pair.cipher.seal(path, encoded(request), streamed=bool(request.get("stream")))
    exchange = pair.open(sealed)
    assert exchange.request == request
    assert opener.begin(200, headers_of(exchange))
    return exchange, opener


def documents(stream: bytes) -> Iterator[dict[str, Any]]:
    """The JSON documents of an opened stream, up to its end mark."""
    for event in stream.split(b"\n\n"):
        if event == b"data: [DONE]":
            return
        if event:
            yield json.loads(event.removeprefix(b"data: "))


def fed(opener: AnswerOpener, wire: bytes, cuts: Sequence[int] = ()) -> bytes:
    """The plaintext of `wire`, cut at `cuts`."""
    edges = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    return b"".join([opener.feed(wire[a:b]) for a, b in itertools.pairwise(edges)])


def outcome(call: Callable[[], object]) -> str:
    """All that a failure of `call` says; "" when there is none. Only our own errors are failures."""
    try:
        call()
    except (SealError, WireError) as problem:
        return f"{problem} {problem!r} {problem.__cause__!r} {problem.__context__ if not problem.__suppress_context__ else None!r}"
    return ""


def code_of(call: Callable[[], object]) -> str:
    """The code of the SealError that `call` raises, whose text and repr hold no content."""
    with pytest.raises(SealError) as refusal:
        call()
    assert CANARY not in f"{refusal.value} {refusal.value!r} {refusal.value.__cause__!r}"
    return refusal.value.code
