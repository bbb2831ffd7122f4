"""Collateral for one machine: what each part of its evidence calls for, from whom the configuration says to ask."""

from typing import Protocol

from ollm.attest.evidence import (
    CpuCollateral,
    CpuEvidence,
    DeviceCollateral,
    DeviceEvidence,
    MachineCollateral,
    MachineEvidence,
    NrasEvidence,
    SnpEvidence,
    TdxEvidence,
)
from ollm.attest.sevsnp.need import collateral_need as snp_need
from ollm.attest.tdx.genuine import collateral_need as tdx_need
from ollm.attest.tdx.layout import parse_quote
from ollm.config.settings import CollateralSettings
from ollm.net.collateral.asking import Asker, all_of
from ollm.net.collateral.cache import CollateralCache
from ollm.net.collateral.kds import KdsCollateral
from ollm.net.collateral.nras import NrasKeys
from ollm.net.collateral.nvidia import DeviceCollateralSource
from ollm.net.collateral.pcs import PcsCollateral


# Raises UpstreamError when what can't be done without can't be had, EvidenceRefused when the evidence can't even be read.
class Endorsements(Protocol):
    async def for_cpu(self, evidence: CpuEvidence) -> CpuCollateral: ...

    async def for_device(self, evidence: DeviceEvidence) -> DeviceCollateral: ...


class MachineEndorser:
    """`Endorsements` of every technology, out of one cache."""

    def __init__(self, cache: CollateralCache, asker: Asker, sources: CollateralSettings) -> None:
        self.tdx = PcsCollateral(cache, asker, pcs_url=sources.pcs_url, root_crl_url=sources.root_crl_url, update=sources.pcs_update)
        self.snp = KdsCollateral(cache, asker, kds_url=sources.kds_url)
        self.nvidia = DeviceCollateralSource(cache, asker, rim_url=sources.rim_url, ocsp_url=sources.ocsp_url)
        self.nras = NrasKeys(cache, asker, nras_url=sources.nras_url)

    async def for_cpu(self, evidence: CpuEvidence) -> CpuCollateral:
        """Endorsements of the platform; None for Nitro, whose documents carry their certificates."""
        if isinstance(evidence, TdxEvidence):
            return await self.tdx.get(tdx_need(parse_quote(evidence.quote)))
        if isinstance(evidence, SnpEvidence):
            return await self.snp.get(snp_need(evidence.report), sent=evidence.leaf)
        return None

    async def for_device(self, evidence: DeviceEvidence) -> DeviceCollateral:
        """Reference values and revocation of one device, or the keys of the service that vouches for it."""
        if isinstance(evidence, NrasEvidence):
            return await self.nras.get()
        return await self.nvidia.get(evidence)

    async def collateral(self, evidence: MachineEvidence) -> MachineCollateral:
        """Collateral for all of a machine, its devices' in the order of the evidence's."""
        cpu = await self.for_cpu(evidence.cpu)
        return MachineCollateral(cpu=cpu, devices=tuple(await all_of(map(self.for_device, evidence.devices))))
