"""A client of a simulated enclave that sees everything: the peer's key, sealed bodies, raw connections."""

import hashlib
import json
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ollm.attest.appraise import appraise, needed_collateral
from ollm.attest.evidence import AciEvidence, Binding
from ollm.errors import EvidenceRefused, UpstreamError
from ollm.net.collateral import Asker, CollateralCache, PcsCollateral
from ollm.net.fetch import HttpFetch
from ollm.seal.ehbp import RequestSealer
from ollm.sim.service import SimEnclave, SimOptions
from ollm.values.hexes import Hex32

CHAT = "/v1/chat/completions"


class EnclaveClient:
    """Talks to `enclave` over TLS, trusting nothing: keys are looked at, not checked."""

    def __init__(self, enclave: SimEnclave, http: httpx2.AsyncClient) -> None:
        self.enclave = enclave
        self.http = http

    async def evidence(self, *, nonce: str | None = None) -> AciEvidence:
        wanted = Hex32(nonce or os.urandom(32).hex())
        report = await self.http.get(f"/v1/aci/attestation?nonce={wanted}")
        if report.status_code != 200:
            raise EvidenceRefused("evidence.fetch", str(report.status_code), "a report")
        keys = await self.http.get("/.well-known/hpke-keys")
        return AciEvidence(report=report.content, nonce=wanted, peer_spki_sha256=peer_spki(report), hpke_key_config=keys.content)

    async def refused_by(self) -> str | None:
        """Name of the first check that refuses this enclave, with collateral fetched from its own service; None: accepted."""
        fetch = HttpFetch()
        try:
            evidence = await self.evidence()
            need = needed_collateral(evidence)
            enclave = self.enclave
            cache, asker = CollateralCache(enclave.clock), Asker(fetch, enclave.clock)
            pcs = PcsCollateral(cache, asker, pcs_url=enclave.pcs_url, root_crl_url=enclave.root_crl_url)
            collateral = await pcs.get(need)
        except EvidenceRefused as refusal:
            return refusal.check
        except UpstreamError:
            return "evidence.fetch"
        finally:
            await fetch.close()
        appraisal, binding = appraise(evidence, collateral, enclave.policy, enclave.clock.now(), require_hpke=True)
        assert appraisal.accepted is (binding is not None)
        return appraisal.failure.name if appraisal.failure is not None else None

    async def binding(self) -> Binding:
        evidence = await self.evidence()
        appraisal, binding = appraise(evidence, self.enclave.machine.collateral(), self.enclave.policy, self.enclave.clock.now(), require_hpke=True)
        assert binding is not None, appraisal.failure
        return binding

    async def sealed(self, body: bytes, path: str = CHAT, **headers: str) -> tuple[httpx2.Response, bytes]:
        """Send `body` sealed to the attested key; the response, and its body opened."""
        public_key = (await self.binding()).hpke_public_key
        assert public_key is not None
        sealer = RequestSealer(public_key)
        response = await self.http.post(path, content=sealer.seal(body), headers={"ehbp-encapsulated-key": sealer.encapsulated_key, **headers})
        opener = sealer.response_opener(response.headers["ehbp-response-nonce"])
        plaintext = opener.feed(response.content)
        opener.finish()
        return response, plaintext


def peer_spki(response: httpx2.Response) -> Hex32 | None:
    tls = response.extensions["network_stream"].get_extra_info("ssl_object")
    if tls is None:
        return None
    certificate = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True))
    return Hex32(hashlib.sha256(certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest())


def unverified_tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[EnclaveClient]:
    async with SimEnclave(SimOptions(**options)) as enclave, httpx2.AsyncClient(verify=unverified_tls(), base_url=enclave.url) as http:
        yield EnclaveClient(enclave, http)


def chat(text: str = "Hello there", **members: Any) -> bytes:
    return json.dumps({"model": "sim-chat", "messages": [{"role": "user", "content": text}], **members}).encode()


def events(stream: bytes) -> list[dict[str, Any]]:
    """The events of a whole stream; it must end as OpenAI's do."""
    assert stream.endswith(b"data: [DONE]\n\n")
    return [json.loads(event.removeprefix(b"data: ")) for event in stream.split(b"\n\n")[:-2]]
