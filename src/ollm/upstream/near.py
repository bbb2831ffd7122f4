"""NEAR AI: a model's own machines (`https://{slug}.completions.near.ai`), or NEAR AI Cloud's gateway before them.

    GET /v1/attestation/report?include_tls_fingerprint=true&nonce=…&signing_algo=ed25519        a machine; the gateway takes model= too

Which of the two is asked follows from the policy: one that says what a gateway must be (`service.gateway_tdx`) is for the gateway.
Bodies are sealed to the model's key, field by field, either way: the gateway's machine sees names, numbers and who asks.

Sources: nearai/inference-proxy, nearai/cloud-api, nearai/docs.
"""

import os
import ssl
from collections.abc import Mapping
from urllib.parse import urlencode

from ollm.attest.services.evidence import Bound, Demand, ServiceEvidence
from ollm.attest.services.shapes import REPORT
from ollm.config.settings import UpstreamSettings
from ollm.errors import ConfigError
from ollm.net.connection import Connection, client_tls
from ollm.seal.cipher import Cipher
from ollm.seal.near import NearCipher
from ollm.upstream import signer
from ollm.upstream.asking import Heads
from ollm.upstream.catalogue import ENGINE, Listing, Source
from ollm.upstream.provider import Gathered, Tools, Transcript, Vouched
from ollm.values.hexes import Hex32
from ollm.values.secret import Sealed
from ollm.wire.catalogue import Form, Rates

_COST = Rates("scaled", "inputCostPerToken", "outputCostPerToken", "cacheReadCostPerToken", fees=(("per_image", "costPerImage"),))
CLOUD_LIST = Source(
    Form(entries="models", id="modelId", serves="modelId", context=("metadata.contextLength",), rates=(_COST,)), "/v1/model/list", page=1000
)


class NearProvider:
    """Profile, evidence source and request shape of one model at NEAR AI."""

    statuses: Mapping[int, int] = {503: 429}  # a machine's engine whose queue is full; the gateway itself says 429 then
    stale_key_status = frozenset({421})  # the gateway: no machine holds the key that was sealed to
    stale_key_words = None

    def __init__(self, settings: UpstreamSettings, api_key: Sealed | None, tools: Tools) -> None:
        """Raises: ConfigError without a model."""
        if settings.model is None:
            raise ConfigError("an upstream of adapter near names no model", 'say which one its machines have: model = "Qwen/Qwen3.5-122B-A10B"')
        self._tools = tools
        self._model = settings.model
        self._behind = tools.policy is not None and tools.policy.service.gateway_tdx is not None
        # An alias would bring another model's machine, and a warning in the body that nobody signed.
        self._heads = Heads(settings.url, api_key, more={"x-no-aliasing": "1"} if self._behind else {})
        self.demand = Demand(shapes=("dstack", "near-gateway"), channel=True, seal=settings.seal != "tls")
        self.tls: ssl.SSLContext = client_tls()

    async def gather(self, nonce: Hex32) -> Gathered:
        """Fetch the report over `nonce`, and NVIDIA's word about the GPUs in it where the policy wants that. Raises: UpstreamError."""
        query = {"include_tls_fingerprint": "true", **({"model": self._model} if self._behind else {}), "nonce": nonce, "signing_algo": "ed25519"}
        async with self._tools.asking(self._heads, self.tls) as asker:
            report = (await asker.get(f"/v1/attestation/report?{urlencode(query)}", limit=signer.MAX_REPORT, credential=self._behind)).body
            documents = {REPORT: report, **await signer.judged_devices(self._tools, report, self._model)}
            evidence = ServiceEvidence(
                documents=documents, nonce=nonce, host=self._heads.origin.host, peer_spki_sha256=asker.peer_spki, model=self._model
            )
            return Gathered(evidence, asker.keep(), self._heads.origin)

    async def cipher(self, bound: Bound) -> Cipher | None:
        """Field encryption to the model's key; None where the route leaves bodies to the attested channel.

        Behind the gateway content that it would see, because the protocol never seals it, is refused.
        """
        if not bound.sealing:
            return None
        return NearCipher(bound.sealing[0].public_key, strict=self._behind, name_key=self._behind, random=os.urandom)

    def path(self, endpoint: str) -> str:
        return endpoint

    def head(self, path: str, length: int, content_type: str, extra: Mapping[str, str]) -> bytes:
        return self._heads.post(path, length, content_type, extra)

    def listing(self) -> Listing:
        """A machine lists what its engine serves, to who has a key; the gateway lists prices too, to everybody."""
        source = CLOUD_LIST if self._behind else Source(ENGINE, credential=True)
        return Listing(self._heads, source, self._model)

    async def vouch(self, connection: Connection, bound: Bound, transcript: Transcript) -> Vouched | None:
        """The model's signature over what it answered. Raises: UpstreamError, EvidenceRefused."""
        return await signer.signature(self._heads, connection, bound, transcript, self._model, "signing_algo=ed25519")
