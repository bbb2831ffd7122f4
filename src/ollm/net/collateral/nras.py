"""The keys of NVIDIA's attestation service.

    GET {nras}/.well-known/jwks.json    a JWK set (RFC 7517 §5)

Nothing signs this document: it is believed for the TLS connection to the origin in the measured configuration. So it is kept in memory,
for an hour at most, and never on a disk or in an archive.
"""

from ollm.attest.evidence import NrasCollateral
from ollm.net.collateral.artefact import Key
from ollm.net.collateral.asking import Asker
from ollm.net.collateral.cache import CollateralCache


class NrasKeys:
    """The key set of one attestation service, out of the cache."""

    def __init__(self, cache: CollateralCache, asker: Asker, *, nras_url: str) -> None:
        self._cache = cache
        self._asker = asker
        self.key = Key("nras-keys", "", nras_url.rstrip("/") + "/.well-known/jwks.json")

    async def get(self) -> NrasCollateral:
        """The keys. Raises: UpstreamError."""
        copy = await self._cache.get(self.key, lambda: self._asker.get(self.key.identity))
        return NrasCollateral(jwks=copy.body)
