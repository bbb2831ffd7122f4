"""AMD's Key Distribution Service (or a mirror): what an SEV-SNP report calls for.

    GET {kds}/vcek/v1/{product}/{chip}?blSPL=N&teeSPL=N&snpSPL=N&ucodeSPL=N    DER of the VCEK for that chip and firmware
        on Turin fmcSPL=N first, and the chip is 8 bytes long instead of 64
    GET {kds}/{vcek|vlek}/v1/{product}/cert_chain                              PEM: ASK or ASVK, then ARK
    GET {kds}/{vcek|vlek}/v1/{product}/crl                                     DER: CRL by the ARK

The service answers about one request for a VCEK in ten seconds, and 429 to the others. So a VCEK that the attester sent along is used
as it is (appraisal judges it like any other), and one that was fetched is kept for as long as it holds. VLEKs are given to cloud
providers alone: there is nowhere to fetch one, it has to come with the evidence.

Source: AMD 57230, Versioned Chip Endorsement Key (VCEK) Certificate and KDS Interface Specification.
"""

import logging

from ollm.attest.evidence import SnpCollateral
from ollm.attest.sevsnp.endorsement import read_endorsement
from ollm.attest.sevsnp.need import SnpNeed
from ollm.errors import CollateralError
from ollm.net.collateral.artefact import Artefact, Key
from ollm.net.collateral.asking import Asker, path_segment
from ollm.net.collateral.cache import CollateralCache

log = logging.getLogger("ollm.collateral")


class KdsCollateral:
    """Collateral for SEV-SNP reports by product, chip and firmware, out of the cache."""

    def __init__(self, cache: CollateralCache, asker: Asker, *, kds_url: str) -> None:
        self._cache = cache
        self._asker = asker
        self._kds = kds_url.rstrip("/")

    def leaf_key(self, need: SnpNeed, product: str) -> Key:
        """What is asked for the VCEK, if the chip is of `product`. Raises: UpstreamError for a VLEK, EvidenceRefused for another product's TCB."""
        if need.signing_key != "vcek":
            raise CollateralError("send", "the report is signed by a VLEK, whose certificate comes with the evidence or not at all")
        if not need.chip_id.strip("0"):
            raise CollateralError("send", "the report hides which chip signed it, so that the VCEK has to come with the evidence")
        tcb, chip = need.tcb(product), path_segment(need.chip_id, "a chip")
        levels = f"blSPL={tcb.bootloader:02}&teeSPL={tcb.tee:02}&snpSPL={tcb.snp:02}&ucodeSPL={tcb.microcode:02}"
        if product == "Turin":
            levels = f"fmcSPL={tcb.fmc:02}&{levels}"
        return Key("vcek", f"{product} {chip[:16]}", f"{self._kds}/vcek/v1/{path_segment(product, 'a product')}/{chip}?{levels}")

    def issuer_keys(self, product: str, signing_key: str) -> tuple[Key, Key]:
        """What is asked for the chain and the CRL above the VCEKs or VLEKs of `product`. Raises: UpstreamError."""
        base = f"{self._kds}/{path_segment(signing_key, 'a key')}/v1/{path_segment(product, 'a product')}"
        subject = f"{product} {signing_key.upper()}"
        return Key("amd-chain", subject, f"{base}/cert_chain"), Key("amd-crl", subject, f"{base}/crl")

    async def get(self, need: SnpNeed, *, sent: bytes | None = None) -> SnpCollateral:
        """Collateral for `need`; `sent` is the leaf certificate that came with the evidence.

        A CRL that can't be had is left out: whether one is required is the policy's.
        Raises: UpstreamError, or EvidenceRefused for a certificate that can't be read.
        """
        if sent is not None:
            product, leaf = read_endorsement(sent).product, sent
        else:
            product, leaf = await self._leaf(need)
        chain, crl = await self.issuers(product, need.signing_key)
        return SnpCollateral(
            leaf=leaf,
            chain=chain.body.decode("ascii", "replace"),  # between its certificates nothing has a meaning
            crl=crl.body if crl is not None else None,
        )

    async def issuers(self, product: str, signing_key: str) -> tuple[Artefact, Artefact | None]:
        """The chain and the CRL above the VCEKs or VLEKs of `product`; no CRL when it can't be had. Raises: UpstreamError."""
        chain_key, crl_key = self.issuer_keys(product, signing_key)
        return await self._have(chain_key), await self._maybe(crl_key)  # one after the other: this service is soon too busy

    async def _leaf(self, need: SnpNeed) -> tuple[str, bytes]:
        """Product and VCEK. A report that doesn't name its product is looked for under each that it can be of."""
        for product in need.products[:-1]:
            try:
                return product, (await self._have(self.leaf_key(need, product))).body
            except CollateralError as problem:
                if problem.status not in (400, 404):
                    raise
        return need.products[-1], (await self._have(self.leaf_key(need, need.products[-1]))).body

    async def _have(self, key: Key) -> Artefact:
        return await self._cache.get(key, lambda: self._asker.get(key.identity))

    async def _maybe(self, key: Key) -> Artefact | None:
        try:
            return await self._have(key)
        except CollateralError as problem:
            log.warning("collateral not had", extra={"kind": key.kind, "reason": problem.reason})
            return None
