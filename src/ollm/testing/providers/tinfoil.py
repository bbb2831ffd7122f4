"""An enclave of Tinfoil's in memory: its documents of every generation, EHBP, and every way of lying about either.

    async with TinfoilServer(form="v3") as server:       server.policy admits it

TLS ends at the key that it attests, or doesn't where it lies. Plaintext bodies are answered in plaintext, as Tinfoil's proxy does.
"""

import json
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Literal

import msgspec
from cryptography.hazmat.primitives import serialization

from ollm.attest.evidence import NvidiaEvidence
from ollm.net.clock import SystemClock
from ollm.seal.ehbp import ENCAPSULATED_KEY, KEY_PROBLEM, PROBLEM_MEDIA_TYPE
from ollm.serving.http import Receive, Scope, Send, query, read_body
from ollm.serving.tls import TlsIdentity
from ollm.sim import reference
from ollm.sim.machine import SimulatedMachine
from ollm.sim.pki import create_pki
from ollm.testing.mint import tinfoil as mint
from ollm.testing.mint.snp import SnpMachine
from ollm.testing.mint.snp_certificates import create_pki as create_snp_pki
from ollm.testing.providers import every_endpoint, listings, openai_shaped
from ollm.testing.providers.served import Endorsed, answer, headers_of
from ollm.testing.sealing.cheats import DONE, Cheat, Refused
from ollm.testing.sealing.ehbp import EhbpExchange, EhbpRecipient
from ollm.values.hexes import Hex32, hex32
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy, ServicePolicy, TdxReferenceValues
from ollm.values.secret import Sealed

_CHAT = "/v1/chat/completions"
_MAX_BODY = 64 * 1024 * 1024
_MEASUREMENT = {"tdx": 48 + 136, "sev-snp": 0x90}  # where a byte of what was measured stands in the evidence


class Lie(Enum):
    """What the enclave is wrong about in its evidence."""

    NONE = "none"
    OTHER_NONCE = "the document answers another nonce than was asked with"
    REPLAYED = "an old document with our nonce written into it"
    BOOT = "the report that was made when it booted (v2), though a nonce was sent"
    SWAPPED_KEY = "the sealing key was exchanged after it was signed"
    OTHER_MACHINE = "the fresh document of another enclave is passed on"
    OTHER_SOFTWARE = "software that the policy doesn't list"
    FORGED = "measurements changed after they were signed"
    UNREADABLE = "a member that no form has"
    KEY_NOT_HELD = "the sealing key that it attests is not the one that it holds"


class Asked(msgspec.Struct, frozen=True):
    """A request as it came, and its body opened (as it came, where it wasn't sealed)."""

    path: str
    headers: dict[str, str]
    wire: bytes
    body: bytes


class TinfoilServer(Endorsed):
    """`asked` keeps every prompt that came. `lie` and `cheat` can be changed while it runs."""

    def __init__(
        self,
        *,
        form: Literal["v2", "june", "v3"] = "v3",
        platform: Literal["tdx", "sev-snp"] = "tdx",
        lie: Lie = Lie.NONE,
        cheat: Cheat = Cheat.NONE,
        gpus: Sequence[NvidiaEvidence] = (),
        collateral: Sequence[dict[str, Any]] = (),
    ) -> None:
        """`collateral` goes into documents of v3. `gpus` answered one nonce alone, so they serve for as long as that one is asked with."""
        clock = SystemClock()
        now = clock.now()
        self.form = form
        self.lie = lie
        self.cheat = cheat
        self.gpus = gpus
        self.collateral = collateral
        self.asked: list[Asked] = []
        self.reports = 0
        self.overloaded = False
        pki = create_pki(now)
        machine = SimulatedMachine(pki, clock)
        tdx, snp = mint.TdxGuest(machine), None if platform == "tdx" else mint.SnpGuest(SnpMachine(create_snp_pki("Genoa", now), now))
        self.guest: mint.TdxGuest | mint.SnpGuest = snp or tdx
        self._other_build: mint.Guest = mint.TdxGuest(SimulatedMachine(pki, clock, build="other")) if snp is None else _Other(snp)
        self.keys = mint.create_keys(now)
        self._elsewhere = mint.create_keys(now)
        self._recipient = EhbpRecipient(self.keys.sealing)
        self._old = self._document(Hex32("00" * 32), Lie.NONE)
        super().__init__(_identity(self.keys), machine)

    @property
    def policy(self) -> AttestationPolicy:
        """Admits the genuine enclave by what it measures."""
        service = ServicePolicy(freshness="server" if self.form == "v2" else "client", custody=("instance",), terminates_at="router")
        accepted = AttestationPolicy(name="tinfoil", level=Level.SIMULATED, require_event_log=False, require_compose=False, service=service)
        if isinstance(self.guest, mint.SnpGuest):
            return msgspec.structs.replace(accepted, cpu=("sev-snp",), snp=self.guest.machine.policy())
        state = self.guest.state
        values = TdxReferenceValues(
            name="router",
            source="minted for a test",
            mrtd=state.mrtd.hex(),
            rtmr0=state.rtmr0.hex(),
            rtmr1=state.rtmr1.hex(),
            rtmr2=state.rtmr2.hex(),
            rtmr3=state.rtmr3.hex(),
        )
        return msgspec.structs.replace(accepted, tdx=msgspec.structs.replace(reference.policy((self.guest.machine,)).tdx, reference_values=(values,)))

    def rotate(self) -> None:
        """Another sealing key from now on, as after a boot; the key of TLS stays."""
        self.keys = msgspec.structs.replace(self.keys, sealing=mint.create_keys(SystemClock().now()).sealing)
        self._recipient = EhbpRecipient(self.keys.sealing)

    # Evidence

    def _document(self, nonce: Hex32, lie: Lie) -> bytes:
        guest: mint.Guest = self._other_build if lie is Lie.OTHER_SOFTWARE else _Forging(self.guest) if lie is Lie.FORGED else self.guest
        keys = self._elsewhere if lie is Lie.OTHER_MACHINE else self.keys
        if lie is Lie.KEY_NOT_HELD:
            keys = msgspec.structs.replace(keys, sealing=self._elsewhere.sealing)
        if self.form == "v2" or lie is Lie.BOOT:
            return mint.v2(guest, keys)
        asked = Hex32("00" * 32) if lie is Lie.OTHER_NONCE else nonce
        if self.form == "june":
            return mint.june(guest, keys, asked, gpus=self.gpus, change=self._june_change(lie, nonce))
        return mint.v3(guest, keys, asked, gpus=self.gpus, collateral=self.collateral, change=self._v3_change(lie, nonce))

    def _v3_change(self, lie: Lie, nonce: Hex32) -> mint.Change | None:
        def replayed(document: mint.Document) -> None:
            document.update(json.loads(self._old))
            document["challenge"]["nonce"] = nonce

        def swapped(document: mint.Document) -> None:
            other = json.loads(mint.v3(self.guest, msgspec.structs.replace(self.keys, sealing=self._elsewhere.sealing), nonce))
            document["cpu_evidence"] = {**other["cpu_evidence"], "report_base64": document["cpu_evidence"]["report_base64"]}
            document.update({name: other[name] for name in ("challenge", "crypto_material")})

        return {Lie.REPLAYED: replayed, Lie.SWAPPED_KEY: swapped, Lie.UNREADABLE: _unreadable}.get(lie)

    def _june_change(self, lie: Lie, nonce: Hex32) -> mint.Change | None:
        def replayed(document: mint.Document) -> None:
            document["cpu"] = json.loads(self._old)["cpu"]
            document["report_data"]["nonce"] = nonce

        def swapped(document: mint.Document) -> None:
            document["report_data"]["hpke_key"] = self._elsewhere.hpke.hex()

        return {Lie.REPLAYED: replayed, Lie.SWAPPED_KEY: swapped, Lie.UNREADABLE: _unreadable}.get(lie)

    # HTTP

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if scope["method"] == "GET" and path == "/.well-known/tinfoil-attestation":
            self.reports += 1
            await answer(send, 200, self._document(hex32(query(scope).get("nonce", "00" * 32)), self.lie))
        elif scope["method"] == "GET" and path == "/.well-known/tinfoil-certificate" and self.form == "v2":
            await answer(send, 200, mint.named_certificate(self.keys, SystemClock().now(), hpke=self.keys.hpke))
        elif scope["method"] == "GET" and path == "/v1/models":
            await answer(send, 200, listings.TINFOIL)
        elif scope["method"] == "POST":
            await self._chat(scope, receive, send)
        else:
            await answer(send, 404, b"{}")

    async def _chat(self, scope: Scope, receive: Receive, send: Send) -> None:
        wire = await read_body(scope, receive, _MAX_BODY)
        headers = headers_of(scope)
        if self.overloaded:
            await _stream(send, [b'{"error":{"code":"server_is_overloaded"}}'], streamed=False, headers={"retry-after": "7"}, status=503)
            return
        if ENCAPSULATED_KEY not in headers:
            self.asked.append(Asked(scope["path"], headers, wire, wire))
            request = json.loads(wire)
            pieces = list(openai_shaped.events(request["model"])) if request.get("stream") else [openai_shaped.whole(request["model"])]
            await _stream(send, pieces, streamed=bool(request.get("stream")))
            return
        try:
            exchange = self._recipient.open(scope["path"], headers, wire)
        except Refused as refusal:
            self.asked.append(Asked(scope["path"], headers, wire, b""))
            await answer(send, refusal.status, KEY_PROBLEM, PROBLEM_MEDIA_TYPE.encode())
            return
        self.asked.append(Asked(scope["path"], headers, wire, exchange.plain))
        # An enclave names itself; nobody believes it.
        named = {**exchange.headers(self.cheat), "tinfoil-enclave": "elsewhere.example"}
        if scope["path"] != _CHAT:
            await self._other(scope, exchange, send, named)
            return
        request = exchange.request
        if request.get("stream"):
            events = [event for event in openai_shaped.events(request["model"]) if event != DONE]
            pieces = exchange.stream([json.loads(event.removeprefix(b"data: ")) for event in events], self.cheat)
        else:
            pieces = [exchange.whole(json.loads(openai_shaped.whole(request["model"])), self.cheat)]
        await _stream(send, pieces, streamed=bool(request.get("stream")), headers=named)

    async def _other(self, scope: Scope, exchange: EhbpExchange, send: Send, named: Mapping[str, str]) -> None:
        shaped = every_endpoint.answer(scope["path"].removeprefix("/v1"), exchange.plain, headers_of(scope).get("content-type", ""))
        if shaped is None:
            await answer(send, 404, b"{}")
            return
        await _stream(send, exchange.pieces(shaped.pieces), kind=shaped.kind.decode(), headers=named)


class _Forging:
    """A machine whose measurements are changed after it signed."""

    def __init__(self, guest: mint.Guest) -> None:
        self.platform = guest.platform
        self.collateral = guest.collateral
        self._guest = guest

    def sign(self, report_data: bytes) -> bytes:
        report = bytearray(self._guest.sign(report_data))
        report[_MEASUREMENT[self.platform]] ^= 1
        return bytes(report)


class _Other(mint.SnpGuest):
    """The same chip with other software."""

    def __init__(self, guest: mint.SnpGuest) -> None:
        super().__init__(guest.machine)

    def sign(self, report_data: bytes) -> bytes:
        return self.machine.report(report_data=report_data, measurement=b"\xb7" * 48)


def _unreadable(document: mint.Document) -> None:
    document["generated_at"] = 1


def _identity(keys: mint.Keys) -> TlsIdentity:
    key = keys.tls.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return TlsIdentity(keys.pem.encode(), Sealed(key))


async def _stream(
    send: Send, pieces: Sequence[bytes], *, streamed: bool = False, kind: str = "", headers: Mapping[str, str] = {}, status: int = 200
) -> None:
    kind = kind or ("text/event-stream" if streamed else "application/json")
    named = [(name.encode(), value.encode()) for name, value in {"content-type": kind, **headers}.items()]
    await send({"type": "http.response.start", "status": status, "headers": named})
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
