"""NEAR AI in memory: a model's machine, alone or behind a gateway's, and the ways in which either can cheat. Also as dstack's vLLM proxy.

async with NearServer() as server:                        a machine
async with NearServer(behind=True) as server:             a gateway before it
async with NearServer(key=ecdsa(), sealed=False) …        dstack's vLLM proxy
"""

import enum
import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ollm.net.clock import SystemClock
from ollm.serving.http import Receive, Scope, Send, query, read_body
from ollm.sim import reference
from ollm.sim.pki import create_pki
from ollm.testing.mint.signer import MODEL, FakeSigner, Key, KmsMachine, ed25519
from ollm.testing.providers import openai_shaped
from ollm.testing.providers.served import Endorsed, answer, headers_of
from ollm.testing.providers.tls import certified
from ollm.testing.sealing.cheats import Cheat, Refused
from ollm.testing.sealing.near import NearRecipient
from ollm.values.policy import AttestationPolicy, ServicePolicy

SEED = b"\x07" * 32
CHAT_ID = "chatcmpl-theirs"
_MAX_BODY = 1024 * 1024
Bend = Callable[[dict[str, Any]], object]


class Signing(enum.Enum):
    """What becomes of the signature over an answer."""

    HONEST = "as it should be"
    LATE = "stored a moment after it is asked for first"
    MISSING = "never stored"
    REFUSED = "the endpoint fails"
    UNSUPPORTED = "the provider says that it doesn't sign"
    OTHER_ANSWER = "over another answer"
    OTHER_REQUEST = "over another request"
    OTHER_MODEL = "for another model"
    OTHER_KEY = "by another key"
    GATEWAY = "the gateway's own"


class NearServer(Endorsed):
    """`bend` changes each report before it is sent; `answers` is done to sealed answers, `signing` to signatures. `bodies`: as they came."""

    def __init__(self, *, behind: bool = False, key: Key | None = None, sealed: bool = True) -> None:
        """`behind`: a gateway stands before the machine. `sealed` False: bodies come in the clear."""
        clock = SystemClock()
        pki = create_pki(clock.now())
        machine = KmsMachine(pki, clock, app_name="inference-proxy")
        front = KmsMachine(pki, clock, name="gateway-machine", build="gateway-build", app_name="cloud-api")
        self.signer = FakeSigner(machine=machine, key=key or ed25519(SEED))
        self.front = FakeSigner(machine=front, key=ed25519(b"\x08" * 32), model=None, actions=None, ohttp=False)
        self.behind = behind
        self._sealed = sealed
        self.policy: AttestationPolicy = msgspec.structs.replace(
            reference.policy((machine,)),
            service=ServicePolicy(require_manager=True, gateway_tdx=reference.policy((front,)).tdx if behind else None),
        )
        found = certified(clock.now())
        leaf = x509.load_pem_x509_certificate(found.identity.certificate)
        self.fingerprint = hashlib.sha256(leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
        self.bend: Bend = lambda document: None
        self.answers = Cheat.NONE
        self.signing = Signing.HONEST
        self.refusing = 0  # how many requests more are answered 421
        self.bodies: list[bytes] = []
        self.asked: list[dict[str, Any]] = []
        self.heads: list[dict[str, str]] = []
        self.queries: list[dict[str, str]] = []
        self.signatures_asked = 0
        self._signatures: dict[str, dict[str, Any]] = {}
        super().__init__(found.identity, machine)

    def report(self, nonce: str, *, fingerprint: bool = True) -> dict[str, Any]:
        """What `GET /v1/attestation/report` answers."""
        own = self.fingerprint if fingerprint else None
        if self.behind:
            behind = self.signer.report(nonce, "5c" * 32)  # a key of its own, which nobody but the gateway sees
            document = {"gateway_attestation": self.front.gateway_report(nonce, self.fingerprint), "model_attestations": [behind]}
        else:
            report = self.signer.report(nonce, own)
            document = {**report, "all_attestations": [report]}
        self.bend(document)
        return document

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, headers = scope["path"], headers_of(scope)
        body = await read_body(scope, receive, _MAX_BODY) if scope["method"] == "POST" else b""
        self.heads.append(headers)
        if path == "/v1/attestation/report":
            asked = query(scope)
            self.queries.append(asked)
            bound = asked.get("include_tls_fingerprint") == "true" or asked.get("version") == "2"
            await answer(send, 200, json.dumps(self.report(asked["nonce"], fingerprint=bound)).encode())
        elif found := re.fullmatch(r"/v1/signature/(.+)", path):
            await self._signature(found[1], send)
        else:
            await self._chat(path, headers, body, send)

    async def _chat(self, path: str, headers: dict[str, str], body: bytes, send: Send) -> None:
        self.bodies.append(body)
        if self.refusing:
            self.refusing -= 1
            await answer(send, 421, b'{"error":{"message":"encryption key is no longer valid"}}')
            return
        exchange = None
        if self._sealed:
            try:
                exchange = NearRecipient(SEED).open(path, headers, body)
            except Refused as refusal:
                await answer(send, refusal.status, json.dumps({"error": {"type": refusal.type}}).encode())
                return
        request = exchange.request if exchange is not None else json.loads(body)
        self.asked.append(request)
        model, kind = request["model"], b"application/json"
        if request.get("stream"):
            events = list(openai_shaped.events(model))
            documents = [json.loads(event[6:]) for event in events if b"[DONE]" not in event]
            answered = b"".join(exchange.stream(documents, self.answers) if exchange is not None else events)
            kind = b"text/event-stream"
        else:
            whole = openai_shaped.whole(model)
            answered = exchange.whole(json.loads(whole), self.answers) if exchange is not None else whole
        self._sign(model, body, answered)
        await answer(send, 200, answered, kind)

    def _sign(self, model: str, sent: bytes, answered: bytes) -> None:
        signing = self.signing
        signer = msgspec.structs.replace(self.signer, key=ed25519(b"\x09" * 32)) if signing is Signing.OTHER_KEY else self.signer
        reply = signer.reply(
            "other/Model" if signing is Signing.OTHER_MODEL else model,
            sent + b" " if signing is Signing.OTHER_REQUEST else sent,
            answered + b" " if signing is Signing.OTHER_ANSWER else answered,
        )
        if signing is Signing.GATEWAY:
            reply["signature_kind"] = "gateway"
        if signing is Signing.UNSUPPORTED:
            reply = {"error_code": "SIGNATURE_UNSUPPORTED", "message": "not here"}
        self._signatures[CHAT_ID] = reply

    async def _signature(self, chat_id: str, send: Send) -> None:
        self.signatures_asked += 1
        late = self.signing is Signing.LATE and self.signatures_asked < 3
        if self.signing is Signing.REFUSED:
            await answer(send, 500, b"{}")
        elif chat_id not in self._signatures or self.signing is Signing.MISSING or late:
            await answer(send, 404, b'{"error":{"type":"not_found"}}')
        else:
            await answer(send, 200, json.dumps(self._signatures[chat_id]).encode())


__all__ = ["CHAT_ID", "MODEL", "SEED", "NearServer", "Signing"]
