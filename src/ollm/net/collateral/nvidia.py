"""What the report of an NVIDIA GPU or switch calls for: RIM files of its driver and VBIOS, and OCSP answers about every certificate."""

import logging

from ollm.attest.evidence import NvidiaCollateral, NvidiaEvidence
from ollm.attest.nvidia.appraise import collateral_need, ocsp_requests
from ollm.errors import UpstreamError
from ollm.net.collateral.asking import Asker, all_of
from ollm.net.collateral.cache import CollateralCache
from ollm.net.collateral.ocsp import OcspResponder
from ollm.net.collateral.rim import RimService

log = logging.getLogger("ollm.collateral")


class DeviceCollateralSource:
    """Collateral for devices by their evidence, out of the cache."""

    def __init__(self, cache: CollateralCache, asker: Asker, *, rim_url: str, ocsp_url: str) -> None:
        self.rims = RimService(cache, asker, rim_url=rim_url)
        self.responder = OcspResponder(cache, asker, ocsp_url=ocsp_url)

    async def get(self, evidence: NvidiaEvidence) -> NvidiaCollateral:
        """Collateral for `evidence`. What can't be had is left out: appraisal says what its policy misses.

        Raises: EvidenceRefused when the evidence, or a RIM for it, can't even be read.
        """
        need = collateral_need(evidence)
        driver, vbios = await all_of((self._rim(need.driver_rim_id), self._rim(need.vbios_rim_id)))
        questions = ocsp_requests(evidence, [rim for rim in (driver, vbios) if rim is not None])
        answers = await all_of(map(self._answer, questions))
        return NvidiaCollateral(driver_rim=driver, vbios_rim=vbios, ocsp=tuple(answer for answer in answers if answer is not None))

    async def _rim(self, rim_id: str | None) -> bytes | None:
        if rim_id is None:
            return None
        try:
            return (await self.rims.get(rim_id)).body
        except UpstreamError as problem:
            _left_out("rim", problem)
            return None

    async def _answer(self, question: bytes) -> bytes | None:
        try:
            return (await self.responder.get(question)).body
        except UpstreamError as problem:
            _left_out("ocsp", problem)
            return None


def _left_out(kind: str, problem: UpstreamError) -> None:
    log.warning("collateral not had", extra={"kind": kind, "reason": problem.reason})
