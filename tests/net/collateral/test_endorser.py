"""One machine's collateral: each part's, in the order of its evidence; carried to a machine without a network, it is enough."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from ollm.attest.checks import Trail
from ollm.attest.evidence import (
    MachineEvidence,
    NitroEvidence,
    NrasCollateral,
    NrasEvidence,
    NvidiaCollateral,
    SnpCollateral,
    SnpEvidence,
    TdxCollateral,
    TdxEvidence,
)
from ollm.attest.sevsnp import appraise as sevsnp
from ollm.attest.tdx import appraise as tdx
from ollm.config.settings import CollateralSettings
from ollm.errors import EvidenceRefused, UpstreamError
from ollm.net.collateral import archive
from ollm.net.collateral.asking import Asker
from ollm.net.collateral.cache import CollateralCache
from ollm.net.collateral.endorser import MachineEndorser
from ollm.net.collateral.shelf import Shelf
from ollm.net.fetch import HttpFetch
from ollm.sim import reference
from ollm.sim.machine import SimulatedMachine
from ollm.sim.pki import create_pki
from ollm.testing.mint.snp import SnpMachine
from ollm.testing.mint.snp_certificates import create_pki as create_amd
from tests.attest.nvidia.devices import NONCE, device, judge
from tests.net.collateral.test_kds import Kds
from tests.net.collateral.test_nvidia import Nvidia
from tests.net.collateral.vendor import DAY, NOW, Answer, MovableClock, Vendor, closing, ok, vendor

AMD = SnpMachine(create_amd("Genoa", NOW), NOW)
INTEL = SimulatedMachine(create_pki(NOW - 400 * DAY), MovableClock())
QUOTE = INTEL.quote(bytes(64))


class Everybody:
    """Every vendor's service, on one origin."""

    def __init__(self) -> None:
        self.clock = MovableClock()
        self.amd, self.nvidia = Kds(AMD), Nvidia(device("GH100"))
        self.fetch = HttpFetch()
        self.service: Vendor

    def __call__(self, target: str, body: bytes) -> Answer:
        path, _, query = target.partition("?")
        if path == "/.well-known/jwks.json":
            return ok(b'{"keys": []}')
        if "/certification/" in path or path.endswith(".der"):
            return INTEL.pcs_answer(path, dict(part.split("=") for part in query.split("&") if part))
        return (self.amd if path.startswith(("/vcek/", "/vlek/")) else self.nvidia)(target, body)

    def endorser(self, cache: CollateralCache) -> MachineEndorser:
        url = self.service.url
        sources = CollateralSettings(pcs_url=url, root_crl_url=url + "/IntelSGXRootCA.der", kds_url=url, rim_url=url, ocsp_url=url, nras_url=url)
        return MachineEndorser(cache, Asker(self.fetch, self.clock), sources)


@contextlib.asynccontextmanager
async def everybody() -> AsyncIterator[Everybody]:
    of = Everybody()
    async with closing(of.fetch), vendor(of) as of.service:
        yield of


GPU = device("GH100").evidence(NONCE)


async def test_each_part_gets_its_own_in_the_order_of_the_evidence() -> None:
    async with everybody() as of:
        evidence = MachineEvidence(cpu=SnpEvidence(report=AMD.report()), devices=(NrasEvidence(token=b"{}"), GPU))
        collateral = await of.endorser(CollateralCache(of.clock)).collateral(evidence)
        assert isinstance(collateral.cpu, SnpCollateral)
        assert [type(each) for each in collateral.devices] == [NrasCollateral, NvidiaCollateral]


async def test_a_nitro_document_needs_nobody() -> None:
    async with everybody() as of:
        evidence = MachineEvidence(cpu=NitroEvidence(document=b""))
        assert (await of.endorser(CollateralCache(of.clock)).collateral(evidence)).cpu is None
        assert of.service.asked == []


async def test_the_vcek_that_came_with_the_report_is_used() -> None:
    async with everybody() as of:
        leaf = AMD.leaf()
        collateral = await of.endorser(CollateralCache(of.clock)).for_cpu(SnpEvidence(report=AMD.report(), leaf=leaf))
        assert isinstance(collateral, SnpCollateral)
        assert collateral.leaf == leaf
        assert [target for target in of.service.targets if "SPL" in target] == []


@pytest.mark.parametrize("cpu", [TdxEvidence(quote=b"garbage"), SnpEvidence(report=b"garbage")])
async def test_evidence_that_can_not_be_read_asks_nobody(cpu: TdxEvidence | SnpEvidence) -> None:
    async with everybody() as of:
        with pytest.raises(EvidenceRefused):
            await of.endorser(CollateralCache(of.clock)).for_cpu(cpu)
        assert of.service.asked == []


MACHINES = [
    MachineEvidence(cpu=TdxEvidence(quote=QUOTE), devices=(GPU,)),
    MachineEvidence(cpu=SnpEvidence(report=AMD.report()), devices=(GPU,)),
]


async def test_exported_here_and_imported_there_it_is_enough_to_verify_without_a_network(tmp_path: Path) -> None:
    async with everybody() as of:
        here, there = Shelf(tmp_path / "here"), Shelf(tmp_path / "there")
        endorser = of.endorser(CollateralCache(of.clock, shelf=here))
        for evidence in MACHINES:
            await endorser.collateral(evidence)
        carried = archive.pack(here.all(NOW))
        asked = len(of.service.asked)

        archive.bring(there, archive.unpack(carried, NOW), NOW)
        closed = of.endorser(CollateralCache(of.clock, shelf=there, offline=True))
        intel, amd = [await closed.collateral(evidence) for evidence in MACHINES]
        assert len(of.service.asked) == asked, "nobody is asked"

        policy = reference.policy((INTEL,)).tdx
        assert isinstance(intel.cpu, TdxCollateral)
        trail = Trail(tdx.plan(policy))
        assert tdx.genuine_quote(trail, QUOTE, intel.cpu, policy, NOW)
        assert isinstance(amd.cpu, SnpCollateral)
        trail = Trail(sevsnp.plan(AMD.policy()))
        assert sevsnp.genuine_report(trail, SnpEvidence(report=AMD.report()), amd.cpu, AMD.policy(), NOW).technology == "sev-snp"
        for machine in (intel, amd):
            (gpu,) = machine.devices
            assert isinstance(gpu, NvidiaCollateral)
            assert judge(GPU, gpu).kind == "gpu"

        of.clock.seconds += 2 * DAY
        late = await closed.for_device(GPU)
        assert isinstance(late, NvidiaCollateral)
        assert (late.ocsp, late.driver_rim is None) == ((), False), "revocation answers end after a day, files live on"
        of.clock.seconds += 400 * DAY
        with pytest.raises(UpstreamError):
            await closed.for_cpu(MACHINES[0].cpu)


async def test_without_an_import_a_closed_machine_verifies_nothing(tmp_path: Path) -> None:
    async with everybody() as of:
        closed = of.endorser(CollateralCache(of.clock, shelf=Shelf(tmp_path), offline=True))
        for evidence in MACHINES:
            with pytest.raises(UpstreamError, match="offline"):
                await closed.collateral(evidence)
        assert of.service.asked == []
        assert await closed.for_device(GPU) == NvidiaCollateral()


def test_the_evidence_that_is_carried_is_the_evidence_that_came() -> None:
    assert msgspec.structs.replace(MACHINES[1].cpu, leaf=None) == MACHINES[1].cpu
