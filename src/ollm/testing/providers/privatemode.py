"""Privatemode in memory: a coordinator, a secret service and inference machines behind an API, and the ways in which each can cheat.

async with PrivatemodeServer() as server:                        on TDX
async with PrivatemodeServer(platform="sev-snp") as server:      on SEV-SNP, with AMD's statements at `kds_url`
"""

import base64
import enum
import hashlib
import hmac
import json
from typing import Any, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ollm.net.clock import SystemClock
from ollm.seal.secret_exchange import SecretExchange
from ollm.serving.http import Receive, Scope, Send, read_body
from ollm.serving.server import Server
from ollm.sim import reference
from ollm.sim.machine import SimulatedMachine
from ollm.sim.pki import create_pki
from ollm.testing.mint import contrast as mint
from ollm.testing.mint.snp import SnpMachine
from ollm.testing.mint.snp_certificates import create_pki as create_snp_pki
from ollm.testing.mint.x509 import DAY, Authority
from ollm.testing.providers import openai_shaped
from ollm.testing.providers.served import Endorsed, answer, headers_of
from ollm.testing.providers.tls import certified
from ollm.testing.sealing.cheats import DONE, Cheat, Refused
from ollm.testing.sealing.privatemode import PrivatemodeRecipient, SecretService
from ollm.values.hexes import Hex32
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy, ServicePolicy, TdxReferenceValues

_MAX_BODY = 1024 * 1024


class ApiCheat(enum.Enum):
    """What is wrong with the deployment, or what the API, which nothing attests, does to what passes through it."""

    NONE = "none"
    OTHER_MANIFEST = "another manifest is set than the one that is pinned"
    TWO_MANIFESTS = "another manifest was set before the one that is pinned"
    MANIFEST_CHANGED = "one blank was added to the manifest, after it was signed"
    MANIFEST_HIDDEN = "another manifest is set, and the pinned one is shown"
    STALE = "the attestation is over a nonce from before"
    OTHER_WORKLOAD = "a workload of the mesh attests instead of the coordinator"
    OTHER_BUILD = "the coordinator's machine runs software that the policy doesn't list"
    OTHER_MESH_CA = "the mesh CA is the API's own"
    FOREIGN_SERVICE = "the secret service is certified by a mesh of the API's own"
    OTHER_NAME = "another workload of the mesh plays the secret service"
    EXPIRED_SERVICE = "the secret service's certificate has ended"
    OTHER_KEYS = "the secret service signed an agreement with somebody else"
    SWAPPED_AGREEMENT = "the encapsulated key was exchanged after it was signed"
    NO_AGREEMENT = "the secret service answers nothing"
    OTHER_MODEL = "requests go to another model than they name"


class PrivatemodeServer(Endorsed):
    """`cheat` is the API's, `answers` what is done to sealed answers; `forgetting`: how many requests more find no secret.

    `failing`: every request fails for another reason. `asked`: opened requests; `wire`: bodies as they came; `heads`: their headers.
    """

    def __init__(self, *, platform: Literal["tdx", "sev-snp"] = "tdx", cheat: ApiCheat = ApiCheat.NONE) -> None:
        clock = SystemClock()
        now, pki = clock.now(), create_pki(clock.now())
        tdx, snp = SimulatedMachine(pki, clock), SnpMachine(create_snp_pki("Genoa", now), now)
        self.platform = platform
        self.tdx, self.snp = tdx, snp
        self.deployment = mint.Deployment(mint.TdxCoordinator(tdx) if platform == "tdx" else mint.SnpCoordinator(snp), now)
        self._unlisted: mint.Coordinator = mint.TdxCoordinator(SimulatedMachine(pki, clock, build="another-build"))
        if platform == "sev-snp":
            self._unlisted = mint.SnpCoordinator(snp, measurement=b"\xb7" * 48)
        self._foreign = mint.Mesh(now)
        self._service_key = ec.generate_private_key(ec.SECP384R1())
        self.service = SecretService(self._service_key)
        self.cheat = cheat
        self.answers = Cheat.NONE
        self.forgetting = 0
        self.failing = False
        self.agreements = 0
        self.asked: list[dict[str, Any]] = []
        self.wire: list[bytes] = []
        self.heads: list[dict[str, str]] = []
        found = certified(now)
        self.ca = found.ca
        super().__init__(found.identity, tdx)
        self._kds = Server(self._amd, host="127.0.0.1", port=0)

    @property
    def service_key(self) -> bytes:
        """The key with which the secret service signs: SubjectPublicKeyInfo, DER."""
        return self.service.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def kds_url(self) -> str:
        return f"http://127.0.0.1:{self._kds.port}"

    @property
    def policy(self) -> AttestationPolicy:
        """Admits the genuine deployment."""
        service = ServicePolicy(
            custody=("app_kms",),
            manifest_sha256=self.deployment.manifest_sha256,
            secret_service=mint.SERVICE_NAME,
            sealed_to_application=True,
        )
        accepted = AttestationPolicy(name="privatemode", level=Level.SIMULATED, require_event_log=False, require_compose=False, service=service)
        if self.platform == "sev-snp":
            return msgspec.structs.replace(accepted, cpu=("sev-snp",), snp=self.snp.policy())
        state = self.tdx.td_report
        values = TdxReferenceValues(
            name="coordinator",
            source="minted for a test",
            mrtd=state.mrtd.hex(),
            rtmr0=state.rtmr0.hex(),
            rtmr1=state.rtmr1.hex(),
            rtmr2=state.rtmr2.hex(),
            rtmr3=state.rtmr3.hex(),
        )
        tdx = msgspec.structs.replace(reference.policy((self.tdx,)).tdx, reference_values=(values,))
        return msgspec.structs.replace(accepted, tdx=tdx)

    async def __aenter__(self) -> "PrivatemodeServer":
        await self._kds.start()
        return await super().__aenter__()

    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)
        await self._kds.drain(0)

    # What it answers

    def attestation(self, nonce: Hex32) -> bytes:
        """The answer to /privatemode/v1/attest."""
        deployment, cheat = self.deployment, self.cheat
        other = deployment.manifest.replace(b"workload-one", b"workload-two")
        changed = base64.b64encode(deployment.manifest + b" ").decode()
        match cheat:
            case ApiCheat.OTHER_MANIFEST:
                return deployment.answer(nonce, manifests=(other,))
            case ApiCheat.TWO_MANIFESTS:
                return deployment.answer(nonce, manifests=(other, deployment.manifest))
            case ApiCheat.MANIFEST_CHANGED:
                return deployment.answer(nonce, {"manifests": [changed]})
            case ApiCheat.MANIFEST_HIDDEN:
                return deployment.answer(nonce, {"manifests": [base64.b64encode(deployment.manifest).decode()]}, manifests=(other,))
            case ApiCheat.STALE:
                return deployment.answer(Hex32("00" * 32))
            case ApiCheat.OTHER_WORKLOAD:
                return deployment.answer(nonce, policy=mint.WORKLOAD_POLICY)
            case ApiCheat.OTHER_BUILD:
                return deployment.answer(nonce, coordinator=self._unlisted)
            case ApiCheat.OTHER_MESH_CA:
                return deployment.answer(nonce, {"mesh_ca": base64.b64encode(mint.pem(self._foreign.ca)).decode()})
            case _:
                return deployment.answer(nonce)

    def agreement(self, public_key: bytes) -> dict[str, str]:
        """The answer to /privatemode/v1/secret."""
        self.agreements += 1
        encapsulated, signature = self.service.exchange(public_key)
        if self.cheat is ApiCheat.SWAPPED_AGREEMENT:
            encapsulated, _ = SecretService().exchange(public_key)
        if self.cheat is ApiCheat.OTHER_KEYS:
            encapsulated, signature = self.service.exchange(_stranger())
        said = {"EncapsulatedKey": encapsulated, "Signature": signature, "MeshCert": self._certificate().certificate.public_bytes(Encoding.DER)}
        return {name: base64.b64encode(value).decode() for name, value in said.items()}

    def _certificate(self) -> Authority:
        mesh, changes = self.deployment.mesh, {}
        names: tuple[str, ...] = ("root", mint.SERVICE_NAME)
        match self.cheat:
            case ApiCheat.FOREIGN_SERVICE | ApiCheat.OTHER_MESH_CA:
                mesh = self._foreign
            case ApiCheat.OTHER_NAME:
                names = (mint.WORKLOAD,)
            case ApiCheat.EXPIRED_SERVICE:
                changes = {"start": mesh.now - 3 * DAY, "end": mesh.now - DAY}
        return mesh.certify(*names, key=self._service_key, **changes)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, headers = scope["path"], headers_of(scope)
        body = await read_body(scope, receive, _MAX_BODY)
        if path == "/privatemode/v1/attest":
            await answer(send, 200, self.attestation(Hex32(base64.b64decode(json.loads(body)["Nonce"]).hex())))
        elif path == "/privatemode/v1/secret" and self.cheat is ApiCheat.NO_AGREEMENT:
            await answer(send, 503, b"{}")
        elif path == "/privatemode/v1/secret":
            await answer(send, 200, json.dumps(self.agreement(base64.b64decode(json.loads(body)["PublicKey"]))).encode())
        else:
            await self._infer(path, headers, body, send)

    async def _infer(self, path: str, headers: dict[str, str], body: bytes, send: Send) -> None:
        self.wire.append(body)
        self.heads.append(headers)
        if self.forgetting:
            self.forgetting -= 1
            self.service.secrets.clear()
        try:
            if self.failing:
                raise Refused("GPU attestation returned a driver OCSP status that is not accepted by the client: UNKNOWN", 500)
            self._check_gpu_policy(headers)
            exchange = PrivatemodeRecipient(self.service.secrets).open(path, headers, body)
            if len(exchange.request.get("cache_salt", "")) < 32:
                raise Refused("missing field 'cache_salt'", 500)
        except Refused as refusal:
            await answer(
                send, refusal.status, json.dumps({"error": {"message": f"{refusal.type} in full: {headers.get('privatemode-secret-id')}"}}).encode()
            )
            return
        self.asked.append(exchange.request)
        model = "another-model" if self.cheat is ApiCheat.OTHER_MODEL else exchange.request["model"]
        marks = [(name.encode(), value.encode()) for name, value in exchange.headers(self.answers).items()]
        if exchange.request.get("stream"):
            documents = [json.loads(event[6:]) for event in openai_shaped.events(model) if event != DONE]
            await answer(send, 200, b"".join(exchange.stream(documents, self.answers)), b"text/event-stream", marks)
        else:
            await answer(send, 200, exchange.whole(json.loads(openai_shaped.whole(model)), self.answers), headers=marks)

    def _check_gpu_policy(self, headers: dict[str, str]) -> None:
        """As an inference machine does. Raises: Refused."""
        secret = self.service.secrets.get(headers.get("privatemode-secret-id", ""))
        if secret is None:
            raise Refused("getting secret for OCSP verification: no secret for ID", 500)
        policy = headers.get("privatemode-nvidia-ocsp-policy", "")
        mac = hmac.new(secret, policy.encode(), hashlib.sha256).hexdigest()
        if not policy.startswith("rules=allow-good; revocation-time-not-before=") or mac != headers.get("privatemode-nvidia-ocsp-policy-mac"):
            raise Refused("verifying OCSP header: HMAC verification failed", 500)

    async def _amd(self, scope: Scope, receive: Receive, send: Send) -> None:
        """AMD's key distribution service."""
        if scope["path"] == "/vcek/v1/Genoa/cert_chain":
            await answer(send, 200, self.snp.chain.encode(), b"application/x-pem-file")
        elif scope["path"] == "/vcek/v1/Genoa/crl":
            await answer(send, 200, self.snp.crl(), b"application/pkix-crl")
        else:
            await answer(send, 404, b"")


def _stranger() -> bytes:
    """Another client's public key."""
    return SecretExchange().public_key
