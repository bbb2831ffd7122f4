"""Any ACI/1 service as a provider: other gateways, simulated enclaves, private-ai-gateway.

Bodies are sealed with EHBP to a key that OLLM's services attest, or field by field with ACI's own encryption (`seal = "aci-e2ee-v2"`), which
other services attest keys for. Which of the two is the configuration's word, never what the service says that it can do.

Evidence: `GET /v1/aci/attestation?nonce=` (ACI §4), and where bodies are sealed `GET /.well-known/hpke-keys` (EHBP §3),
both on one connection whose key then has to stand in the attested keyset. That connection carries prompts afterwards.
"""

import os
import ssl
from collections.abc import Mapping

from ollm.attest.services.aci import E2EE, HPKE_KEYS, REPORT
from ollm.attest.services.evidence import Bound, Demand, ServiceEvidence
from ollm.config.settings import UpstreamSettings
from ollm.errors import UpstreamError
from ollm.net.clock import SystemClock
from ollm.net.connection import Connection, client_tls
from ollm.seal.aci_e2ee import AciCipher
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
# Another OLLM's list: each rate by its own name, in millionths.
_OURS = Rates(
    "micro",
    "pricing.input_micro_per_million",
    "pricing.output_micro_per_million",
    "pricing.cached_micro_per_million",
    more=tuple(
        (name, f"pricing.{name}_micro_per_million")
        for name in ("cache_write", "cache_write_long", "reasoning", "audio_input", "audio_output", "image_input")
    ),
    fees=tuple((name, f"pricing.{name}_micro") for name in ("per_request", "per_image")),
)
LIST = Source(Form(rates=(_OURS, PER_TOKEN)), credential=True)

_MAX_REPORT = 4 * 1024 * 1024


class AciProvider:
    """Profile, evidence source and request shape of one ACI/1 upstream."""

    statuses: Mapping[int, int] = {}

    def __init__(self, settings: UpstreamSettings, api_key: Sealed | None, tools: Tools) -> None:
        self._asking = tools.asking
        self._clock = SystemClock()
        self._heads = Heads(settings.url, api_key)
        own = settings.seal == E2EE
        self._hpke = settings.seal not in ("tls", E2EE)
        self.demand = Demand(shapes=("aci",), channel=True, seal=settings.seal != "tls", cipher=E2EE if own else None)
        # EHBP §4.3: the key configuration is not (or no longer) ours. E2EE v2 §9 has the same status for what a client did wrong.
        self.stale_key_status = frozenset({400} if own else {422})
        self.stale_key_words = b'"e2ee_model_key_mismatch"' if own else None
        self.tls: ssl.SSLContext = client_tls()

    async def gather(self, nonce: Hex32) -> Gathered:
        """Fetch the report over `nonce`, and the key configuration where bodies are sealed. Raises: UpstreamError."""
        async with self._asking(self._heads, self.tls) as asker:
            documents = {REPORT: (await asker.get(f"/v1/aci/attestation?nonce={nonce}", limit=_MAX_REPORT)).body}
            if self._hpke:
                documents[HPKE_KEYS] = await self._key_configuration(asker)
            host = self._heads.origin.host
            evidence = ServiceEvidence(documents=documents, nonce=nonce, host=host, peer_spki_sha256=asker.peer_spki)
            return Gathered(evidence, asker.keep(), self._heads.origin)

    async def cipher(self, bound: Bound) -> Cipher | None:
        """To the attested key, with EHBP or field by field; None where the route leaves bodies to the attested channel.

        What ACI's field encryption leaves in the clear, the attested channel protects.
        """
        if not bound.sealing:
            return None
        key = bound.sealing[0]
        if key.cipher != E2EE:
            return EhbpCipher(key.public_key)
        return AciCipher(key.algorithm, key.public_key, strict=False, random=os.urandom, now=self._clock.now)

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
