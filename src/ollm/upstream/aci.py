"""Any ACI/1 service as a provider: other gateways, simulated enclaves, private-ai-gateway.

Evidence: `GET /v1/aci/attestation?nonce=` (ACI §4), and where bodies are sealed `GET /.well-known/hpke-keys` (EHBP §3),
both on one connection whose key then has to stand in the attested keyset. That connection carries prompts afterwards.
"""

import ssl
from collections.abc import Mapping

from ollm.attest.services.aci import HPKE_KEYS, REPORT
from ollm.attest.services.evidence import Bound, Demand, ServiceEvidence
from ollm.config.settings import UpstreamSettings
from ollm.errors import UpstreamError
from ollm.net.connection import Connection, client_tls
from ollm.seal.cipher import Cipher
from ollm.seal.ehbp import MEDIA_TYPE
from ollm.seal.ehbp_cipher import EhbpCipher
from ollm.upstream.asking import Asker, Heads
from ollm.upstream.catalogue import PER_TOKEN, Listing, Source
from ollm.upstream.provider import Gathered, Tools, Transcript, Vouched
from ollm.values.hexes import Hex32
from ollm.values.secret import Sealed
from ollm.wire.catalogue import Form, Rates

# Another OLLM writes prices as integers, private-ai-gateway as OpenRouter does. The list is OpenAI's, with nothing required beside it (ACI §5.1).
LIST = Source(Form(rates=(Rates("micro", "pricing.input_micro_per_million", "pricing.output_micro_per_million"), PER_TOKEN)), credential=True)

_MAX_REPORT = 4 * 1024 * 1024


class AciProvider:
    """Profile, evidence source and request shape of one ACI/1 upstream."""

    stale_key_status = frozenset({422})  # EHBP §4.3: the key configuration is not (or no longer) ours

    def __init__(self, settings: UpstreamSettings, api_key: Sealed | None, tools: Tools) -> None:
        self._asking = tools.asking
        self._heads = Heads(settings.url, api_key)
        self._sealed = settings.seal != "tls"
        self.demand = Demand(shapes=("aci",), channel=True, seal=self._sealed)
        self.tls: ssl.SSLContext = client_tls()

    async def gather(self, nonce: Hex32) -> Gathered:
        """Fetch the report over `nonce`, and the key configuration where bodies are sealed. Raises: UpstreamError."""
        async with self._asking(self._heads, self.tls) as asker:
            documents = {REPORT: (await asker.get(f"/v1/aci/attestation?nonce={nonce}", limit=_MAX_REPORT)).body}
            if self._sealed:
                documents[HPKE_KEYS] = await self._key_configuration(asker)
            host = self._heads.origin.host
            evidence = ServiceEvidence(documents=documents, nonce=nonce, host=host, peer_spki_sha256=asker.peer_spki)
            return Gathered(evidence, asker.keep(), self._heads.origin)

    async def cipher(self, bound: Bound) -> Cipher | None:
        """EHBP to the attested HPKE key; None where the route leaves bodies to the attested channel."""
        return EhbpCipher(bound.sealing[0].public_key) if bound.sealing else None

    def path(self, endpoint: str) -> str:
        return endpoint

    def head(self, path: str, length: int, content_type: str, extra: Mapping[str, str]) -> bytes:
        return self._heads.post(path, length, content_type, extra)

    def listing(self) -> Listing:
        return Listing(self._heads, LIST)

    async def vouch(self, connection: Connection, bound: Bound, transcript: Transcript) -> Vouched | None:
        """An ACI/1 service signs receipts of its own; none is asked for."""
        return None

    async def _key_configuration(self, asker: Asker) -> bytes:
        answer = await asker.get("/.well-known/hpke-keys", limit=_MAX_REPORT)
        if answer.media_type != MEDIA_TYPE:
            raise UpstreamError("headers", "the key configuration has another media type than EHBP's")
        return answer.body
