"""An ACI/1 service with ACI's own field encryption, as private-ai-gateway is one: a simulated machine, and the ways in which it can cheat.

    async with AciServer() as server:        server.policy admits it

EHBP is spoken by `sim.enclave`. This one takes sealed fields, and bodies in the clear as private-ai-gateway does.
"""

import enum
import json
from collections.abc import Callable
from typing import Any

import msgspec

from ollm.net.clock import SystemClock
from ollm.serving.attestation import AttestationService
from ollm.serving.http import Receive, Scope, Send, query, read_body
from ollm.serving.server import Server
from ollm.sim import reference
from ollm.sim.adversary import MachineQuotes
from ollm.sim.control import Control
from ollm.sim.enclave import Counters
from ollm.sim.identity import create_identity
from ollm.sim.machine import SimulatedMachine
from ollm.sim.pki import create_pki
from ollm.testing.providers import listings, openai_shaped
from ollm.testing.sealing.aci import X25519, AciRecipient
from ollm.testing.sealing.cheats import Cheat, Refused
from ollm.values.aci import E2eeKey, Keyset
from ollm.values.policy import AttestationPolicy

_MAX_BODY = 1024 * 1024
_DAY = 86_400
Bend = Callable[[dict[str, Any]], object]


class Lie(enum.Enum):
    """What is wrong with the keys that it attests."""

    NONE = "none"
    NO_KEY = "none to seal fields to"
    ANOTHER_SUITE = "one of a suite that nobody defines"
    MALFORMED = "one that is no key"
    TWO = "two of one suite"
    NOT_HELD = "one that it doesn't hold"


class AciServer:
    """`bend` changes each report before it is sent, `answers` is done to sealed answers. `bodies`: as they came; `asked`: opened."""

    def __init__(self, *, algo: str = X25519, lie: Lie = Lie.NONE) -> None:
        self._clock = SystemClock()
        now = self._clock.now()
        machine = SimulatedMachine(create_pki(now), self._clock)
        self.policy: AttestationPolicy = reference.policy((machine,))
        self.recipient = AciRecipient(algo)
        self._identity = create_identity(now)
        self.lie = lie
        self._machine = machine
        self.attest()
        self.bend: Bend = lambda document: None
        self.answers = Cheat.NONE
        self.bodies: list[bytes] = []
        self.asked: list[dict[str, Any]] = []
        self.refusals: list[str] = []
        self.reports = 0
        self._server = Server(self._serve, host="127.0.0.1", port=0, tls=self._identity.tls)
        self._pcs = Server(Control(machine, Counters(), ""), host="127.0.0.1", port=0)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._server.port}"

    @property
    def pcs_url(self) -> str:
        return f"http://127.0.0.1:{self._pcs.port}"

    @property
    def root_crl_url(self) -> str:
        return self.pcs_url + "/IntelSGXRootCA.der"

    async def __aenter__(self) -> "AciServer":
        await self._server.start()
        await self._pcs.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._server.drain(0)
        await self._pcs.drain(0)

    def rotate(self) -> None:
        """Another key for fields from now on, attested as the one before was; the key of TLS stays."""
        self.recipient = AciRecipient(self.recipient.algo)
        self.attest()

    def attest(self) -> None:
        """Attest what `lie` says, from now on."""
        self._attestation = AttestationService(self._keyset(), MachineQuotes(self._machine), serving="aggregator", e2ee_versions=("2",))

    def _keyset(self) -> Keyset:
        key = E2eeKey("e2ee-1", self.recipient.algo, self.recipient.public_key.hex())
        keys = {
            Lie.NO_KEY: (),
            Lie.ANOTHER_SUITE: (msgspec.structs.replace(key, algo="p256-aes-256-gcm"),),
            Lie.MALFORMED: (msgspec.structs.replace(key, public_key="00"),),
            Lie.TWO: (key, msgspec.structs.replace(key, key_id="e2ee-2", public_key="11" * 32)),
            Lie.NOT_HELD: (msgspec.structs.replace(key, public_key=AciRecipient(self.recipient.algo).public_key.hex()),),
        }.get(self.lie, (key,))
        keyset = self._identity.keyset(not_after=self._clock.now() + 30 * _DAY)
        return msgspec.structs.replace(keyset, subject=None, e2ee_public_keys=keys)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, headers = scope["path"], {name.decode(): value.decode() for name, value in scope["headers"]}
        if path == "/v1/aci/attestation":
            self.reports += 1
            document = json.loads(await self._attestation.report(query(scope).get("nonce")))
            self.bend(document)
            await _answer(send, 200, json.dumps(document).encode())
        elif path == "/v1/models":
            await _answer(send, 200, listings.per_token("maker/model-1"))
        elif scope["method"] == "POST":
            await self._chat(path, headers, await read_body(scope, receive, _MAX_BODY), send)
        else:
            await _answer(send, 404, b'{"error":{"type":"not_found"}}')

    async def _chat(self, path: str, headers: dict[str, str], body: bytes, send: Send) -> None:
        self.bodies.append(body)
        if "x-e2ee-version" not in headers:
            request = json.loads(body)
            self.asked.append(request)
            await _answer(send, 200, openai_shaped.whole(request["model"]))
            return
        try:
            exchange = self.recipient.open(path, headers, body, now=self._clock.now())
        except Refused as refusal:
            self.refusals.append(refusal.type)
            await _answer(send, refusal.status, json.dumps({"error": {"message": "in full: " + body.decode(), "type": refusal.type}}).encode())
            return
        self.asked.append(exchange.request)
        model, kind = exchange.request["model"], b"application/json"
        if exchange.request.get("stream"):
            documents = [json.loads(event[6:]) for event in openai_shaped.events(model) if b"[DONE]" not in event]
            answered, kind = b"".join(exchange.stream(documents, self.answers)), b"text/event-stream"
        else:
            answered = exchange.whole(json.loads(openai_shaped.whole(model)), self.answers)
        await _answer(send, 200, answered, kind)


async def _answer(send: Send, status: int, body: bytes, kind: bytes = b"application/json") -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": body})
