"""Phala, RedPill, and any machine with dstack's vLLM proxy or a private-ai-gateway in its place.

    GET /v1/attestation/report?model=…&nonce=…                 which shape it answers in depends on who serves the model
    GET /v1/attestation/report?model=…&nonce=…&version=2       of a signer: the form that names the channel's key

Prompts go over the attested channel as they are: these proxies' own encryption binds a field neither to its place nor to its request, and is
not spoken here. So what ends the channel must be in the evidence; where it ends at a router of the provider's, that is refused.

Sources: private-ai-gateway (aggregator/service), private-ml-sdk (vllm-proxy), RedPill's gateway (attestationHandler).
"""

import ssl
from collections.abc import Mapping
from urllib.parse import urlencode

from ollm.attest.services.evidence import Bound, Demand, ServiceEvidence
from ollm.attest.services.shapes import REPORT, shape_of
from ollm.config.settings import UpstreamSettings
from ollm.errors import EvidenceRefused
from ollm.net.connection import Connection, client_tls
from ollm.seal.cipher import Cipher
from ollm.upstream import signer
from ollm.upstream.asking import Asker, Heads
from ollm.upstream.catalogue import PER_TOKEN, Listing, Source
from ollm.upstream.provider import Gathered, Tools, Transcript, Vouched
from ollm.values.hexes import Hex32
from ollm.values.secret import Sealed
from ollm.wire.catalogue import Form


class PhalaProvider:
    """Profile, evidence source and request shape of one model behind such a service."""

    statuses: Mapping[int, int] = {}
    stale_key_status: frozenset[int] = frozenset()
    stale_key_words = None

    def __init__(self, settings: UpstreamSettings, api_key: Sealed | None, tools: Tools) -> None:
        self._tools = tools
        self._model = settings.model
        self._heads = Heads(settings.url, api_key)
        self.demand = Demand(shapes=("dstack", "aci", "chutes"), channel=True, seal=False)
        self.tls: ssl.SSLContext = client_tls()

    async def gather(self, nonce: Hex32) -> Gathered:
        """Fetch the report over `nonce`, and NVIDIA's word about the GPUs in it where the policy wants that. Raises: UpstreamError."""
        async with self._tools.asking(self._heads, self.tls) as asker:
            report = await self._report(asker, nonce)
            documents = {REPORT: report, **(await signer.judged_devices(self._tools, report, self._model))}
            evidence = ServiceEvidence(
                documents=documents, nonce=nonce, host=self._heads.origin.host, peer_spki_sha256=asker.peer_spki, model=self._model
            )
            return Gathered(evidence, asker.keep(), self._heads.origin)

    async def cipher(self, bound: Bound) -> Cipher | None:
        """None: the attested channel protects the body."""
        return None

    def path(self, endpoint: str) -> str:
        return endpoint

    def head(self, path: str, length: int, content_type: str, extra: Mapping[str, str]) -> bytes:
        return self._heads.post(path, length, content_type, extra)

    def listing(self) -> Listing:
        """RedPill's list, in OpenRouter's form; a machine of dstack's lists what its engine serves."""
        return Listing(self._heads, Source(Form(serves="id", rates=(PER_TOKEN,)), credential=True), self._model)

    async def vouch(self, connection: Connection, bound: Bound, transcript: Transcript) -> Vouched | None:
        """The signer's signature over what it answered. Raises: UpstreamError, EvidenceRefused."""
        algorithm = bound.signer.algorithm if bound.signer is not None else ""
        return await signer.signature(self._heads, connection, bound, transcript, self._model, urlencode({"signing_algo": algorithm}))

    async def _report(self, asker: Asker, nonce: Hex32) -> bytes:
        target = "/v1/attestation/report?" + urlencode({**({"model": self._model} if self._model is not None else {}), "nonce": nonce})
        report = (await asker.get(target, limit=signer.MAX_REPORT, credential=True)).body
        try:
            shape = shape_of({REPORT: report})
        except EvidenceRefused:
            return report  # the reader says so again, in the appraisal
        return (await asker.get(f"{target}&version=2", limit=signer.MAX_REPORT, credential=True)).body if shape == "dstack" else report
