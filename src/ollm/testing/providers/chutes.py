"""Chutes in memory: an API before some instances, each a simulated machine with a sealing key of its own, and the ways in which either can cheat."""

import base64
import enum
import hashlib
import json
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ollm.net.clock import SystemClock
from ollm.serving.http import Receive, Scope, Send, query, read_body
from ollm.sim import reference
from ollm.sim.machine import SimulatedMachine
from ollm.sim.pki import create_pki
from ollm.testing.mint import x509 as mint
from ollm.testing.mint.nvidia import Device
from ollm.testing.providers import openai_shaped
from ollm.testing.providers.served import Endorsed, answer, headers_of
from ollm.testing.providers.tls import certified
from ollm.testing.sealing.cheats import Cheat, Refused
from ollm.testing.sealing.chutes import ChutesRecipient
from ollm.values.policy import AttestationPolicy

CHUTE = "6e4b3c2a-0000-4000-8000-000000000001"
_MAX_BODY = 1024 * 1024


class ApiCheat(enum.Enum):
    """What the API, which nothing attests, does to what passes through it."""

    NONE = "none"
    SWAPPED_KEYS = "the list has keys of the API's own"
    SWAPPED_LATER = "the list has keys of the API's own once evidence was asked for"
    OTHER_INSTANCE = "each instance's evidence is another's"
    STALE = "evidence over a nonce from before"
    OTHER_CERTIFICATE = "a certificate that the instance doesn't name"
    GONE = "no instance is listed once evidence was asked for"
    SAME_NONCES = "the nonces of every list are those of the first"
    NO_NONCES = "the lists have no nonces"
    GARBAGE = "the list of instances is not JSON"


class FakeInstance:
    """One machine, its key, and whatever is wrong with it. `devices`: its GPUs."""

    def __init__(self, machine: SimulatedMachine, number: int, now: int) -> None:
        self.machine = machine
        self.recipient = ChutesRecipient(chute_id=CHUTE, instance_id=f"00000000-0000-4000-8000-{number:012}")
        self.certificate = mint.create_root("attestation-service", now).certificate
        self.devices: tuple[Device, ...] = ()
        self.unreadable = False
        self.asked: list[dict[str, Any]] = []

    @property
    def instance_id(self) -> str:
        return self.recipient.instance_id

    @property
    def key(self) -> str:
        return base64.b64encode(self.recipient.public_key).decode()

    def evidence(self, nonce: str) -> dict[str, Any]:
        """Its entry in the API's answer."""
        statement = hashlib.sha256(nonce.encode() + self.key.encode()).digest()
        spki = self.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        quote = b"\x04\x00" if self.unreadable else self.machine.quote(statement + hashlib.sha256(spki).digest())
        return {
            "quote": base64.b64encode(quote).decode(),
            "gpu_evidence": [gpu(device, statement) for device in self.devices],
            "instance_id": self.instance_id,
            "certificate": der(self.certificate),
        }

    def passed_on(self, nonce: str) -> dict[str, Any]:
        """Its entry as a gateway in front of the API writes it."""
        entry = self.evidence(nonce)
        return {
            "instance_id": self.instance_id,
            "nonce": nonce,
            "e2e_pubkey": self.key,
            "intel_quote": entry["quote"],
            "gpu_evidence": entry["gpu_evidence"],
        }


class ChutesServer(Endorsed):
    """`async with ChutesServer() as server:`. `cheat` is the API's, `answers` what is done to sealed answers; `nonces_used` in order."""

    def __init__(self, *, instances: int = 2, unlisted: int = 0) -> None:
        """`unlisted`: how many of the instances, the first ones, run a build that the policy doesn't list."""
        clock = SystemClock()
        now, pki = clock.now(), create_pki(clock.now())
        builds = ["another-build"] * unlisted + ["ollm-sim-1"] * (instances - unlisted)
        machines = [SimulatedMachine(pki, clock, name=f"machine-{number}", build=build) for number, build in enumerate(builds)]
        self.instances = [FakeInstance(machine, number, now) for number, machine in enumerate(machines)]
        accepted = reference.policy([machine for machine, build in zip(machines, builds, strict=True) if build == "ollm-sim-1"] or machines)
        self.policy = without_log(accepted)
        self.cheat = ApiCheat.NONE
        self.answers = Cheat.NONE
        self.lists = 0
        self.nonces_used: list[str] = []
        self.expires_in = 60.0
        self._first_nonces: dict[str, list[str]] = {}
        self._attested = False
        found = certified(now)
        self.ca = found.ca
        super().__init__(found.identity, machines[0])

    @property
    def asked(self) -> list[dict[str, Any]]:
        """Requests that any instance opened."""
        return [request for instance in self.instances for request in instance.asked]

    # What it answers

    def listing(self) -> dict[str, Any]:
        """The list of instances, with fresh nonces."""
        self.lists += 1
        later = self._attested
        swapped = self.cheat is ApiCheat.SWAPPED_KEYS or (later and self.cheat is ApiCheat.SWAPPED_LATER)
        offered = [] if later and self.cheat is ApiCheat.GONE else self.instances
        entries = [
            {"instance_id": each.instance_id, "e2e_pubkey": _key() if swapped else each.key, "nonces": self._nonces(each.recipient)}
            for each in offered
        ]
        return {"instances": entries, "nonce_expires_in": self.expires_in, "nonce_expires_at": 0}

    def evidence(self, nonce: str) -> dict[str, Any]:
        """Evidence of every instance over `nonce`."""
        self._attested = True
        entries = [instance.evidence("00" * 32 if self.cheat is ApiCheat.STALE else nonce) for instance in self.instances]
        if self.cheat is ApiCheat.OTHER_INSTANCE:
            for entry, other in zip(entries, self.instances[1:] + self.instances[:1], strict=True):
                entry["instance_id"] = other.instance_id
        if self.cheat is ApiCheat.OTHER_CERTIFICATE:
            for entry in entries:
                entry["certificate"] = der(mint.create_root("attestation-service", SystemClock().now()).certificate)
        return {"evidence": entries, "failed_instance_ids": []}

    def passed_on(self, nonce: str) -> dict[str, Any]:
        """The same as a gateway passes it on."""
        return {"attestation_type": "chutes", "nonce": nonce, "all_attestations": [each.passed_on(nonce) for each in self.instances]}

    def _nonces(self, recipient: ChutesRecipient) -> list[str]:
        if self.cheat is ApiCheat.NO_NONCES:
            return []
        fresh = [recipient.new_nonce() for _ in range(10)]
        first = self._first_nonces.setdefault(recipient.instance_id, fresh)
        return first if self.cheat is ApiCheat.SAME_NONCES else fresh

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, headers = scope["path"], headers_of(scope)
        body = await read_body(scope, receive, _MAX_BODY)
        if path == f"/e2e/instances/{CHUTE}":
            listing = b"<html>" if self.cheat is ApiCheat.GARBAGE and self._attested else json.dumps(self.listing()).encode()
            await answer(send, 200, listing)
        elif path == f"/chutes/{CHUTE}/evidence":
            await answer(send, 200, json.dumps(self.evidence(query(scope)["nonce"])).encode())
        else:
            await self._invoke(path, headers, body, send)

    async def _invoke(self, path: str, headers: dict[str, str], body: bytes, send: Send) -> None:
        self.nonces_used.append(headers.get("x-e2e-nonce", ""))
        instance = next((each for each in self.instances if each.instance_id == headers.get("x-instance-id")), self.instances[0])
        try:
            exchange = instance.recipient.open(path, headers, body)
        except Refused as refusal:
            await answer(send, refusal.status, json.dumps({"detail": refusal.type}).encode())
            return
        instance.asked.append(exchange.request)
        model = exchange.request["model"]
        if exchange.request.get("stream"):
            documents = [json.loads(event[6:]) for event in openai_shaped.events(model) if b"[DONE]" not in event]
            await answer(send, 200, b"".join(exchange.stream(documents, self.answers)), b"text/event-stream")
        else:
            await answer(send, 200, exchange.whole(json.loads(openai_shaped.whole(model)), self.answers), b"application/octet-stream")


def without_log(policy: AttestationPolicy) -> AttestationPolicy:
    """`policy` for instances, whose evidence has no event log and no compose file."""
    return msgspec.structs.replace(policy, require_event_log=False, require_compose=False)


def gpu(device: Device, nonce: bytes) -> dict[str, str]:
    """A GPU's evidence over `nonce`, as the API writes it."""
    evidence = device.evidence(nonce)
    return {
        "certificate": base64.b64encode(evidence.certificate_chain.encode()).decode(),
        "evidence": base64.b64encode(evidence.report).decode(),
        "arch": "HOPPER",
    }


def der(certificate: x509.Certificate) -> str:
    """Base64 of its DER."""
    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()


def _key() -> str:
    return base64.b64encode(MLKEM768PrivateKey.generate().public_key().public_bytes_raw()).decode()
